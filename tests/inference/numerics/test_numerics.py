"""Difficult numbers: against the same formulas in 60 digits, and laws that no data may break."""

from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal, localcontext
from threading import Barrier

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.linalg import block_diag

from edge_node.arrays import Matrix, Vector
from edge_node.inference.classification.approximation import Approximation
from edge_node.inference.classification.classes import LabelRows, class_offsets
from edge_node.inference.classification.expansion import local_expansion
from edge_node.inference.classification.likelihood import Softmax, average, pairs
from edge_node.inference.classification.posterior import ClassPosterior
from edge_node.inference.classification.variational import VariationalState
from edge_node.inference.features.blocks import Block, first_blocks, nearest_block
from edge_node.inference.features.metric import (
    MetricKind,
    gradient_outer_product,
    metric_from,
    place_exactly,
)
from edge_node.inference.features.nystrom import Features
from edge_node.inference.messages.evidence import LEAST_RESIDUAL, Spectrum, best_evidence
from edge_node.inference.numerics.eigenbasis import Eigenbasis
from edge_node.inference.regression import solved as solved_module
from edge_node.inference.regression.conditional import local_conditional
from edge_node.inference.regression.posterior import Posterior
from edge_node.inference.regression.refinement import Refinement, local_refinement
from tests.inference.exact_model import (
    DIGITS,
    Conditioned,
    cholesky,
    condition,
    covariance,
    decimals,
    log_determinant,
    solve,
)
from tests.inference.problems import NTK, SMOOTH, features_on, normal, statistics_of

MANY = settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
SOME = settings(MANY, max_examples=10)


@st.composite
def rows(draw: st.DrawFn) -> tuple[Matrix, Vector]:
    """Up to 14 rows: duplicates, collinear columns, far rows; noise-free or any targets."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    count = draw(st.integers(1, 14))
    X = random.normal(size=(count, 3)) * 10.0 ** draw(st.integers(-3, 3))
    if draw(st.booleans()):
        X[count // 2 :] = X[: count - count // 2]
    if draw(st.booleans()):
        X[:, 2] = 2.0 * X[:, 0]
    if draw(st.booleans()):
        X[0] *= 1e4
    y = np.sin(X[:, 0]) if draw(st.booleans()) else random.normal(size=count)
    return X, y * 10.0 ** draw(st.integers(-12, 12))


NOISES = st.integers(-6, 4).map(lambda exponent: 10.0**exponent)  # of k(x, x), as NOISE_RANGE
KERNELS = st.sampled_from([NTK, SMOOTH])
Z = normal(1, 8, 3)
QUERIES = np.vstack([normal(2, 4, 3), 100.0 * normal(3, 1, 3), Z[:1]])


def assert_close(
    found: tuple[float, float, Vector, Vector], exact: Conditioned, quadratic: float, largest: float
) -> None:
    """As many digits as the difference that the amplitude is leaves.

    Args:
        found: amplitude, log evidence, mean, variance.
        exact: the same.
        quadratic: what it is a share of, over n.
        largest: the targets' and the kernel's scale.
    """
    amplitude, log_evidence, mean, variance = found
    share = exact.amplitude / quadratic
    if share < 2 * LEAST_RESIDUAL:
        assert 0 < amplitude <= 4 * LEAST_RESIDUAL * quadratic
        amplitude, log_evidence = exact.amplitude, exact.log_evidence
    assert amplitude == pytest.approx(exact.amplitude, rel=2e-10 + 1e-13 / share)
    assert log_evidence == pytest.approx(exact.log_evidence, rel=1e-9, abs=1e-8 + 1e-12 / share)
    np.testing.assert_allclose(mean, exact.mean, rtol=1e-7, atol=1e-7 * largest)
    assert (variance >= 0).all()
    assert np.isfinite(variance).all()


@MANY
@given(rows=rows(), noise=NOISES, kernel=KERNELS)
def test_conditional_posterior_and_evidence(rows, noise: float, kernel) -> None:
    """FITC: each row answers for what the landmarks don't cover."""
    (X, y), features = rows, features_on(Z, kernel)
    noise = noise * features.prior_variance(X).mean()
    (statistics,) = local_conditional([(X, y)], features, [noise])
    evidence = statistics.evidence(noise)
    mean, variance = Posterior.of(statistics.message, features, evidence).predict(QUERIES)
    Phi, prior = features(X), features.prior_variance(QUERIES)
    own = np.diag(features.covered(X)[1])
    exact = condition(covariance(Phi, own, noise), y, Phi @ features(QUERIES).T, prior)
    found = evidence.amplitude, evidence.log_evidence, mean, variance
    scale = np.abs(y).max() * max(1.0, np.abs(exact.mean).max() / np.abs(y).max())
    assert_close(found, exact, statistics.quadratic / len(y), scale)
    expected = evidence.amplitude * exact.variance
    np.testing.assert_allclose(variance, expected, rtol=1e-6, atol=1e-9 * expected.max())


@MANY
@given(rows=rows(), noise=NOISES, kernel=KERNELS)
def test_collapsed_bound(rows, noise: float, kernel) -> None:
    """Log N(y; 0, a (Phi Phi' + s2 I)) - t / (2 s2), from the spectrum."""
    (X, y), features = rows, features_on(Z, kernel)
    noise = noise * features.prior_variance(X).mean()
    statistics = statistics_of([(X, y)], features)
    found = Spectrum.of(statistics).evidence(noise)
    n, Phi = len(y), features(X)
    exact = condition(covariance(Phi, np.zeros((n, n)), noise), y, np.zeros((n, 1)), np.ones(1))
    share = exact.amplitude * n * noise / statistics.target_power
    penalty = statistics.uncovered / (2 * noise)
    if share > 2 * LEAST_RESIDUAL:
        assert found.amplitude == pytest.approx(exact.amplitude, rel=1e-9 + 1e-13 / share)
        expected = exact.log_evidence - penalty
        assert found.log_evidence == pytest.approx(expected, rel=1e-9, abs=1e-9 / share)
    else:
        assert 0 < found.amplitude * n * noise < 4 * LEAST_RESIDUAL * statistics.target_power


@MANY
@given(rows=rows(), noise=NOISES, kernel=KERNELS, size=st.integers(1, 6))
def test_refined_posterior_and_evidence(rows, noise: float, kernel, size: int) -> None:
    """PIC, with blocks of duplicates and of one row, and fewer rows than anything."""
    (X, y), features = rows, features_on(Z, kernel)
    noise = noise * features.prior_variance(X).mean()
    blocks = first_blocks([(X, y)], 10, size)
    kept = sum(len(block.targets) for block in blocks)
    (statistics,) = local_refinement(blocks, [(X[kept:], y[kept:])], features, [noise])
    evidence = statistics.evidence(noise)
    found = Refinement(Posterior.of(statistics.message, features, evidence), tuple(blocks))
    X, y = (
        np.concatenate([np.array(getattr(block, part)) for block in blocks] + [rest[kept:]])
        for part, rest in (("inputs", X), ("targets", y))
    )
    Phi = features(X)
    left = kernel(X, X) - Phi @ Phi.T
    left = 0.5 * (left + left.T)
    whole = [slice(e - len(b.targets), e) for b, e in zip(blocks, ends(blocks), strict=True)]
    own = [left[part, part] for part in whole]
    own = block_diag(*own, np.diag(np.maximum(np.diag(left)[kept:], 0.0)))
    queries = blocks[0].inputs
    cross = Phi @ features(queries).T
    cross[whole[0]] += left[whole[0], whole[0]]
    exact = condition(covariance(Phi, own, noise), y, cross, features.prior_variance(queries))
    mean, variance, answered = found.predict(queries)
    mine = found.block_of(queries) == 0  # a copy may be in another block
    assert answered[mine].all()
    exact = Conditioned(exact.amplitude, exact.log_evidence, exact.mean[mine], exact.variance[mine])
    result = evidence.amplitude, evidence.log_evidence, mean[mine], variance[mine]
    assert_close(result, exact, statistics.quadratic / len(y), np.abs(y).max())


def ends(blocks: list[Block]) -> list[int]:
    """Where each block's rows end, when they are joined."""
    return np.cumsum([len(block.targets) for block in blocks]).tolist()


@SOME
@given(exponent=st.integers(-310, 300), rank=st.integers(1, 4), kind=st.sampled_from(MetricKind))
def test_a_metric_has_no_unit(exponent: int, rank: int, kind: MetricKind) -> None:
    """M of any size and rank: the same T, symmetric, of trace d, no direction forgotten."""
    G = normal(rank, rank, 4)
    T, scaled = (metric_from(s * G.T @ G, kind) for s in (1.0, 10.0**exponent))
    np.testing.assert_allclose(scaled, T, atol=2.0**-19)
    np.testing.assert_array_equal(T, T.T)
    assert np.trace(T @ T) == pytest.approx(4.0, rel=1e-5)
    assert np.linalg.eigvalsh(T).min() > 5e-4


def test_gradients_at_landmarks_do_not_depend_on_chunks() -> None:
    """A landmark that is a row but for rounding pulls it one way, whoever stands beside it."""
    T = metric_from(normal(4, 6, 6).T @ normal(4, 6, 6))
    X = normal(5, 40, 6)
    Z = np.round(X[:20] * 2.0**30) / 2.0**30
    features = Features.build(NTK, place_exactly(Z, T), T)
    weights = normal(6, 20)
    whole = gradient_outer_product([(X, X[:, 0])], features, weights)
    single = gradient_outer_product([(x[None], x[:1]) for x in X], features, weights)
    np.testing.assert_allclose(single, whole, rtol=1e-11, atol=1e-12 * np.abs(whole).max())


@SOME
@given(seed=st.integers(0, 999), count=st.integers(1, 30), copies=st.integers(1, 3))
def test_a_blocks_own_rows_are_within_its_reach(seed: int, count: int, copies: int) -> None:
    """Alone or in a batch, however the metric's product rounds; also where all are one row."""
    T = metric_from(normal(seed, 9, 7).T @ normal(seed, 9, 7))
    X = np.repeat(normal(seed + 1, count, 7) + 1e3, copies, axis=0)
    blocks = [Block(X @ T.T, X[:, 0])]
    alone = np.concatenate([nearest_block(x[None] @ T.T, blocks) for x in X])
    assert (alone == 0).all()
    assert (nearest_block(X @ T.T, blocks) == 0).all()


def test_a_block_is_solved_once_whoever_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Queries come from several threads at once, and get what one would."""
    features, X = features_on(Z), normal(7, 40, 3)
    y = np.sin(X[:, 0])
    blocks = tuple(first_blocks([(X, y)], 40, 20))
    (statistics,) = local_refinement(blocks, [], features, [0.1])
    posterior = Posterior.of(statistics.message, features, statistics.evidence(0.1))
    expected = Refinement(posterior, blocks).predict(X)
    asked, solved = Refinement(posterior, blocks), solutions(monkeypatch)
    together = Barrier(4)

    def ask(_: int):
        together.wait()
        return asked.predict(X)

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(ask, range(4)))
    assert len(solved) == len(blocks)
    for found in answers:
        np.testing.assert_array_equal(found, expected)


def test_as_many_blocks_as_memory_has_room_for_are_kept_solved(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Those that were asked last; what is solved again answers as before."""
    features, X = features_on(Z), normal(7, 60, 3)
    y = np.sin(X[:, 0])
    blocks = tuple(first_blocks([(X, y)], 60, 5))
    (statistics,) = local_refinement(blocks, [], features, [0.1])
    posterior = Posterior.of(statistics.message, features, statistics.evidence(0.1))
    asked, solved = Refinement(posterior, blocks), solutions(monkeypatch)
    rows = [X[asked.block_of(X) == index] for index in range(len(blocks))]
    first = [asked.predict(each) for each in rows]
    assert len(solved) == len(blocks)
    again = []
    for each in reversed(rows):
        before = len(solved)
        np.testing.assert_array_equal(asked.predict(each), first.pop())
        again.append(len(solved) > before)
    assert 0 < sum(again) < len(blocks)
    assert again == sorted(again)


def solutions(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Grows whenever a block is solved."""
    solved: list[object] = []
    solve = solved_module.cho_solve

    def counted(*arguments: object, **settings: object) -> object:
        solved.append(arguments)
        return solve(*arguments, **settings)

    monkeypatch.setattr(solved_module, "cho_solve", counted)
    return solved


@SOME
@given(seed=st.integers(0, 999), exponent=st.integers(-4, 4), scale=st.integers(-3, 3))
def test_divergence_of_improper_messages(seed: int, exponent: int, scale: int) -> None:
    """KL(q || N(0, a I)) where the rows leave most directions undetermined."""
    A, a = 10.0**scale * normal(seed, 1, 3), 10.0**exponent
    G, W = A.T @ A, np.diag([0.3, 0.0]) + 0.1
    U = A.T @ normal(seed + 1, 1, 2)
    found = Approximation(U, W, Eigenbasis.of(G), a).divergence
    with localcontext(prec=DIGITS):
        B = decimals(np.kron(np.eye(2), np.eye(3))) / Decimal(a)
        B += np.kron(decimals(W), decimals(G))
        L = cholesky(B)
        inverse = solve(L, decimals(np.eye(6)))
        mean = decimals(U.T.ravel())
        squares = (mean @ mean + (inverse * inverse).sum()) / Decimal(a)
        exact = (squares - 6 + 6 * Decimal(a).ln() + log_determinant(L)) / 2
    assert found == pytest.approx(float(exact), rel=1e-6, abs=1e-6)
    assert found >= 0


@MANY
@given(
    classes=st.integers(2, 4),
    mean=st.integers(-12, 12),
    variance=st.integers(-24, 24),
    seed=st.integers(0, 999),
)
def test_averages_are_probabilities(classes: int, mean: int, variance: int, seed: int) -> None:
    """However far away and however uncertain: they add up, and curvature is not negative."""
    q = classes - 1
    root = normal(seed, 5, q, q) * 10.0 ** (variance / 2)
    offsets = np.log(np.full(classes, 1 / classes))
    found = average(offsets, 10.0**mean * normal(seed + 1, 5, q), root @ root.transpose(0, 2, 1))
    for values in (found.log_probabilities, found.probabilities, found.curvature):
        assert np.isfinite(values).all()
    assert (found.log_probabilities <= 1e-12).all()
    assert ((found.probabilities >= 0) & (found.probabilities <= 1)).all()
    np.testing.assert_allclose(found.probabilities.sum(axis=1), 1.0)
    diagonal = [i for i, (j, k) in enumerate(pairs(q)) if j == k]
    assert (found.curvature[:, diagonal] >= -1e-14).all()


@SOME
@given(rows=rows(), classes=st.integers(2, 3), labels=st.integers(0, 2**32 - 1))
def test_classes_of_difficult_rows(rows, classes: int, labels: int) -> None:
    """The bound never falls, it is a bound, and any row gets probabilities."""
    X, _ = rows
    X = np.vstack([X, normal(8, classes, 3)])
    drawn = np.random.default_rng(labels).integers(0, classes, len(X) - classes)
    y = np.append(drawn, range(classes))
    features, y = features_on(Z), y.astype(float)
    offsets = class_offsets(np.bincount(y.astype(int)))
    statistics = statistics_of(LabelRows([(X, y)], offsets), features, classes - 1)
    state, bounds = VariationalState.start(statistics, best_evidence(statistics), offsets), []
    while len(bounds) < 9 and not state.converged:
        expansion = local_expansion([(X, y)], features, state.trial, Softmax(offsets))
        state = state.advance(expansion, state.choose(expansion))
        bounds.append(state.bound)
    assert (np.diff(bounds) >= 0).all()
    assert bounds[-1] <= 0
    posterior = ClassPosterior(features, state.kept, offsets, state.bound)
    _, covariance = posterior.latent(QUERIES)
    assert (np.linalg.eigvalsh(covariance) >= 0).all()
    found = posterior.predict_proba(np.vstack([X, QUERIES, 1e9 * QUERIES]))
    assert ((found >= 0) & (found <= 1)).all()
    np.testing.assert_allclose(found.sum(axis=1), 1.0)

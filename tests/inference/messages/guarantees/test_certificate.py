"""What is said of a graph before messages run on it, and that it is true."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_node.inference.messages.guarantees.certificate import Reason, Verdict, certify
from edge_node.inference.messages.guarantees.settled import settle, shift_radius
from edge_node.inference.messages.guarantees.walks import radius_bounds, walks
from edge_node.inference.messages.propagation.factors import Couplings, Equalities
from edge_node.inference.messages.propagation.graph import FactorGraph
from edge_node.inference.messages.propagation.schedules import Synchronous
from edge_node.inference.messages.propagation.solution import PropagationError
from edge_node.inference.messages.propagation.solve import marginals, solve
from tests.inference.messages.guarantees.cases import WALK_SUMMABLE, chorded_cycle
from tests.inference.messages.propagation.graphs import (
    couplings,
    definite,
    dense,
    field,
    forest,
    grid,
    observations,
)

SEEDS = st.integers(0, 2**32 - 1)
SHENTAL = np.array([[1.0, -2.0, 3.0], [-2.0, 1.0, 0.0], [3.0, 0.0, 1.0]])


def chorded(r: float) -> FactorGraph:
    """The four-cycle with a chord, as a graph."""
    return FactorGraph.of_system(chorded_cycle(r), np.array([1.0, -2.0, 3.0, 0.5]))


def test_forests_are_seen() -> None:
    """Shental et al. 2008: indefinite, and a tree all the same."""
    found = certify(FactorGraph.of_system(SHENTAL, np.ones(3)))
    assert (found.verdict, found.loops, found.lower > 1) == (Verdict.FOREST, 0, True)
    assert certify(forest(np.random.default_rng(0), 20, 2, 1, 2)).verdict is Verdict.FOREST
    assert "two passes" in found.summary()


def test_the_cycle_with_a_chord_is_walk_summable_below_its_threshold() -> None:
    """Found by bisection, from the proved bounds alone, to nine digits; .39039 as published."""
    low, high = 0.0, 0.5
    while high - low > 1e-9:
        middle = (low + high) / 2
        found = certify(chorded(middle), steps=1000, gap=1e-10)
        assert (found.verdict is Verdict.CONVERGES) == (found.upper < 1)
        low, high = (middle, high) if found.upper < 1 else (low, middle)
    assert low == pytest.approx(WALK_SUMMABLE, abs=1e-8)
    assert f"{low:.5f}" == "0.39039"
    np.linalg.cholesky(chorded_cycle(0.4999))
    with pytest.raises(np.linalg.LinAlgError):
        np.linalg.cholesky(chorded_cycle(0.5001))


def test_above_its_threshold_nothing_is_promised() -> None:
    """Plain messages converge just above it, and diverge on a definite system further up."""
    above = certify(chorded(0.395))
    assert (above.verdict, above.reason) == (Verdict.UNKNOWN, Reason.WEIGHTS)
    solution = solve(chorded(0.395), Synchronous(), most_steps=20_000)
    A, h = dense(chorded(0.395))
    np.testing.assert_allclose(solution.mean.ravel(), np.linalg.solve(A, h).ravel(), atol=1e-8)
    with pytest.raises(PropagationError):
        solve(chorded(0.45), Synchronous(), most_steps=20_000)
    assert certify(chorded(0.45)).verdict is Verdict.UNKNOWN


@settings(max_examples=40)
@given(SEEDS, st.integers(2, 12), st.integers(1, 3), st.booleans())
def test_bounds_hold_the_spectral_radius(seed: int, n: int, d: int, observed: bool) -> None:
    """After any number of steps; the weights prove the upper one, which never rises."""
    rng = np.random.default_rng(seed)
    scope = np.stack([rng.permutation(n)[:2] for _ in range(2 * n)])
    family = observations(rng, scope, 2, d, 1) if observed else couplings(rng, scope, d)
    found = walks(FactorGraph(definite(rng, n, d), np.zeros((n, d, 1)), (family,)))
    assert found is not None
    W = np.stack([found.apply(unit) for unit in np.eye(n)])
    radius = np.abs(np.linalg.eigvalsh(W)).max()
    before = np.inf
    for steps in (0, 1, 30):
        bounds = radius_bounds(found, steps=steps, gap=0.0)
        assert bounds.lower <= radius <= bounds.upper
        assert (W @ bounds.weights <= bounds.upper * bounds.weights).all()
        assert bounds.upper <= before * (1 + 1e-12)
        before = bounds.upper
    assert bounds.upper - bounds.lower < 0.5 * radius + 1e-12


@settings(max_examples=40)
@given(SEEDS, st.integers(3, 10), st.integers(1, 2), st.booleans())
def test_walks_bound_the_partial_correlations(seed: int, n: int, d: int, observed: bool) -> None:
    """No entry is below that of the dense matrix; for numbers in pairs it is equal."""
    rng = np.random.default_rng(seed)
    scope = np.stack([rng.permutation(n)[: 3 if observed else 2] for _ in range(n)])
    family = observations(rng, scope, 1, d, 1) if observed else couplings(rng, scope, d)
    graph = FactorGraph(definite(rng, n, d), np.zeros((n, d, 1)), (family,))
    found, A = walks(graph), dense(graph)[0].reshape(n, d, n, d)
    assert found is not None
    W = np.stack([found.apply(unit) for unit in np.eye(n)])
    roots = np.linalg.inv(np.linalg.cholesky(A[np.arange(n), :, np.arange(n), :]))
    for i in range(n):
        for j in set(range(n)) - {i}:
            norm = np.linalg.norm(roots[i] @ A[i, :, j, :] @ roots[j].T, 2)
            assert norm <= W[i, j] * (1 + 1e-9) + 1e-12


@settings(max_examples=25, deadline=None)
@given(SEEDS, st.floats(0.3, 0.95))
def test_what_is_certified_converges_as_fast_as_promised(seed: int, radius: float) -> None:
    """Random couplings, scaled to a radius: after k steps the error is below the walks left out."""
    rng = np.random.default_rng(seed)
    n = 12
    graph = grid(rng, 3) if seed % 2 else FactorGraph(
        np.ones((n, 1, 1)),
        rng.standard_normal((n, 1, 1)),
        (couplings(rng, np.stack([rng.permutation(n)[:2] for _ in range(3 * n)]), 1),),
    )  # fmt: skip
    first = walks(graph)
    assert first is not None
    scale = radius / radius_bounds(first, steps=500, gap=1e-6).upper
    family = graph.families[0]
    graph = replace(graph, families=(replace(family, coupling=family.coupling * scale),))
    found = certify(graph, steps=500, gap=1e-6)
    assert found.verdict is Verdict.CONVERGES
    absolute, (A, h) = walks(graph), dense(graph)
    assert absolute is not None
    v = radius_bounds(absolute, steps=500, gap=1e-6).weights
    root = np.sqrt(graph.precision.ravel())
    size = np.max(np.abs(h.ravel() / root) / v) / (1 - found.upper)
    state, exact, k = Synchronous().start(graph), np.linalg.solve(A, h).ravel(), 0
    for tolerance in (0.5, 1e-2, 1e-6):
        while k < found.steps(tolerance):
            state, k = Synchronous().step(graph, state), k + 1
        error = np.abs(marginals(graph, state.inbox)[0].ravel() - exact) * root / v
        assert error.max() <= tolerance * size + 1e-12


@pytest.mark.parametrize("strength", [1.0, 1e3, 1e12])
def test_strong_couplings_beside_a_lone_variable_are_not_certified(strength: float) -> None:
    """Beside them its weight falls with each step of power iteration, and must not become zero."""
    A = np.eye(8)
    A[0, 1:6] = A[1:6, 0] = strength * np.arange(1, 6)
    A[1, 2] = A[2, 1] = strength
    found = certify(FactorGraph.of_system(A, np.ones(8)), steps=3000, gap=0.0)
    radius = np.abs(np.linalg.eigvalsh(A - np.eye(8))).max()
    assert found.verdict is Verdict.UNKNOWN
    assert found.lower <= radius <= found.upper


@pytest.mark.parametrize("condition", [1e2, 1e8, 1e13])
def test_bounds_hold_where_blocks_are_ill_conditioned(condition: float) -> None:
    """Inverse roots of blocks lose as many digits, and the bounds give as much away.

    Variables are mixed by M, in numbers that are exact: W stays what it was.
    """
    rng, scope = np.random.default_rng(0), np.array([[0, 1], [1, 2], [2, 0]])
    M = np.array([[1.0, 1.0], [1.0, 1.0 + 2.0 ** (2 - round(np.log2(condition) / 2))]])
    h, gaps = np.ones((3, 2, 1)), []
    for J in rng.integers(-8, 9, (200, 3, 2, 2)) / 32.0:
        plain = FactorGraph(np.tile(np.eye(2), (3, 1, 1)), h, (Couplings(scope, J),))
        mixed = FactorGraph(np.tile(M @ M.T, (3, 1, 1)), h, (Couplings(scope, M @ J @ M.T),))
        one, other = (radius_bounds(walks(g), steps=500, gap=0.0) for g in (plain, mixed))
        gaps.append(min(other.upper - one.lower, one.upper - other.lower))
    assert min(gaps) >= 0.0


def test_no_steps_are_promised_where_nothing_is_proved() -> None:
    """Small weights do not help where a variable has no precision of its own."""
    rng = np.random.default_rng(0)
    scope = np.array([[0, 1], [1, 2], [2, 0], [0, 2]])
    graph = FactorGraph(np.ones((3, 1, 1)), np.ones((3, 1, 1)), ())
    family = observations(rng, scope, 1, 1, 1)
    family = replace(family, design=family.design * np.array([3.0, 0.1])[:, None, None])
    found = certify(
        replace(graph, precision=np.array([0.0, 1.0, 1.0])[:, None, None], families=(family,))
    )
    assert (found.verdict, found.upper < 1) == (Verdict.UNKNOWN, True)
    assert found.steps(1e-6) == np.inf
    proper = certify(replace(graph, families=(family,)))
    assert proper.steps(1e-6) < np.inf


def test_nothing_is_known_of_copies_on_a_loop() -> None:
    """Nor of a variable that isn't positive given all others."""
    copies = Equalities(np.array([[0, 1], [1, 2], [2, 0]]))
    graph = FactorGraph(np.ones((3, 1, 1)), np.ones((3, 1, 1)), (copies,))
    assert certify(graph).reason is Reason.FAMILIES
    improper = FactorGraph.of_system(chorded_cycle(0.3) - np.diag([2.0, 0, 0, 0]), np.ones(4))
    assert certify(improper).reason is Reason.IMPROPER
    assert not certify(improper).converges
    mixed = replace(graph, families=(copies, Couplings(np.array([[0, 1]]), np.ones((1, 1, 1)))))
    assert "nothing is known" in certify(mixed).summary()


def test_of_observations_the_precisions_converge() -> None:
    """With weak factors the means are certified, too; with strong ones they diverge."""
    rng = np.random.default_rng(1)
    scope = np.stack([rng.permutation(30)[:3] for _ in range(30)])
    strong = observations(rng, scope, 1, 1, 1)
    graph = FactorGraph(np.full((30, 1, 1), 4.0), np.ones((30, 1, 1)), (strong,))
    weak = replace(graph, families=(replace(strong, design=0.3 * strong.design),))
    assert certify(weak).verdict is Verdict.CONVERGES
    A, h = dense(weak)
    np.testing.assert_allclose(
        solve(weak, Synchronous()).mean.ravel(), np.linalg.solve(A, h).ravel(), atol=1e-8
    )
    found = certify(replace(graph, precision=graph.precision / 400))
    assert (found.verdict, found.precisions_converge) == (Verdict.UNKNOWN, True)
    assert not certify(field(rng, 40)).precisions_converge  # half have no factor of their own


def test_a_single_loop_of_observations_converges() -> None:
    """However strong, where absolute walks don't; with couplings nothing is promised."""
    rng = np.random.default_rng(0)
    scope = np.array([[0, 1, 2, 3], [3, 4, 5, 6], [6, 7, 8, 0]])
    strong = observations(rng, scope, 1, 1, 1)
    graph = FactorGraph(np.full((9, 1, 1), 1e-2), np.ones((9, 1, 1)), (strong,))
    found = certify(graph)
    assert (found.loops, found.verdict, found.lower > 1) == (1, Verdict.CONVERGES, True)
    A, h = dense(graph)
    mean = solve(graph, Synchronous()).mean.ravel()
    np.testing.assert_allclose(mean, np.linalg.solve(A, h).ravel(), rtol=1e-6)
    pairs = FactorGraph.of_system(A, h[:, 0])
    assert certify(pairs).verdict is Verdict.UNKNOWN


def test_the_estimated_radius_decides() -> None:
    """It is the rate at which the means' error falls, and above one they diverge."""
    slow = settle(chorded(0.395))
    assert 0.8 < shift_radius(slow, steps=400) < 1
    graph = grid(np.random.default_rng(0), 5)
    rate, A_h = shift_radius(settle(graph), steps=200), dense(graph)
    state, exact, errors = Synchronous().start(graph), np.linalg.solve(*A_h).ravel(), []
    for _ in range(40):
        state = Synchronous().step(graph, state)
        errors.append(np.abs(marginals(graph, state.inbox)[0].ravel() - exact).max())
    assert (errors[35] / errors[15]) ** (1 / 20) == pytest.approx(rate, rel=0.1)
    rng = np.random.default_rng(2)
    scope = np.stack([rng.permutation(12)[:6] for _ in range(12)])
    tight = observations(rng, scope, 1, 1, 1)
    graph = FactorGraph(np.full((12, 1, 1), 1e-2), np.ones((12, 1, 1)), (tight,))
    found = certify(graph, estimate=True)
    assert found.estimate is not None
    assert (found.estimate > 1, found.precisions_converge, found.converges) == (True, True, False)
    assert "estimated rate 1.03 a step" in found.summary()
    with pytest.raises(PropagationError):
        solve(graph, Synchronous(), most_steps=3000)
    assert certify(chorded(0.49), estimate=True).estimate is None  # precisions don't settle

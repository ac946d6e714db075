"""A site's own rows on top of the classifier that all share."""

import numpy as np
import pytest

from edge_node.inference.classification.classes import contrast, one_hot
from edge_node.inference.classification.likelihood import average
from edge_node.inference.classification.posterior import ClassPosterior
from edge_node.inference.classification.sites.deviation import _shared_scores, choose_deviation
from edge_node.inference.classification.sites.others import Others, coordinates
from edge_node.inference.classification.sites.refinement import BlockModel, ClassRefinement
from edge_node.inference.evaluation.metrics import log_loss
from edge_node.inference.features.blocks import first_blocks
from tests.inference.classification.test_variational import FEATURES, learn
from tests.inference.problems import classification, normal

Rows = tuple[np.ndarray, np.ndarray]


def shared(sites: list[Rows], classes: int) -> ClassPosterior:
    """What all rows make."""
    counts = np.bincount(np.concatenate([y for _, y in sites]).astype(int), minlength=classes)
    states, offsets = learn([[rows] for rows in sites], counts, patient=True, most=20)
    return ClassPosterior(FEATURES, states[-1].kept, offsets, states[-1].bound)


def models(posterior: ClassPosterior, rows: Rows, size: int = 1000) -> list[BlockModel]:
    """A site's blocks."""
    found = first_blocks([rows], len(rows[0]), size)
    return [BlockModel(posterior, each, np.ones(len(each.targets), bool)) for each in found]


def sites_that_differ(by: float, rows: int = 150) -> tuple[list[Rows], list[Rows]]:
    """Training and test rows of two sites; the second input counts for one and against the other
    as much as ``by`` says.
    """
    found = []
    for seed, sign in ((1, 1.0), (2, -1.0)):
        X = normal(seed, 3 * rows, 3)
        score = X[:, 0] + sign * by * X[:, 1] + 0.4 * normal(seed + 5, 3 * rows)
        found.append((X, (score > 0).astype(float)))
    return [(X[:rows], y[:rows]) for X, y in found], [(X[rows:], y[rows:]) for X, y in found]


@pytest.mark.parametrize("classes", [2, 3])
def test_without_all_rows_the_prior_is_left(classes: int) -> None:
    """A single site's rows, taken out again: N(0, a I), as far as the steps have converged. With
    them it is something else.
    """
    X, y = classification(7, 200, classes=classes)
    posterior = shared([(X, y)], classes)
    (model,) = models(posterior, (X, y))
    a = posterior.approximation.amplitude
    np.testing.assert_allclose(model.others.variances, a, rtol=1e-6)
    assert np.abs(model.others.mean).max() < 0.05 * np.abs(posterior.approximation.mean).max()


def test_what_others_leave_is_the_dense_gaussian() -> None:
    """By a Kronecker product and one solve."""
    X, y = classification(7, 200, classes=3)
    posterior, q = (found := shared([(X, y)], 3)), found.approximation
    Phi, uncovered = FEATURES.covered(X[:50])
    expected = average(posterior.offsets, *q.latent(Phi, uncovered))
    gradient = (one_hot(y[:50], 3) - expected.probabilities) @ contrast(3)
    G = (q.gram.vectors * q.gram.values) @ q.gram.vectors.T - Phi.T @ Phi
    R, size = q.contrasts.vectors, len(G)
    precision = np.kron(G, q.curvature) + np.eye(2 * size) / q.amplitude
    shift = G @ q.mean @ q.curvature + q.mean / q.amplitude - Phi.T @ gradient
    exact = np.linalg.solve(precision, shift.ravel()).reshape(size, 2)
    others = Others.of(posterior, Phi, gradient @ R)
    np.testing.assert_allclose(others.mean @ R.T, exact, atol=1e-8 * np.abs(exact).max())
    variances = np.einsum("ik,kj,ik->ij", others.vectors, others.variances, others.vectors)
    own = np.kron(np.eye(size), R).T @ np.linalg.inv(precision) @ np.kron(np.eye(size), R)
    np.testing.assert_allclose(variances.ravel(), np.diag(own), rtol=1e-7)


def test_coordinates_are_the_shared_posteriors_contrasts() -> None:
    """In W's eigenbasis: the covariance has no other entries there."""
    X, y = classification(7, 200, classes=3)
    posterior = shared([(X, y)], 3)
    found = coordinates(posterior, *FEATURES.covered(X))
    mean, covariance = posterior.latent(X)
    R = posterior.approximation.contrasts.vectors
    np.testing.assert_allclose(found.mean @ R.T, mean, atol=1e-9)
    turned = R.T @ covariance @ R
    np.testing.assert_allclose(np.einsum("njj->nj", turned), found.variance, rtol=1e-7)
    assert np.abs(turned[:, 0, 1]).max() < 1e-9


@pytest.mark.parametrize("block", [1000, 60])
def test_a_site_that_differs_is_predicted_better(block: int) -> None:
    """Than by what both share, which is wrong at both; and better without the deviation than with
    none of the site's rows.
    """
    train, test = sites_that_differ(by=1.5)
    posterior = shared(train, 2)
    for rows, (X, y) in zip(train, test, strict=True):
        own = models(posterior, rows, block)
        choice = choose_deviation(own)
        assert choice.prefers_site
        assert choice.deviation > 0.0
        refinement = ClassRefinement.of(own, choice.deviation)
        found, answered = refinement.predict_proba(X), refinement.block_of(X) >= 0
        before = log_loss(y[answered], posterior.predict_proba(X)[answered])
        alike = ClassRefinement.of(own, 0.0).predict_proba(X)
        assert answered.mean() > 0.8
        assert before > 0.5
        assert log_loss(y[answered], found[answered]) < 0.6 * before
        assert log_loss(y[answered], alike[answered]) < before


def test_a_site_like_all_others_is_predicted_no_worse() -> None:
    """By more than chance, at either site."""
    train, test = sites_that_differ(by=0.0)
    posterior = shared(train, 2)
    for rows, (X, y) in zip(train, test, strict=True):
        own = models(posterior, rows)
        choice = choose_deviation(own)
        refinement = ClassRefinement.of(own, choice.deviation)
        found, answered = refinement.predict_proba(X), refinement.block_of(X) >= 0
        before = log_loss(y[answered], posterior.predict_proba(X)[answered])
        assert log_loss(y[answered], found[answered]) < before + 0.03


def test_a_few_rows_do_no_harm() -> None:
    """Sites of twelve rows like all others', on average; the largest deviation would."""
    train, test = sites_that_differ(by=0.0)
    (X, y), chosen, trusting = test[0], [], []
    for seed in range(20, 26):
        own, noise = normal(seed, 12, 3), 0.4 * normal(seed + 50, 12)
        rows = own, (own[:, 0] + noise > 0).astype(float)
        posterior = shared([*train, rows], 2)
        blocks = models(posterior, rows)
        choice = choose_deviation(blocks)
        before = posterior.predict_proba(X)
        for losses, b in ((chosen, choice.deviation), (trusting, 30.0)):
            found = ClassRefinement.of(blocks, b).predict_proba(X)
            answers = choice.prefers_site or losses is trusting
            losses.append(log_loss(y, found if answers else before) - log_loss(y, before))
    assert np.mean(chosen) < 0.02
    assert np.mean(trusting) > 0.04


def test_with_a_time_later_rows_judge() -> None:
    """A site whose latest quarter is the opposite of what was before: rows in between praise a
    deviation that later ones condemn.
    """
    X = normal(40, 160, 3)
    y = (X[:, 1] > 0).astype(float)
    y[:40] = 1.0 - y[:40]  # the latest come first
    posterior = shared([*sites_that_differ(by=0.0)[0], (X, y)], 2)
    own = models(posterior, (X, y))
    assert choose_deviation(own).prefers_site
    assert not choose_deviation(own, timed=True).prefers_site


@pytest.mark.parametrize("rows", [1, 2])
def test_a_site_of_a_row_or_two_is_a_site(rows: int) -> None:
    """It answers near its row, by finite numbers."""
    train, _ = sites_that_differ(by=0.0)
    X, y = train[0][0][:rows], train[0][1][:rows]
    own = models(shared(train, 2), (X, y))
    found = ClassRefinement.of(own, choose_deviation(own).deviation).predict_proba(X)
    np.testing.assert_allclose(found.sum(axis=1), 1.0)


def test_untold_rows_count_too() -> None:
    """Rows of a class that the site told nobody move what it answers, and aren't taken out of the
    total, in which they never were.
    """
    train, _ = sites_that_differ(by=0.0)
    posterior = shared(train, 2)
    X, y = train[0]
    (block,) = first_blocks([(X, y)], 150, 1000)
    told = np.ones(150, dtype=bool)
    told[:5] = False
    all_told, some = (BlockModel(posterior, block, each) for each in (np.ones(150, bool), told))
    assert np.abs(some.others.mean - all_told.others.mean).max() > 1e-6
    none = BlockModel(posterior, block, np.zeros(150, dtype=bool))
    a = posterior.approximation
    np.testing.assert_allclose(none.others.mean, a.mean @ a.contrasts.vectors, atol=1e-8)


def test_untold_rows_are_no_merit_of_the_shared_posterior() -> None:
    """It predicts rows without themselves, and without what it was never told: the labels of such
    rows, which the site's own posterior knows.
    """
    train, _ = sites_that_differ(by=1.5)
    posterior, (X, y) = shared(train, 2), train[0]
    folds, scores, own = [np.arange(5, 20), np.arange(20, 150)], [], []
    for labels in (y[:5], 1.0 - y[:5]):
        (block,) = first_blocks([(X, np.concatenate([labels, y[5:]]))], 150, 1000)
        model = BlockModel(posterior, block, np.arange(150) >= 5)
        scores.append(_shared_scores(model, folds))
        own.append(model.fit(0.5)[1].marginals.mean[5:])
    np.testing.assert_allclose(*scores, rtol=1e-12)
    assert np.abs(own[0] - own[1]).max() > 1e-3


def test_what_blocks_cache_goes_with_the_solved_ones() -> None:
    """A site of many blocks would fill the memory with what each once worked out."""
    train, _ = sites_that_differ(by=1.0)
    own = models(shared(train, 2), train[0], 10)
    refinement = ClassRefinement.of(own, 0.5)
    refinement.predict_proba(train[0][0])
    assert len(refinement.models) > 8, "or all of them might be kept"
    assert not any("others" in vars(each) for each in refinement.models)
    own[0].fit(0.5)
    assert "others" in vars(own[0]), "what a block works out"


def test_it_survives_the_disk_and_leaves_far_rows_to_what_is_shared() -> None:
    """The same answers; to a row far from the site's own, the shared one."""
    train, test = sites_that_differ(by=1.0)
    posterior = shared(train, 2)
    refinement = ClassRefinement.of(models(posterior, train[0], 60), 0.5)
    queries = test[0][0].copy()
    queries[0] = 90.0
    found, alone = refinement.predict_proba(queries), posterior.predict_proba(queries)
    np.testing.assert_allclose(found[0], alone[0], rtol=1e-9)
    assert np.abs(found[1:] - alone[1:]).max() > 0.05
    np.testing.assert_allclose(found.sum(axis=1), 1.0)
    again = ClassRefinement.from_arrays(refinement.to_arrays(), posterior)
    np.testing.assert_array_equal(again.predict_proba(queries), found)

"""Folds that no one assigns, and scores that say when few rows can't tell."""

import numpy as np
import pytest
from scipy.stats import norm

from edge_node.inference.messages.evidence import Evidence
from edge_node.inference.messages.folds import (
    FOLDS,
    FoldRows,
    Predictor,
    best_score,
    fold_of,
    local_scores,
)
from tests.inference.problems import features_on, learn, normal, regression


def test_a_rows_fold_depends_on_the_row_alone() -> None:
    """Chunks, order, duplicates and negative zeros don't matter."""
    X = normal(0, 500, 4)
    X[7], X[8] = [0.0, 1.0, 2.0, 3.0], [-0.0, 1.0, 2.0, 3.0]
    folds = fold_of(X)
    assert folds[7] == folds[8]
    order = np.random.default_rng(1).permutation(500)
    np.testing.assert_array_equal(fold_of(X[order]), folds[order])
    np.testing.assert_array_equal(np.concatenate([fold_of(x[None]) for x in X]), folds)


def test_folds_are_about_equal_and_unrelated_to_inputs() -> None:
    """Even for rows on a grid: small integers differ in few bits."""
    grid = np.array(np.meshgrid(*[np.arange(10.0)] * 4)).reshape(4, -1).T
    sizes = np.bincount(fold_of(grid).astype(int), minlength=FOLDS)
    assert abs(sizes - 2000).max() < 5 * np.sqrt(2000)
    for column in grid.T:
        table = np.histogram2d(fold_of(grid), column, bins=(FOLDS, 10))[0]
        assert np.square(table - 200).sum() / 200 < 100  # chi squared, 49 degrees of freedom


def test_inside_and_outside_make_the_whole() -> None:
    """Each row is in one fold."""
    X, y = regression(2)
    for fold in range(FOLDS):
        parts = [
            np.concatenate([own for own, _ in FoldRows([(X, y)], fold, inside)])
            for inside in (True, False)
        ]
        assert sum(map(len, parts)) == len(X)
        assert set(fold_of(parts[0])) <= {fold}
        assert fold not in fold_of(parts[1])
    assert sum(len(own) for f in range(FOLDS) for own, _ in FoldRows([(X, y)], f, True)) == len(X)


def test_scores_are_gains_in_log_density() -> None:
    """Of a better and a worse predictor over the same reference."""
    X, y = regression(3)
    features = features_on(normal(4, 30, 3))
    posterior = learn(X, y, features)
    evidence = Evidence(0.0, posterior.noise, posterior.amplitude)
    better = Predictor(features, posterior.mean, evidence)
    reference, worse = (Predictor(features, s * posterior.mean, evidence) for s in (0.0, -1.0))
    total = local_scores([(X, y)], reference, [better, worse])
    variance = posterior.amplitude * (features.covered(X)[1] + posterior.noise)
    Phi = features(X)
    gains = [
        norm.logpdf(y, s * Phi @ posterior.mean, np.sqrt(variance))
        - norm.logpdf(y, 0.0, np.sqrt(variance))
        for s in (1.0, -1.0)
    ]
    expected = [len(X), *(v for g in gains for v in (g.sum(), np.square(g).sum()))]
    np.testing.assert_allclose(total, expected, rtol=1e-9)
    assert best_score(total) == 0
    assert best_score(local_scores([(X, y)], better, [reference, worse])) is None


@pytest.mark.parametrize(
    ("gains", "chosen"),
    [
        ([[1.0, 1.0, 1.0, 1.0], [2.0, 2.0, 2.0, 2.0]], 1),
        ([[-1.0, -1.0, -1.0, -1.0]], None),
        ([[9.0, -8.0, 9.0, -8.0]], None),  # a gain of half, with a standard error of five
        ([[0.0, 0.0, 0.0, 0.0]], None),
    ],
)
def test_a_gain_must_exceed_its_standard_error(gains: list, chosen: int | None) -> None:
    """Among few rows chance looks like a gain."""
    sums = [value for g in gains for value in (sum(g), sum(v * v for v in g))]
    assert best_score(np.array([4.0, *sums])) == chosen


def test_no_rows_tell_nothing() -> None:
    """As at a federation whose folds are all empty."""
    assert best_score(np.zeros(3)) is None
    assert best_score(np.array([5.0])) is None

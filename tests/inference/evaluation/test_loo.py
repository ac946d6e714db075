"""Leave-one-out scores are those of models learnt without each row in turn."""

from dataclasses import astuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_node.arrays import Matrix, Vector
from edge_node.errors import DataError
from edge_node.inference.evaluation import metrics
from edge_node.inference.evaluation.loo import LooScores, leave_one_out, leave_one_out_predictions
from edge_node.inference.regression.posterior import Posterior
from tests.inference.problems import features_on, learn, normal, regression, split

FEATURES = features_on(normal(5, 20, 3))


def brute_force(X: Matrix, y: Vector, posterior: Posterior) -> tuple[Vector, Vector]:
    """From the dense covariance of all rows but one, row by row, with a and s2 held fixed."""
    Phi = FEATURES(X)
    residual = FEATURES.prior_variance(X) - np.square(Phi).sum(axis=1)
    K = posterior.amplitude * (Phi @ Phi.T + np.diag(residual + posterior.noise))
    mean, variance = np.empty(len(y)), np.empty(len(y))
    for i in range(len(y)):
        others = np.arange(len(y)) != i
        solved = np.linalg.solve(K[np.ix_(others, others)], K[others, i])
        mean[i], variance[i] = solved @ y[others], K[i, i] - solved @ K[others, i]
    return mean, variance


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(-4, 1), st.booleans())
def test_it_is_brute_force(seed: int, log_noise: float, twice: bool) -> None:
    """To 1e-9, with little and much noise, with duplicates, with fewer rows than features."""
    X, y = regression(seed, rows=30)
    if twice:
        X, y = np.concatenate([X[:5], X[:5]]), np.concatenate([y[:5], y[5:10]])
    posterior = learn(X, y, FEATURES, 10**log_noise)
    mean, variance = leave_one_out_predictions(X, y, posterior)
    expected = brute_force(X, y, posterior)
    np.testing.assert_allclose(mean, expected[0], rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(variance, expected[1], rtol=1e-9)


def test_it_is_learning_without_the_row() -> None:
    """The row's message is taken out of the sum, and its prediction is a query's."""
    X, y = regression(1, rows=40)
    posterior = learn(X, y, FEATURES)
    mean, variance = leave_one_out_predictions(X, y, posterior)
    for i in (0, 17, 39):
        without = learn(np.delete(X, i, axis=0), np.delete(y, i), FEATURES)
        expected, spread = without.predict(X[i : i + 1])
        assert mean[i] == pytest.approx(expected.item(), rel=1e-9)
        spread = spread / without.amplitude * posterior.amplitude  # chosen by all the rows
        assert variance[i] == pytest.approx(spread.item() + posterior.noise_variance, rel=1e-9)


def test_scores_are_the_usual_metrics() -> None:
    """Root mean squared error, mean negative log density, share of rows inside."""
    X, y = regression(2, rows=600)
    posterior = learn(X, y, FEATURES)
    scores = leave_one_out([(X, y)], posterior)
    mean, variance = leave_one_out_predictions(X, y, posterior)
    assert scores.count == 600
    assert scores.rmse == pytest.approx(metrics.rmse(y, mean))
    assert scores.nll == pytest.approx(metrics.nll(y, mean, variance))
    assert scores.coverage95 == metrics.coverage(y, mean, variance)
    inside = leave_one_out([(X, y)], learn(X, y, FEATURES, 1e-3)).rmse
    assert inside > metrics.rmse(y, posterior.predict(X)[0]), "as on new rows, not as on known ones"


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 16), st.integers(0, 2**32 - 1))
def test_sites_scores_add_to_the_federations(sites: int, seed: int) -> None:
    """Each site scores its own rows; what they add to are the pooled scores."""
    X, y = regression(3, rows=80)
    posterior = learn(X, y, FEATURES)
    parts = split(np.random.default_rng(seed), X, y, sites)
    total = sum((leave_one_out(part, posterior) for part in parts), start=LooScores.nothing())
    pooled = leave_one_out([(X, y)], posterior)
    np.testing.assert_allclose(astuple(total), astuple(pooled), rtol=1e-12)


def test_scores_follow_the_targets_unit() -> None:
    """Rescaled scores are those of rescaled targets."""
    X, y = regression(4, rows=50)
    posterior = learn(X, y, FEATURES)
    mean, variance = leave_one_out_predictions(X, y, posterior)
    rescaled = leave_one_out([(X, y)], posterior).rescaled(25.0)
    again = LooScores.of(25 * y, 25 * mean, 625 * variance)
    np.testing.assert_allclose(astuple(rescaled), astuple(again), rtol=1e-12)


def test_no_rows_have_no_score() -> None:
    """Not a score of zero."""
    scores = leave_one_out([], learn(*regression(0), FEATURES))
    assert scores.count == 0
    assert np.isnan([scores.rmse, scores.nll, scores.coverage95]).all()


def test_a_row_that_took_no_part_is_refused() -> None:
    """Where it shows: more is open about it than its own noise could leave open."""
    posterior = learn(*regression(0, rows=3), FEATURES)
    with pytest.raises(DataError, match="not among those"):
        leave_one_out([(FEATURES.landmarks, np.zeros(len(FEATURES.landmarks)))], posterior)

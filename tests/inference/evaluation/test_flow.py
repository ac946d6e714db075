"""Gradient flow solves its differential equation, and its stopping time needs sums only."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import expm

from edge_node.errors import DataError, NumericalError
from edge_node.inference.evaluation.flow import (
    TIMES,
    GradientFlow,
    best_time,
    choose_time,
    local_scores,
)
from edge_node.inference.features.nystrom import Features
from edge_node.inference.messages.gaussian import Gaussian
from edge_node.inference.regression.conditional import local_conditional
from tests.inference.problems import features_on, learn, normal, regression, split

FEATURES = features_on(normal(5, 20, 3))
QUERIES = normal(6, 30, 3)


def message(features: Features, noise: float, **problem: float) -> Gaussian:
    """Lambda and eta of a problem's rows."""
    X, y = regression(0, **problem)
    return local_conditional([(X, y)], features, [noise])[0].message


@settings(max_examples=25, deadline=None)
@given(st.floats(-4, 3), st.floats(-3, 1))
def test_it_solves_the_differential_equation(log_time: float, log_noise: float) -> None:
    """du/dt = eta - Lambda u from zero, by the exponential of one larger matrix."""
    t, noise = 10**log_time, 10**log_noise
    flow = GradientFlow.of(learn(*regression(0), FEATURES, noise))
    rows = message(FEATURES, noise)
    system = np.block([[-rows.precision, rows.shift[:, None]], [np.zeros((1, rows.size + 1))]])
    expected = expm(t * system)[:-1, -1]
    np.testing.assert_allclose(flow.weights(t), expected, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(flow.predict(QUERIES, t), FEATURES(QUERIES) @ expected, atol=1e-8)


def test_it_starts_at_zero_and_ends_at_least_squares() -> None:
    """Weighted by each row's own precision, without a prior."""
    flow, rows = GradientFlow.of(learn(*regression(0), FEATURES)), message(FEATURES, 0.2)
    assert not flow.predict(QUERIES, 0.0).any()
    solution = np.linalg.solve(rows.precision, rows.shift)
    np.testing.assert_allclose(flow.weights(np.inf), solution, rtol=1e-8, atol=1e-10)


def test_with_fewer_rows_than_features_the_end_is_finite() -> None:
    """Directions that no row speaks of stay at zero: the least of all solutions."""
    X, y = regression(0, rows=7)
    flow, rows = GradientFlow.of(learn(X, y, FEATURES)), message(FEATURES, 0.2, rows=7)
    least = np.linalg.pinv(rows.precision, rcond=1e-9, hermitian=True) @ rows.shift
    np.testing.assert_allclose(flow.weights(np.inf), least, atol=1e-6)


def test_at_time_one_it_fits_as_much_as_the_posterior_mean() -> None:
    """In every direction between 1 and 1.3 times (Ali, Kolter & Tibshirani 2019)."""
    posterior = learn(*regression(0), FEATURES)
    flow = GradientFlow.of(posterior)
    ratio = (flow.vectors.T @ flow.weights(1.0)) / (flow.vectors.T @ posterior.mean)
    assert ratio.min() > 1 - 1e-9
    assert ratio.max() < 1.2985


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 16), st.integers(0, 2**32 - 1))
def test_any_partition_gives_the_pooled_scores(sites: int, seed: int) -> None:
    """What the network adds up is what one machine computes; so the chosen time is the same."""
    flow = GradientFlow.of(learn(*regression(0), FEATURES))
    X, y = regression(2, rows=50)
    parts = split(np.random.default_rng(seed), X, y, sites)
    total = np.sum([local_scores(part, flow) for part in parts], axis=0)
    np.testing.assert_allclose(total, local_scores([(X, y)], flow), rtol=1e-10)
    errors = [np.square(y - flow.predict(X, t)).sum() for t in TIMES]
    np.testing.assert_allclose(total[1:], errors, rtol=1e-9)
    best = best_time([(X, y)], flow)
    assert choose_time(total) == best
    assert errors[TIMES.index(best)] == pytest.approx(min(errors), rel=1e-8)


def test_stopping_early_helps_where_there_is_more_noise_than_signal() -> None:
    """The best time is neither the first nor the last, and better than both ends."""
    X, y = regression(0, rows=120, noise=3.0)
    flow = GradientFlow.of(learn(X[:60], y[:60], FEATURES, noise=0.05))
    held_out = [(X[60:], y[60:])]
    count, *errors = local_scores(held_out, flow)
    assert count == 60
    best = errors[TIMES.index(best_time(held_out, flow))]
    assert best < min(errors[0], errors[-1])


def test_refusals_name_the_problem() -> None:
    """Times before the start; nothing held out; another grid's scores."""
    flow = GradientFlow.of(learn(*regression(0), FEATURES))
    for t in (-1.0, float("nan")):
        with pytest.raises(DataError, match="t >= 0"):
            flow.predict(QUERIES, t)
    for total in (np.zeros(1 + len(TIMES)), np.ones(3), np.full(1 + len(TIMES), np.nan)):
        with pytest.raises(NumericalError, match="held-out scores"):
            choose_time(total)

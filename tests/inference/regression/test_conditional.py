"""Rows that answer for what landmarks don't cover: against the dense model (FITC)."""

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from edge_node.arrays import Matrix, Vector
from edge_node.errors import NumericalError
from edge_node.inference.regression.conditional import ConditionalStatistics, local_conditional
from edge_node.inference.regression.posterior import Posterior
from tests.inference.problems import features_on, normal, regression, split

FEATURES = features_on(normal(0, 25, 3))


def dense(X: Matrix, noise: float) -> Matrix:
    """The covariance of targets over amplitude: Phi Phi' + diag(u) + s2 I."""
    Phi = FEATURES(X)
    return Phi @ Phi.T + np.diag(FEATURES.covered(X)[1] + noise)


def targets(seed: int) -> tuple[Matrix, Vector]:
    """Rows of a regression problem."""
    return regression(seed, rows=80)


@pytest.mark.parametrize("noise", [1e-3, 0.2, 10.0])
def test_the_evidence_is_the_dense_models(noise: float) -> None:
    """Log N(y; 0, a (Phi Phi' + R)) at the amplitude that maximises it."""
    X, y = targets(1)
    (statistics,) = local_conditional([(X, y)], FEATURES, [noise])
    found, C = statistics.evidence(noise), dense(X, noise)
    best = float(y @ np.linalg.solve(C, y)) / len(y)
    assert found.amplitude == pytest.approx(best, rel=1e-8)
    exact = multivariate_normal.logpdf(y, np.zeros(len(y)), best * C)
    assert found.log_evidence == pytest.approx(exact, rel=1e-9)
    for other in (0.9, 1.1):
        assert multivariate_normal.logpdf(y, np.zeros(len(y)), other * best * C) < exact


@pytest.mark.parametrize("noise", [1e-3, 0.2])
def test_the_posterior_is_the_dense_models(noise: float) -> None:
    """Mean and variance at new inputs, by conditioning the joint Gaussian."""
    X, y = targets(2)
    (statistics,) = local_conditional([(X[:30], y[:30]), (X[30:], y[30:])], FEATURES, [noise])
    evidence = statistics.evidence(noise)
    posterior, N = Posterior.of(statistics.message, FEATURES, evidence), normal(3, 9, 3)
    mean, variance = posterior.predict(N)
    C, cross = dense(X, noise), FEATURES(X) @ FEATURES(N).T
    np.testing.assert_allclose(mean, cross.T @ np.linalg.solve(C, y), rtol=1e-8, atol=1e-9)
    prior = FEATURES.prior_variance(N)
    exact = prior - np.einsum("ij,ij->j", cross, np.linalg.solve(C, cross))
    np.testing.assert_allclose(variance, evidence.amplitude * exact, rtol=1e-7)


def test_messages_of_sites_multiply() -> None:
    """Any split of the rows gives the pooled statistics, for each noise."""
    X, y = targets(4)
    noises = [0.01, 0.5]
    pooled = local_conditional([(X, y)], FEATURES, noises)
    sites = [
        local_conditional(part, FEATURES, noises)
        for part in split(np.random.default_rng(0), X, y, 5)
    ]
    for i, whole in enumerate(pooled):
        first, *others = (site[i] for site in sites)
        total = sum(others, start=first)
        np.testing.assert_allclose(total.pack(), whole.pack(), rtol=1e-10, atol=1e-9)


def test_rows_stand_for_as_many_copies_of_them() -> None:
    """Count, evidence and message."""
    X, y = targets(4)
    (once,) = local_conditional([(X, y)], FEATURES, [0.2])
    (thrice,) = local_conditional([(X, y)] * 3, FEATURES, [0.2])
    np.testing.assert_allclose(once.standing_for(240).pack(), thrice.pack(), rtol=1e-10)


def test_packing_is_lossless_and_checked() -> None:
    """As one vector and back; not a number is refused."""
    X, y = targets(5)
    (statistics,) = local_conditional([(X, y)], FEATURES, [0.1])
    vector = statistics.pack()
    again = ConditionalStatistics.unpack(vector, 25)
    np.testing.assert_array_equal(again.pack(), vector)
    vector[3] = np.nan
    with pytest.raises(NumericalError, match="not finite"):
        ConditionalStatistics.unpack(vector, 25)


def test_targets_that_do_not_vary_are_refused() -> None:
    """No noise can be judged by them."""
    X, _ = targets(6)
    (statistics,) = local_conditional([(X, np.zeros(len(X)))], FEATURES, [0.1])
    with pytest.raises(NumericalError, match="can't be judged"):
        statistics.evidence(0.1)

"""Fast predictions: those of the definition to nine digits, and its own where they aren't."""

import numpy as np
import pytest

from edge_node.config import KernelKind
from edge_node.inference.kernels.stationary import StationaryKernel
from edge_node.inference.regression.posterior import Posterior
from edge_node.inference.regression.prediction import FastPredictor
from tests.inference.problems import features_on, learn, normal, regression

RBF = StationaryKernel(KernelKind.RBF, 1.5)


def posterior(rows: int = 400, landmarks: int = 150, noise: float = 0.2) -> Posterior:
    """A regression on independent landmarks."""
    X, y = regression(0, rows)
    return learn(X, y, features_on(normal(5, landmarks, 3)), noise)


def fast(posterior: Posterior) -> FastPredictor | None:
    """Its fast predictor."""
    return FastPredictor.of(posterior.features, posterior.mean, posterior.factor)


@pytest.mark.parametrize("noise", [1e-6, 0.2, 10.0])
@pytest.mark.parametrize("rows", [20, 400])
def test_it_predicts_what_the_definition_says(rows: int, noise: float) -> None:
    """phi'mu, and k** - phi'phi + phi'(I + Lambda)^-1 phi, of one row and of a batch, learnt from
    few rows and from many. Where digits would be lost it says so.
    """
    learnt = posterior(rows, noise=noise)
    predictor = fast(learnt)
    assert predictor is not None
    X = normal(1, 300, 3) * np.linspace(0.1, 3.0, 300)[:, None]
    X[:10] = learnt.features.landmarks[:10]
    Phi = learnt.features(X)
    open_ = np.square(np.linalg.solve(learnt.factor, Phi.T)).sum(axis=0)
    expected = learnt.features.covered(X)[1] + open_
    mean, variance, kept = predictor(X)
    np.testing.assert_allclose(mean, Phi @ learnt.mean, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(variance[kept], expected[kept], rtol=2e-9)
    assert kept.any()
    for i in range(5):
        one = predictor(X[i : i + 1])
        np.testing.assert_allclose(one[0], mean[i], rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(one[1], variance[i], atol=1e-12 * variance.max())


def test_predictions_never_lose_digits() -> None:
    """At landmarks that are rows, without noise, the variance is all cancellation: not here."""
    X, y = regression(0, 150)
    learnt = learn(X, y, features_on(X), noise=1e-9)
    mean, variance = learnt.predict(X)
    np.testing.assert_allclose(mean, y, atol=1e-6)
    assert (variance > 0).all()
    assert variance.max() < 1e-6 * learnt.features.prior_variance(X).min()
    for i in (0, 149):
        np.testing.assert_allclose(learnt.predict(X[i : i + 1])[1], variance[i], rtol=1e-6)


def test_landmarks_that_nearly_coincide_are_predicted_with_exactly() -> None:
    """A smooth kernel's inverse is too large to be multiplied with."""
    X, y = regression(0, 100)
    learnt = learn(X, y, features_on(normal(5, 150, 3), RBF), 0.1)
    assert fast(learnt) is None
    mean, variance = learnt.predict(X)
    Phi = learnt.features(X)
    np.testing.assert_allclose(mean, Phi @ learnt.mean, rtol=1e-12, atol=1e-12)
    assert (variance > 0).all()

"""Draws have the posterior's mean and covariance, between inputs, too; bounds are in z-scores."""

import numpy as np
import pytest

from edge_node.arrays import Matrix, Vector
from edge_node.errors import DataError
from edge_node.inference.classification.approximation import Approximation
from edge_node.inference.classification.classes import class_offsets, contrast
from edge_node.inference.classification.posterior import ClassPosterior
from edge_node.inference.evaluation.sampling import (
    MOST_INPUTS,
    sample_function,
    sample_probabilities,
)
from edge_node.inference.numerics.eigenbasis import Eigenbasis
from tests.inference.problems import classification, features_on, learn, normal, regression

FEATURES = features_on(normal(5, 20, 3))
QUERIES = np.concatenate([normal(6, 9, 3), FEATURES.landmarks[:1]])
DRAWS = 40_000
MOST = 5.0  # standard errors: one of a hundred figures exceeds it once in 20,000 seeds


def generator(seed: int = 1) -> np.random.Generator:
    """A source of random numbers."""
    return np.random.default_rng(seed)


def assert_mean(found: Matrix, expected: Vector, systematic: float = 1e-9) -> None:
    """The draws' mean along the last axis, to Monte-Carlo error."""
    error = np.abs(found.mean(axis=-1) - expected)
    assert (error <= MOST * found.std(axis=-1) / np.sqrt(DRAWS) + systematic).all()


def test_mean_and_covariance_are_the_posteriors() -> None:
    """A [K - Phi Phi' + Phi (I + Lambda)^-1 Phi'], of which ``predict`` gives the diagonal."""
    posterior = learn(*regression(0), FEATURES)
    draws = sample_function(posterior, QUERIES, DRAWS, generator())
    mean, variance = posterior.predict(QUERIES)
    assert_mean(draws, mean)
    Phi = FEATURES(QUERIES)
    covariance = FEATURES.kernel(QUERIES, QUERIES) - Phi @ Phi.T
    covariance += Phi @ np.linalg.solve(posterior.factor @ posterior.factor.T, Phi.T)
    covariance *= posterior.amplitude
    np.testing.assert_allclose(np.diag(covariance), variance, rtol=1e-8)
    products = np.outer(variance, variance) + covariance**2
    error = np.abs(np.cov(draws) - covariance)
    assert (error <= MOST * np.sqrt(products / DRAWS)).all()


def test_the_residual_is_joint() -> None:
    """Where landmarks cover little, nearby inputs still go up and down together."""
    posterior = learn(*regression(0), features_on(normal(5, 2, 3)))
    X = np.array([[1.0, 2.0, 0.5], [1.02, 2.0, 0.5], [-3.0, 1.0, -2.0]])
    correlation = np.corrcoef(sample_function(posterior, X, DRAWS, generator()))
    assert correlation[0, 1] > 0.99
    assert abs(correlation[0, 2]) < 0.9


def test_equal_inputs_have_equal_values() -> None:
    """A draw is a function."""
    posterior = learn(*regression(0), FEATURES)
    draws = sample_function(posterior, np.concatenate([QUERIES, QUERIES]), 20, generator())
    np.testing.assert_allclose(draws[: len(QUERIES)], draws[len(QUERIES) :], atol=1e-6)


def classifier(classes: int) -> ClassPosterior:
    """An arbitrary mean; curvature along all of W's directions."""
    X, y = classification(0, classes=classes)
    offsets, size = class_offsets(np.bincount(y.astype(int))), len(FEATURES.landmarks)
    Phi, root = FEATURES(X), normal(7, classes - 1, classes - 1)
    gram = Eigenbasis.of(Phi.T @ Phi)
    q = Approximation(normal(8, size, classes - 1), 0.03 * root @ root.T, gram, 1.0)
    return ClassPosterior(FEATURES, q, offsets, 0.0)


@pytest.mark.parametrize(("classes", "systematic"), [(2, 1e-7), (3, 1e-2)])
def test_probabilities_average_to_the_prediction(classes: int, systematic: float) -> None:
    """Three classes are predicted by 256 points: less good where the latent sd is 5, as here."""
    posterior = classifier(classes)
    draws = sample_probabilities(posterior, QUERIES, DRAWS, generator())
    assert draws.shape == (len(QUERIES), classes, DRAWS)
    np.testing.assert_allclose(draws.sum(axis=1), 1.0, rtol=1e-12)
    assert_mean(draws, posterior.predict_proba(QUERIES), systematic)


@pytest.mark.parametrize("classes", [2, 3])
def test_contrasts_have_the_approximations_covariance(classes: int) -> None:
    """Seen through the log odds against the first class, which are linear in the contrasts."""
    posterior = classifier(classes)
    draws = sample_probabilities(posterior, QUERIES, DRAWS, generator(2))
    odds = np.log(draws[:, 1:] / draws[:, :1])
    mean, covariance = posterior.latent(QUERIES)
    Q = contrast(classes)
    D = Q[1:] - Q[:1]
    assert_mean(odds, posterior.offsets[1:] - posterior.offsets[0] + mean @ D.T)
    expected = D @ covariance @ D.T
    scale = np.einsum("njj->nj", expected)
    errors = np.abs(np.array([np.cov(each).reshape(len(D), len(D)) for each in odds]) - expected)
    products = scale[:, :, None] * scale[:, None, :] + expected**2
    assert (errors <= MOST * np.sqrt(products / DRAWS)).all()


def test_a_seed_is_a_function() -> None:
    """The same generator draws the same; another one doesn't."""
    posterior = learn(*regression(0), FEATURES)
    first, again, other = (
        sample_function(posterior, QUERIES, 3, generator(seed)) for seed in (1, 1, 2)
    )
    assert np.array_equal(first, again)
    assert not np.isclose(first, other).any()


def test_refusals_name_the_problem() -> None:
    """More inputs than can be drawn jointly; no draws."""
    posterior = learn(*regression(0), FEATURES)
    with pytest.raises(DataError, match=f"at most {MOST_INPUTS}"):
        sample_function(posterior, np.zeros((MOST_INPUTS + 1, 3)), 1, generator())
    with pytest.raises(DataError, match="at least 1"):
        sample_function(posterior, QUERIES, 0, generator())

"""The expansion that a sweep sums: dense formulas, any partition, Newton's method as its limit."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax

from edge_node.errors import NumericalError
from edge_node.inference.classification.approximation import Approximation
from edge_node.inference.classification.classes import LabelRows, class_offsets, contrast
from edge_node.inference.classification.expansion import Expansion, local_expansion
from edge_node.inference.messages.gaussian import Gaussian
from tests.inference.problems import classification, features_on, normal, split, statistics_of

FEATURES = features_on(normal(5, 12, 3))
SIZE = len(FEATURES.landmarks)


def problem(classes: int):
    """Rows, class offsets and a proper, arbitrary approximation."""
    X, y = classification(0, classes=classes)
    offsets = class_offsets(np.bincount(y.astype(int)))
    A = normal(1, (classes - 1) * SIZE, (classes - 1) * SIZE)
    message = Gaussian(A @ A.T, 10 * normal(2, (classes - 1) * SIZE))
    return X, y, offsets, Approximation(message, 0.8, classes - 1)


@pytest.mark.parametrize("classes", [2, 3])
def test_the_latent_function_has_the_dense_moments(classes: int) -> None:
    """Mean U'phi; covariance (I (x) phi)' (Lambda + I/a)^-1 (I (x) phi) + a (k - phi'phi) I."""
    X, _, _, q = problem(classes)
    Phi, uncovered = FEATURES.covered(X[:9])
    mean, covariance = q.latent(Phi, uncovered)
    dense = np.linalg.inv(q.message.precision + np.eye(q.message.size) / q.amplitude)
    flat = dense @ q.message.shift
    for i, phi in enumerate(Phi):
        wide = np.kron(np.eye(classes - 1), phi[:, None])
        expected = wide.T @ dense @ wide + q.amplitude * uncovered[i] * np.eye(classes - 1)
        np.testing.assert_allclose(covariance[i], expected, rtol=1e-8, atol=1e-10)
        np.testing.assert_allclose(mean[i], wide.T @ flat, rtol=1e-8, atol=1e-10)
    gaussian = 0.5 * (
        np.trace(dense) / q.amplitude
        + flat @ flat / q.amplitude
        - len(flat)
        + len(flat) * np.log(q.amplitude)
        - np.linalg.slogdet(dense)[1]
    )
    assert q.divergence == pytest.approx(gaussian, rel=1e-9)


@pytest.mark.parametrize("classes", [2, 3])
def test_without_variance_it_is_newtons_expansion(classes: int) -> None:
    """Rasmussen & Williams 2006, algorithm 3.1: log likelihood, gradient, W; by row and by hand."""
    X, y, offsets, _ = problem(classes)
    X, y, Q = FEATURES.landmarks, y[:SIZE], contrast(classes)  # nothing uncovered at landmarks
    U = 0.3 * normal(3, SIZE, classes - 1)
    sharp = 1e14 * np.eye(SIZE * (classes - 1))
    q = Approximation(Gaussian(sharp, sharp @ U.T.ravel()), 1.0, classes - 1)
    found = local_expansion([(X, y)], FEATURES, q, offsets)
    likelihood, gradient = 0.0, np.zeros_like(U)
    H = np.zeros_like(sharp)
    for phi, label in zip(FEATURES(X), y.astype(int), strict=True):
        p = softmax(offsets + Q @ (U.T @ phi))
        likelihood += np.log(p[label])
        gradient += np.outer(phi, Q.T @ (np.eye(classes)[label] - p))
        H += np.kron(Q.T @ (np.diag(p) - np.outer(p, p)) @ Q, np.outer(phi, phi))
    assert found.log_likelihood == pytest.approx(likelihood, abs=1e-5)
    np.testing.assert_allclose(found.gradient, gradient, atol=1e-5)
    message = found.message(U)
    np.testing.assert_allclose(message.precision, H, atol=1e-5)
    np.testing.assert_allclose(message.shift, H @ U.T.ravel() + gradient.T.ravel(), atol=1e-4)


@pytest.mark.parametrize("classes", [2, 3])
def test_label_regression_gives_the_expansion_at_zero(classes: int) -> None:
    """The first sweep is free: as if at U = 0 with a prior too small to matter."""
    X, y, offsets, _ = problem(classes)
    statistics = statistics_of(LabelRows([(X, y)], offsets), FEATURES, classes - 1)
    found = Expansion.from_labels(statistics, offsets)
    nothing = Approximation(Gaussian.flat(SIZE * (classes - 1)), 1e-13, classes - 1)
    expected = local_expansion([(X, y)], FEATURES, nothing, offsets)
    np.testing.assert_allclose(found.pack(), expected.pack(), rtol=1e-6, atol=1e-5)


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 16), st.integers(0, 2**32 - 1), st.sampled_from([2, 3]))
def test_any_partition_sums_to_the_pooled_expansion(sites: int, seed: int, classes: int) -> None:
    """Sites without rows or without a class add what they have."""
    X, y, offsets, q = problem(classes)
    pooled = local_expansion([(X, y)], FEATURES, q, offsets)
    parts = split(np.random.default_rng(seed), X, y, sites)
    locals_ = [local_expansion(part, FEATURES, q, offsets) for part in parts]
    total = np.sum([each.pack() for each in locals_], axis=0)
    np.testing.assert_allclose(total, pooled.pack(), rtol=1e-11, atol=1e-10)
    found = Expansion.unpack(total, SIZE, classes - 1)
    np.testing.assert_allclose(found.curvature, pooled.curvature, rtol=1e-10, atol=1e-10)


def test_what_does_not_fit_is_refused() -> None:
    """Lengths, labels, numbers that are not finite."""
    X, y, offsets, q = problem(2)
    vector = local_expansion([(X, y)], FEATURES, q, offsets).pack()
    with pytest.raises(NumericalError, match="wrong length"):
        Expansion.unpack(vector[:-1], SIZE, 1)
    vector[0] = np.nan
    with pytest.raises(NumericalError, match="not finite"):
        Expansion.unpack(vector, SIZE, 1)
    with pytest.raises(NumericalError, match="class index"):
        local_expansion([(X, y + 1)], FEATURES, q, offsets)

"""The expansion that a sweep sums: dense formulas, any partition, bounds that are known before."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_node.errors import NumericalError
from edge_node.inference.classification.approximation import Approximation
from edge_node.inference.classification.classes import LabelRows, class_offsets, contrast
from edge_node.inference.classification.expansion import (
    Expansion,
    local_expansion,
    numbers_told,
    total_bounds,
)
from edge_node.inference.classification.likelihood import Softmax, average, pairs
from edge_node.inference.numerics.eigenbasis import Eigenbasis
from edge_node.network.wire.segments import Segments
from tests.inference.problems import classification, features_on, normal, split, statistics_of

FEATURES = features_on(normal(5, 12, 3))
SIZE = len(FEATURES.landmarks)


def problem(classes: int):
    """Rows, class offsets and a proper, arbitrary approximation around these rows' G."""
    X, y = classification(0, classes=classes)
    offsets = class_offsets(np.bincount(y.astype(int)))
    Phi, A = FEATURES(X), normal(1, classes - 1, classes - 1)
    gram = Eigenbasis.of(Phi.T @ Phi)
    U = 0.7 * normal(2, SIZE, classes - 1)
    return X, y, offsets, Approximation(U, 0.1 * A @ A.T, gram, 0.8)


def dense_covariance(q: Approximation):
    """(W (x) G + I / a)^-1, over vec U: contrasts first."""
    G = (q.gram.vectors * q.gram.values) @ q.gram.vectors.T
    precision = np.kron(q.curvature, G)
    return np.linalg.inv(precision + np.eye(len(precision)) / q.amplitude)


@pytest.mark.parametrize("classes", [2, 3])
def test_the_latent_function_has_the_dense_moments(classes: int) -> None:
    """Mean U'phi; covariance (I (x) phi)' (W (x) G + I/a)^-1 (I (x) phi) + a (k - phi'phi) I."""
    X, _, _, q = problem(classes)
    Phi, uncovered = FEATURES.covered(X[:9])
    mean, covariance = q.latent(Phi, uncovered)
    dense, flat = dense_covariance(q), q.mean.T.ravel()
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
def test_draws_have_the_covariance(classes: int) -> None:
    """A linear map of standard normal numbers, whose square is the covariance."""
    _, _, _, q = problem(classes)
    n = SIZE * (classes - 1)
    units = np.eye(n).reshape(SIZE, classes - 1, n)
    root = (q.drawn(units) - q.mean[:, :, None]).swapaxes(0, 1).reshape(n, n)
    np.testing.assert_allclose(root @ root.T, dense_covariance(q), rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("classes", [2, 3])
def test_the_sums_are_what_they_are_said_to_be(classes: int) -> None:
    """Row by row, from each row's averages; leverages add up to one."""
    X, y, offsets, q = problem(classes)
    found = local_expansion([(X, y)], FEATURES, q, Softmax(offsets))
    Phi, uncovered = FEATURES.covered(X)
    leverages, Q = q.leverages(Phi), contrast(classes)
    assert leverages.sum() == pytest.approx(1.0, rel=1e-9)
    each = average(offsets, *q.latent(Phi, uncovered))
    likelihood, cost = 0.0, 0.0
    gradient, curvature = np.zeros_like(q.mean), np.zeros_like(q.curvature)
    for i, label in enumerate(y.astype(int)):
        H = np.zeros_like(q.curvature)
        for entry, (j, k) in zip(each.curvature[i], pairs(classes - 1), strict=True):
            H[j, k] = H[k, j] = entry
        likelihood += each.log_probabilities[i, label]
        cost += 0.5 * np.trace(H) * uncovered[i]
        gradient += np.outer(Phi[i], Q.T @ (np.eye(classes)[label] - each.probabilities[i]))
        curvature += leverages[i] * H
    assert found.count == len(X)
    assert found.log_likelihood == pytest.approx(likelihood, rel=1e-9)
    assert found.uncovered == pytest.approx(cost, rel=1e-9)
    np.testing.assert_allclose(found.gradient, gradient, rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(found.curvature, curvature, rtol=1e-8, atol=1e-12)


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 16), st.integers(0, 2**32 - 1), st.sampled_from([2, 3]))
def test_any_partition_sums_to_the_pooled_expansion(sites: int, seed: int, classes: int) -> None:
    """Sites without rows or without a class add what they have."""
    X, y, offsets, q = problem(classes)
    pooled = local_expansion([(X, y)], FEATURES, q, Softmax(offsets))
    parts = split(np.random.default_rng(seed), X, y, sites)
    locals_ = [local_expansion(part, FEATURES, q, Softmax(offsets)) for part in parts]
    total = np.sum([each.pack() for each in locals_], axis=0)
    np.testing.assert_allclose(total, pooled.pack(), rtol=1e-11, atol=1e-10)
    found = Expansion.unpack(total, SIZE, classes - 1)
    np.testing.assert_allclose(found.curvature, pooled.curvature, rtol=1e-10, atol=1e-10)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(-3, 3), st.sampled_from([2, 3, 5]))
def test_no_total_exceeds_its_bound(seed: int, size: float, classes: int) -> None:
    """Whatever the mean is, and also where every row is sure and wrong; the gradient gets close."""
    X, y = classification(seed, classes=classes)
    offsets = class_offsets(np.bincount(y.astype(int)))
    statistics = statistics_of(LabelRows([(X, y)], offsets), FEATURES, classes - 1)
    gram = Eigenbasis.of(statistics.message.precision)
    U = 10.0**size * normal(seed + 1, SIZE, classes - 1)
    q = Approximation(U, np.eye(classes - 1) / 4, gram, 1.0)
    packed = local_expansion([(X, y)], FEATURES, q, Softmax(offsets)).pack()
    runs = total_bounds(statistics)
    assert sum(length for length, _ in runs) == len(packed) == numbers_told(SIZE, classes - 1)
    start = 0
    for length, bound in runs:
        if bound is not None:
            assert (np.abs(packed[start : start + length]) < bound).all()
        start += length


def test_sums_that_no_rows_have_still_have_bounds() -> None:
    """A member may give a negative precision: then words are refused, and no node ends."""
    X, y = classification(0, classes=2)
    statistics = statistics_of(LabelRows([(X, y)], np.log([0.5, 0.5])), FEATURES, 1)
    message = replace(statistics.message, precision=-np.eye(SIZE))
    runs = total_bounds(replace(statistics, message=message))
    segments = Segments.of(numbers_told(SIZE, 1), runs)
    with pytest.raises(NumericalError, match="can't be summed"):
        segments.encode(np.ones(segments.numbers))


def test_the_gradients_bound_is_no_wild_guess() -> None:
    """One feature that is the same in all rows, all of them sure and wrong: 0.71 of the bound."""
    X, y = np.tile(FEATURES.landmarks[:1], (50, 1)), np.ones(50)
    offsets = np.log([0.5, 0.5])
    statistics = statistics_of(LabelRows([(X, y)], offsets), FEATURES, 1)
    gram = Eigenbasis.of(statistics.message.precision)
    U = -1e6 * FEATURES(X[:1]).T
    q = Approximation(U, np.eye(1) / 4, gram, 1.0)
    gradient = local_expansion([(X, y)], FEATURES, q, Softmax(offsets)).gradient
    bound = total_bounds(statistics)[3][1]
    assert bound is not None
    assert np.abs(gradient).max() == pytest.approx(bound / np.sqrt(2), rel=1e-3)


def test_what_does_not_fit_is_refused() -> None:
    """Lengths, labels, numbers that are not finite."""
    X, y, offsets, q = problem(2)
    vector = local_expansion([(X, y)], FEATURES, q, Softmax(offsets)).pack()
    with pytest.raises(NumericalError, match="wrong length"):
        Expansion.unpack(vector[:-1], SIZE, 1)
    vector[0] = np.nan
    with pytest.raises(NumericalError, match="not finite"):
        Expansion.unpack(vector, SIZE, 1)
    with pytest.raises(NumericalError, match="class index"):
        local_expansion([(X, y + 1)], FEATURES, q, Softmax(offsets))

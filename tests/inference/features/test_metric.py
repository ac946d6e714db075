"""A metric stretches the directions in which the function varies, and adds over rows."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_node.arrays import Matrix
from edge_node.errors import NumericalError
from edge_node.inference.features.metric import (
    MetricKind,
    gradient_outer_product,
    metric_from,
    place_exactly,
)
from edge_node.inference.features.nystrom import Features
from tests.inference.problems import NTK, features_on, learn, normal, regression


def semidefinite(seed: int, size: int, rank: int) -> Matrix:
    """A random A'A."""
    A = normal(seed, rank, size)
    return A.T @ A


@pytest.mark.parametrize("outputs", [None, 2])
def test_it_sums_outer_products_of_gradients(outputs: int | None) -> None:
    """Against central differences of the mean, under a metric, over chunks."""
    X, metric = normal(0, 25, 3), metric_from(semidefinite(1, 3, 3))
    Z = normal(2, 12, 3)
    features = Features.build(NTK, Z @ metric.T, metric)
    weights = normal(3, 12) if outputs is None else normal(3, 12, outputs)
    step, expected = 1e-5, np.zeros((3, 3))
    for x in X:
        points = x + step * np.vstack([np.eye(3), -np.eye(3)])
        f = (features(points) @ weights).reshape(6, -1)
        gradients = (f[:3] - f[3:]) / (2 * step)  # (d, q)
        expected += gradients @ gradients.T
    found = gradient_outer_product([(X[:10], X[:10, 0]), (X[10:], X[10:, 0])], features, weights)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-8 * np.trace(expected))


def test_sums_of_parts_are_the_whole() -> None:
    """However rows are split."""
    X, y = regression(4)
    features = features_on(normal(5, 20, 3))
    weights = learn(X, y, features).mean
    whole = gradient_outer_product([(X, y)], features, weights)
    parts = [gradient_outer_product([(X[i::3], y[i::3])], features, weights) for i in range(3)]
    np.testing.assert_allclose(sum(parts), whole, rtol=1e-12)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    size=st.integers(1, 8),
    rank=st.integers(1, 8),
    exponent=st.integers(-12, 12),
)
def test_the_metric_is_the_root_to_scale(seed: int, size: int, rank: int, exponent: int) -> None:
    """T'T = M / scale with a trace of d, whatever M's unit and rank."""
    M = 10.0**exponent * semidefinite(seed, size, rank)
    T = metric_from(M)
    np.testing.assert_array_equal(T, T.T)
    np.testing.assert_allclose(T @ T, M * size / np.trace(M), atol=2e-5 * size)
    assert np.trace(T @ T) == pytest.approx(size, rel=1e-4)
    assert np.linalg.eigvalsh(T).min() > 0  # no direction is forgotten


def test_a_diagonal_metric_is_made_of_the_diagonal() -> None:
    """Whatever stands beside it; an input without influence keeps a quarter of its square."""
    M = np.diag([6.0, 2.0, 0.0])
    T = metric_from(M, MetricKind.DIAGONAL)
    np.testing.assert_allclose(
        T @ T, 0.75 * np.diag([2.25, 0.75, 0.0]) + 0.25 * np.eye(3), atol=1e-5
    )
    beside = M + np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    np.testing.assert_array_equal(metric_from(beside, MetricKind.DIAGONAL), T)


@pytest.mark.parametrize("kind", MetricKind)
def test_a_flat_function_asks_for_no_metric(kind: MetricKind) -> None:
    """Nothing to go by: the identity. And not a number is an error."""
    np.testing.assert_array_equal(metric_from(np.zeros((3, 3)), kind), np.eye(3))
    with pytest.raises(NumericalError, match="not finite"):
        metric_from(np.full((2, 2), np.nan), kind)


def test_an_input_that_matters_is_stretched() -> None:
    """Of six inputs one decides: it gets most of the metric."""
    X = normal(6, 400, 6)
    y = np.sin(2 * X[:, 3])
    features = features_on(normal(7, 60, 6))
    weights = learn(X, y, features, 0.01).mean
    relevance = np.square(metric_from(gradient_outer_product([(X, y)], features, weights)))
    assert relevance.sum(axis=0).argmax() == 3
    assert relevance.sum(axis=0)[3] > 0.7 * relevance.sum()


def test_placing_is_the_same_however_rows_are_chunked() -> None:
    """Bit for bit; a matrix product is not."""
    X, T = normal(8, 101, 7), metric_from(semidefinite(9, 7, 7))
    whole = place_exactly(X, T)
    np.testing.assert_array_equal(
        np.vstack([place_exactly(X[i : i + 1], T) for i in range(101)]), whole
    )
    np.testing.assert_allclose(whole, X @ T.T, rtol=1e-12, atol=1e-12)
    assert place_exactly(X, None) is X

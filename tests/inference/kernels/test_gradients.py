"""Gradients of kernel functions agree with 90-digit differences, with JAX, and with themselves."""

import itertools

import numpy as np
import pytest

from edge_node.arrays import Matrix
from edge_node.config import Activation, KernelKind
from edge_node.inference.kernels.activations import Signals
from edge_node.inference.kernels.dense import NETWORKS, DenseKernel, critical_variances
from edge_node.inference.kernels.layers import DenseNetwork
from edge_node.inference.numerics import compiled
from edge_node.inference.numerics.compiled import double_precision
from tests.inference.exact import exact_gradient
from tests.inference.problems import normal

KERNELS = [
    DenseKernel(kind, activation, depth, *variances, bias=0.7)
    for kind, activation, depth in itertools.product(NETWORKS, Activation, (1, 2, 4))
    for variances in (critical_variances(activation), (1.3, 0.2))
]
EVERY = pytest.mark.parametrize("kernel", KERNELS, ids=lambda k: f"{k} sb2 {k.bias_variance:.1g}")
SOME = pytest.mark.parametrize("kernel", KERNELS[2::6], ids=str)


def alone(kernel: DenseKernel, X: Matrix, Z: Matrix) -> Matrix:
    """Grad k(x_i, z_i) for each pair of rows, (n, d)."""
    gradients = kernel.gradient(X, Z, np.eye(len(Z)))
    return np.array([gradients[i, i] for i in range(len(X))])


@EVERY
@pytest.mark.parametrize(
    ("distance", "tolerance"), [(1e-9, 1e-6), (1e-6, 1e-9), (1e-3, 1e-11), (1.0, 1e-12)]
)
def test_agrees_with_exact_differences(
    kernel: DenseKernel, distance: float, tolerance: float
) -> None:
    """Also for rows that nearly coincide: there the direction is known as well as z - x is."""
    X = 2.0 * normal(1, 2, 3)
    Z = X + distance * normal(2, 2, 3)
    expected = np.array([exact_gradient(kernel, x, z) for x, z in zip(X, Z, strict=True)])
    error = np.abs(alone(kernel, X, Z) - expected)
    assert error.max() <= tolerance * np.abs(expected).max()


@pytest.mark.parametrize("kind", NETWORKS)
@pytest.mark.parametrize("activation", Activation)
def test_opposite_rows(kind: KernelKind, activation: Activation) -> None:
    """Nearly antipodal signals, which only a network without any bias sees."""
    kernel = DenseKernel(kind, activation, 3, 2.0, 0.0, bias=0.0)
    X = normal(3, 2, 3)
    Z = -X + 1e-4 * normal(4, 2, 3)
    expected = np.array([exact_gradient(kernel, x, z) for x, z in zip(X, Z, strict=True)])
    np.testing.assert_allclose(alone(kernel, X, Z), expected, rtol=1e-8, atol=1e-9)


@EVERY
def test_agrees_with_jax(kernel: DenseKernel) -> None:
    """Sums over landmarks, differentiated by JAX through the layers."""
    import jax

    network = DenseNetwork(
        kernel.kind, kernel.activation, kernel.depth, kernel.weight_variance, kernel.bias_variance
    )
    X, Z, A = normal(5, 6, 3), normal(6, 9, 3), normal(7, 9, 2)

    def functions(X: Matrix) -> Matrix:
        def inner(U: Matrix, V: Matrix) -> Matrix:
            return kernel.weight_variance * (U @ V + kernel.bias**2) + kernel.bias_variance

        p, q = jax.vmap(inner)(X, X)[:, None], jax.vmap(inner)(Z, Z)[None, :]
        gap = 1.0 - inner(X, Z.T) / jax.numpy.sqrt(p * q)
        return (network.kernel(jax.numpy, Signals(p, q, gap)) @ A).sum(axis=0)

    with double_precision(jax):
        expected = np.asarray(jax.jacobian(functions)(jax.numpy.asarray(X)))
    np.testing.assert_allclose(kernel.gradient(X, Z, A), expected, rtol=1e-8, atol=1e-9)


@SOME
def test_agrees_with_differences(kernel: DenseKernel) -> None:
    """Differences of the kernel's own values."""
    X, Z, A, step = normal(8, 7, 4), normal(9, 30, 4), normal(10, 30, 3), 1e-5
    differences = np.stack(
        [(kernel(X + h, Z) - kernel(X - h, Z)) @ A / (2 * step) for h in step * np.eye(4)], axis=-1
    )
    gradient = kernel.gradient(X, Z, A)
    assert gradient.shape == (3, 7, 4)
    np.testing.assert_allclose(gradient, differences.transpose(1, 0, 2), rtol=1e-6, atol=1e-7)


@EVERY
def test_a_coinciding_landmark_pulls_along_the_row_only(kernel: DenseKernel) -> None:
    """At x = z, by symmetry, half the gradient of k(x, x): what an NTK's kink leaves."""
    X, step = normal(11, 4, 3), 1e-5
    gradient = alone(kernel, X, X.copy())
    differences = np.stack(
        [(kernel.diagonal(X + h) - kernel.diagonal(X - h)) / (4 * step) for h in step * np.eye(3)],
        axis=-1,
    )
    np.testing.assert_allclose(gradient, differences, rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("kind", NETWORKS)
@pytest.mark.parametrize("activation", Activation)
def test_zero_rows_are_finite(kind: KernelKind, activation: Activation) -> None:
    """The origin, with and without biases: the limit where the kernel is smooth."""
    X, Z = np.zeros((1, 3)), normal(12, 5, 3)
    for bias in (0.0, 1.0):
        kernel = DenseKernel(kind, activation, 2, 2.0, 0.0, bias=bias)
        gradient = kernel.gradient(X, np.vstack([Z, X]), np.ones((6, 1)))[0, 0]
        assert np.isfinite(gradient).all()
        if bias or activation is not Activation.RELU:
            expected = np.sum([exact_gradient(kernel, X[0], z) for z in Z], axis=0)
            np.testing.assert_allclose(gradient, expected, rtol=1e-10, atol=1e-13)


@SOME
def test_pieces_do_not_matter(kernel: DenseKernel, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows one at a time, a few at a time by JAX, or all at once."""
    X, Z, A = normal(13, 23, 3), normal(14, 7, 3), normal(15, 7, 2)
    X[4], X[5] = Z[5], Z[5] + 1e-9
    whole = kernel.gradient(X, Z, A)
    rows = np.concatenate([kernel.gradient(x[None], Z, A) for x in X], axis=1)
    np.testing.assert_allclose(rows, whole, rtol=1e-12, atol=1e-12)
    monkeypatch.setattr(compiled, "_JAX_FROM", 0)
    monkeypatch.setattr(compiled, "_JAX_BLOCK", 0)
    monkeypatch.setattr(compiled, "_JAX_PIECE", 70)
    np.testing.assert_allclose(kernel.gradient(X, Z, A), whole, rtol=1e-11, atol=1e-11)


def test_no_rows_no_gradient() -> None:
    """An empty chunk."""
    assert KERNELS[0].gradient(np.empty((0, 3)), normal(16, 4, 3), normal(17, 4, 2)).shape == (
        2,
        0,
        3,
    )

"""Classical kernels agree with scikit-learn's, with differences, and with themselves."""

import numpy as np
import pytest
from sklearn.gaussian_process.kernels import RBF, Matern

from edge_node.arrays import Matrix
from edge_node.config import KernelKind
from edge_node.errors import ConfigurationError
from edge_node.inference.kernels.stationary import STATIONARY, StationaryKernel
from tests.inference.problems import normal

EVERY = pytest.mark.parametrize(
    "kernel",
    [StationaryKernel(kind, length) for kind in STATIONARY for length in (0.4, 2.0)],
    ids=str,
)


def differences(kernel: StationaryKernel, X: Matrix, Z: Matrix, A: Matrix, step: float) -> Matrix:
    """The gradient from differences of the kernel's own values, (q, n, d)."""
    return np.stack(
        [
            ((kernel(X + h, Z) - kernel(X - h, Z)) @ A).T / (2 * step)
            for h in step * np.eye(X.shape[1])
        ],
        axis=-1,
    )


@EVERY
@pytest.mark.parametrize("inputs", [1, 4, 9])
def test_agrees_with_scikit_learn(kernel: StationaryKernel, inputs: int) -> None:
    """A lengthscale is in units of the square root of the number of inputs."""
    X, Z = normal(1, 40, inputs), normal(2, 1000, inputs)
    length = kernel.lengthscale * np.sqrt(inputs)
    theirs = RBF(length) if kernel.kind is KernelKind.RBF else Matern(length, nu=1.5)
    np.testing.assert_allclose(kernel(X, Z), theirs(X, Z), rtol=1e-12, atol=1e-300)


@EVERY
@pytest.mark.parametrize("distance", [1e-9, 1e-7, 1e-5, 1e-3])
def test_near_duplicates_keep_their_digits(kernel: StationaryKernel, distance: float) -> None:
    """1 - k, which is left of a distance, is what the difference of the rows says."""
    X = 3.0 * normal(3, 50, 4)
    Z = X + distance * normal(4, 50, 4)
    r = np.sqrt(np.square(X - Z).sum(axis=1) / 4) / kernel.lengthscale
    share = 0.5 if kernel.kind is KernelKind.RBF else 1.5 * (1 - 2 * r / np.sqrt(3))
    np.testing.assert_allclose(1.0 - np.diag(kernel(X, Z)), share * r**2, rtol=1e-4, atol=2e-16)
    assert (np.diag(kernel(X, X.copy())) == kernel.diagonal(X)).all()


@EVERY
def test_a_duplicate_is_one_exactly_wherever_it_lies(kernel: StationaryKernel) -> None:
    """Also far from the origin, where a matrix product would know no distance."""
    X = 1e6 + normal(5, 30, 3)
    block = kernel(X, X)
    assert (np.diag(block) == 1.0).all()
    assert (block <= 1.0).all()
    expected = np.exp(-0.5 * np.square(X[0] - X[1]).sum() / (3 * kernel.lengthscale**2))
    if kernel.kind is KernelKind.RBF:
        assert block[0, 1] == pytest.approx(expected, rel=1e-12)


@EVERY
def test_gradient_agrees_with_differences(kernel: StationaryKernel) -> None:
    """Sums over landmarks; some coincide with rows."""
    X, Z, A = normal(6, 30, 3), normal(7, 1500, 3), normal(8, 1500, 2)
    Z[:5] = X[:5]
    gradient = kernel.gradient(X, Z, A)
    assert gradient.shape == (2, 30, 3)
    np.testing.assert_allclose(gradient, differences(kernel, X, Z, A, 1e-5), rtol=1e-5, atol=1e-5)


@EVERY
def test_a_coinciding_landmark_pulls_nowhere(kernel: StationaryKernel) -> None:
    """The kernel is flat at x = z."""
    X = normal(9, 1, 3)
    assert np.abs(kernel.gradient(X, X, np.ones((1, 1)))).max() <= 1e-15


def test_no_rows() -> None:
    """An empty chunk."""
    kernel, nothing, Z = StationaryKernel(KernelKind.RBF), np.empty((0, 3)), normal(10, 4, 3)
    assert kernel(nothing, Z).shape == (0, 4)
    assert kernel.gradient(nothing, Z, np.ones((4, 2))).shape == (2, 0, 3)


@pytest.mark.parametrize(
    ("kind", "length", "complaint"),
    [
        (KernelKind.NTK, 1.0, "kind is out of range.*matern32 or rbf.*ntk"),
        (KernelKind.RBF, 0.0, "lengthscale is out of range"),
        (KernelKind.RBF, float("nan"), "lengthscale is out of range"),
    ],
)
def test_values_out_of_range_are_refused(kind: KernelKind, length: float, complaint: str) -> None:
    """A kernel that can't be is refused when it is made, by name."""
    with pytest.raises(ConfigurationError, match=complaint):
        StationaryKernel(kind, length)

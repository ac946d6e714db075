"""The gradients of weighted pairs of points, and of a point with itself: differences of values."""

import itertools

import numpy as np
import pytest

from edge_node.config import Activation, KernelKind
from edge_node.inference.kernels.dense import NETWORKS, DenseKernel, critical_variances
from edge_node.inference.kernels.kernel import Kernel
from edge_node.inference.kernels.stationary import STATIONARY, StationaryKernel
from tests.inference.problems import normal

KERNELS: list[Kernel] = [
    DenseKernel(kind, activation, 2, *critical_variances(activation))
    for kind, activation in itertools.product(NETWORKS, Activation)
]
KERNELS += [StationaryKernel(kind, 0.8) for kind in STATIONARY]
EVERY = pytest.mark.parametrize("kernel", KERNELS, ids=str)

STEP = 1e-4


@EVERY
def test_the_kernel_of_a_row_with_itself(kernel: Kernel) -> None:
    """Its gradient, and that of weighted pairs, are those of the values."""
    X, Z, W = normal(8, 6, 3), normal(9, 5, 3), normal(10, 6, 5)
    for found, value in (
        (kernel.diagonal_gradient(X), lambda X: kernel.diagonal(X)),
        (kernel.pair_gradient(X, Z, W), lambda X: (W * kernel(X, Z)).sum(axis=1)),
    ):
        steps = STEP * np.eye(3)
        expected = np.stack([(value(X + h) - value(X - h)) / (2 * STEP) for h in steps], axis=1)
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-7)


def test_no_kind_is_left_out() -> None:
    """Every kind of differentiable kernel is above."""
    kinds = {each.kind for each in KERNELS}  # type: ignore[attr-defined]
    assert kinds == set(KernelKind) - {KernelKind.CONV_NTK}

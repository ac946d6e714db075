"""What a kernel is, and the grid of kernels that the evidence chooses from."""

from collections.abc import Iterator
from itertools import product
from typing import ClassVar, Protocol

import msgspec

from edge_node.arrays import Matrix, Vector
from edge_node.config import Activation, KernelKind, ModelSpec
from edge_node.inference.kernels.convolutional import ConvolutionalKernel
from edge_node.inference.kernels.dense import DenseKernel, critical_variances
from edge_node.inference.kernels.stationary import STATIONARY, StationaryKernel
from edge_node.inference.numerics.distances import Stack

__all__ = ["Kernel", "kernel_from_json", "kernel_grid", "kernel_to_json"]


class Kernel(Protocol):
    """A positive semidefinite function k(x, z) of two rows of encoded inputs.

    A kernel is a frozen value; its ``str`` describes it in a few words.

    Attributes:
        differentiable: whether it has gradients: without them no metric can be learnt.
    """

    differentiable: ClassVar[bool]

    def __call__(self, X: Matrix, Z: Matrix) -> Matrix:
        """The block k(X, Z) (n, m) between rows X (n, d) and Z (m, d), float64, C order."""
        ...

    def within(self, X: Stack) -> Stack:
        """K between all rows of each of X (g, m, d): (g, m, m)."""
        ...

    def diagonal(self, X: Matrix) -> Vector:
        """k(x, x) for each row of X (n, d), shape (n,)."""
        ...

    def gradient(self, X: Matrix, Z: Matrix, A: Matrix) -> Matrix:
        """The gradients of f_c(x) = sum_j A[j, c] k(x, z_j) at rows X (n, d): (q, n, d).

        Args:
            X: rows (n, d).
            Z: landmarks (m, d).
            A: weights (m, q).
        """
        ...

    def pair_gradient(self, X: Matrix, Z: Matrix, W: Matrix) -> Matrix:
        """The gradients of f_i(x_i) = sum_j W[i, j] k(x_i, z_j) at each row of X: (n, d).

        Args:
            X: rows (n, d).
            Z: rows (m, d).
            W: weights (n, m).
        """
        ...

    def diagonal_gradient(self, X: Matrix) -> Matrix:
        """The gradients of k(x, x) at rows X (n, d): (n, d)."""
        ...


def kernel_grid(model: ModelSpec) -> list[Kernel]:
    """All kernels of a spec, in the spec's order; variances that it doesn't give are critical."""
    grid: list[Kernel] = []
    for kind in model.kernels:
        if kind in STATIONARY:
            grid += [StationaryKernel(kind, length) for length in model.lengthscales]
        elif kind is KernelKind.CONV_NTK:
            grid += _convolutional(model)
        else:
            grid += _dense(kind, model)
    return grid


def _dense(kind: KernelKind, model: ModelSpec) -> Iterator[Kernel]:
    for activation, variances in _activations(model):
        for depth, bias in product(model.depths, model.biases):
            yield DenseKernel(kind, activation, depth, *variances, bias)


def _convolutional(model: ModelSpec) -> Iterator[Kernel]:
    image = model.image or (0, 0, 0)  # which the kernel refuses
    for activation, variances in _activations(model):
        for depth in model.depths:
            yield ConvolutionalKernel(image, activation, depth, *variances)


def _activations(model: ModelSpec) -> Iterator[tuple[Activation, tuple[float, float]]]:
    """Each activation with (sw2, sb2)."""
    for activation in model.activations:
        sw2, sb2 = critical_variances(activation)
        sw2 = sw2 if model.weight_variance is None else model.weight_variance
        sb2 = sb2 if model.bias_variance is None else model.bias_variance
        yield activation, (sw2, sb2)


def kernel_to_json(kernel: Kernel) -> str:
    """A kernel's type and numbers, without loss."""
    return msgspec.json.encode(kernel).decode()


def kernel_from_json(text: str) -> Kernel:
    """The inverse of ``kernel_to_json``. Raises ValueError for anything else."""
    return msgspec.json.decode(text, type=DenseKernel | StationaryKernel | ConvolutionalKernel)

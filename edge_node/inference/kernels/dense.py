"""Kernels of infinitely wide dense networks: NTK and NNGP; ReLU, erf and GELU; any depth.

Inputs x (d,) are mapped to x~ = sqrt(d + 1) [x, beta], and the network is that of neural-tangents'
convention with D = d + 1 inputs, so that the first dense layer's covariance is

    S0 = sw2 <x~, z~> / D + sb2 = sw2 (<x, z> + beta^2) + sb2,

an inner product of the signals [sqrt(sw2) x, sqrt(sw2 beta^2 + sb2)]. From there on a kernel is a
function of two lengths and an angle. ReLU without bias variance is homogeneous, and its layers are
one polynomial (``homogeneous``); everything else is the recursion (``layers``).

Large blocks are computed by JAX, in pieces of one fixed shape; small ones by NumPy.
"""

from dataclasses import dataclass
from types import ModuleType
from typing import Any, ClassVar

import msgspec
import numpy as np

from edge_node.arrays import Matrix, Vector
from edge_node.config import Activation, KernelKind
from edge_node.inference.kernels.activations import Signals
from edge_node.inference.kernels.gradients import angular_gradient
from edge_node.inference.kernels.homogeneous import AngularFunction, fit_angular_function
from edge_node.inference.kernels.layers import DenseNetwork
from edge_node.inference.kernels.ranges import check_ranges
from edge_node.inference.numerics.compiled import Pieces, aligned_empty
from edge_node.inference.numerics.distances import Stack, directions, gaps, stacked_gaps

__all__ = ["NETWORKS", "DenseKernel", "DenseSection", "critical_variances"]

NETWORKS = (KernelKind.NTK, KernelKind.NNGP)


def critical_variances(activation: Activation) -> tuple[float, float]:
    """(sw2, sb2) at the edge of chaos: signals neither die nor explode with depth.

    At a fixed point q = sw2 E[phi(u)^2] + sb2, u ~ N(0, q), the edge of chaos is
    chi_1 = sw2 E[phi'(u)^2] = 1 (Poole et al. 2016, eq. 3 and 6; Schoenholz et al. 2017, sec. 3).

    ReLU: chi_1 = sw2 / 2, so sw2 = 2, and any q is a fixed point if sb2 = 0 (He et al. 2015).

    erf: E[phi'^2] = (4 / pi) / sqrt(1 + 4 q) and E[phi^2] = (2 / pi) arcsin(2 q / (1 + 2 q)), so

        sw2 = (pi / 4) sqrt(1 + 4 q),   sb2 = q - sqrt(1 + 4 q) arcsin(2 q / (1 + 2 q)) / 2,

    a line with a parameter q. Taken is q = 1, hidden signals of unit variance: (1.756, 0.184).

    GELU, also at q = 1: with r = pi sqrt 3, E[phi'^2] = 1/3 + 2 / (3 r) and
    E[phi^2] = 1/3 + 1 / (2 r) (the formulas of ``activations`` at p = q = S = 1), so

        sw2 = 3 r / (r + 2),   sb2 = 1 / (2 r + 4): (2.194, 0.067).
    """
    match activation:
        case Activation.RELU:
            return 2.0, 0.0
        case Activation.ERF:
            root = float(np.sqrt(5.0))
            return np.pi / 4.0 * root, 1.0 - root * float(np.arcsin(2.0 / 3.0)) / 2.0
        case Activation.GELU:
            r = np.pi * float(np.sqrt(3.0))
            return 3.0 * r / (r + 2.0), 1.0 / (2.0 * r + 4.0)


class DenseKernel(msgspec.Struct, frozen=True, tag="dense"):
    """k(x, z) of an infinitely wide dense network. Calling it gives a block of kernel values.

    Attributes:
        kind: NTK (the network trained) or NNGP (the network at random).
        activation: the nonlinearity.
        depth: the number L of hidden layers, at least 1.
        weight_variance: sw2 = W_std^2, positive.
        bias_variance: sb2 = b_std^2, not negative.
        bias: beta, the constant input coordinate.

    Raises:
        ConfigurationError: a value outside its range.
    """

    kind: KernelKind
    activation: Activation
    depth: int
    weight_variance: float
    bias_variance: float
    bias: float = 1.0

    differentiable: ClassVar[bool] = True

    def __post_init__(self) -> None:
        ranges = {
            "kind": (" or ".join(NETWORKS), self.kind in NETWORKS),
            "depth": ("at least 1", self.depth >= 1),
            "weight_variance": ("positive", 0.0 < self.weight_variance < np.inf),
            "bias_variance": ("zero or positive", 0.0 <= self.bias_variance < np.inf),
            "bias": ("finite", bool(np.isfinite(self.bias))),
        }
        check_ranges(self, ranges)

    def __str__(self) -> str:
        return f"{self.kind} {self.activation} depth {self.depth} bias {self.bias:g}"

    def __call__(self, X: Matrix, Z: Matrix) -> Matrix:
        """The block k(X, Z) (n, m) between rows X (n, d) and Z (m, d), float64, C order."""
        return self.section(Z)(X)

    def within(self, X: Stack) -> Stack:
        """K between all rows of each of X (g, m, d): (g, m, m)."""
        count, rows, inputs = X.shape
        U, p = directions(self.signals(X.reshape(-1, inputs)))
        block = aligned_empty((count * rows, rows))
        stacks = block.reshape(count, rows, rows)
        stacked_gaps(U.reshape(count, rows, -1), stacks)
        Pieces(self, block.shape).fill(block, p, np.repeat(p.reshape(count, rows), rows, axis=0))
        return stacks

    def section(self, Z: Matrix) -> "DenseSection":
        """k(., Z) for Z (m, d), for several calls."""
        V, q = directions(self.signals(Z))
        return DenseSection(self, np.asfortranarray(V), q)

    def diagonal(self, X: Matrix) -> Vector:
        """k(x, x) for each row of X (n, d), shape (n,)."""
        _, p = directions(self.signals(X))
        if function := self._angular_function():
            return self._scale * p * function.coincident
        values: Vector = self.evaluate(np, p, p, np.zeros_like(p))
        return values

    def gradient(self, X: Matrix, Z: Matrix, A: Matrix) -> Matrix:
        """The gradients of f_c(x) = sum_j A[j, c] k(x, z_j) at each row of X.

        Args:
            X: rows (n, d).
            Z: landmarks (m, d).
            A: weights (m, q).

        Returns:
            Shape (q, n, d). Where a kernel has a kink (an NTK, at x = z) its share is zero.
        """
        return self._gradient(X, Z, A.T[:, None, :])

    def pair_gradient(self, X: Matrix, Z: Matrix, W: Matrix) -> Matrix:
        """The gradients of f_i(x_i) = sum_j W[i, j] k(x_i, z_j) at each row of X: (n, d).

        Args:
            X: rows (n, d).
            Z: rows (m, d).
            W: weights (n, m).
        """
        gradient: Matrix = self._gradient(X, Z, W[None])[0]
        return gradient

    def diagonal_gradient(self, X: Matrix) -> Matrix:
        """The gradients of k(x, x) at rows X (n, d): (n, d).

        k(x, x) depends on x twice, each time by k_p at an angle of zero.
        """
        signals = self.signals(X)
        p = np.maximum(np.sum(np.square(signals), axis=1), np.finfo(float).tiny)
        by_power, _ = self.slopes(np, p, p, np.zeros_like(p))
        gradient: Matrix = 4.0 * np.sqrt(self.weight_variance) * by_power[:, None] * signals[:, :-1]
        return gradient

    def _gradient(self, X: Matrix, Z: Matrix, W: Matrix) -> Matrix:
        """As ``angular_gradient``, in the rows instead of their signals: (q, n, d)."""
        slopes = Pieces(_Slopes(self), (len(X), len(Z)))
        signals, others = self.signals(X), self.signals(Z)
        gradient: Matrix = angular_gradient(slopes, slopes.rows, signals, others, W)[:, :, :-1]
        gradient *= np.sqrt(self.weight_variance)
        return gradient

    def evaluate(self, xp: ModuleType, *arrays: Any) -> Any:
        """The kernel from p, q (squared lengths of signals) and gap (1 - cosine), which broadcast.

        ``xp`` is numpy or jax.numpy; elementwise, and the same formula for both.
        """
        p, q, gap = arrays
        if function := self._angular_function():
            return self._scale * xp.sqrt(p) * xp.sqrt(q) * function(xp, gap)
        return self._network.kernel(xp, Signals(p, q, gap))

    def slopes(self, xp: ModuleType, *arrays: Any) -> Any:
        """The kernel's derivatives with respect to p and to the angle, stacked; p, q are positive.

        Arguments as for ``evaluate``.
        """
        p, q, gap = arrays
        function, derivative = self._angular_function(), self._angular_function(derivative=True)
        if function and derivative:
            ratio = self._scale * xp.sqrt(q) / xp.sqrt(p)
            return xp.stack([0.5 * ratio * function(xp, gap), ratio * p * derivative(xp, gap)])
        return xp.stack(self._network.slopes(xp, Signals(p, q, gap)))

    @property
    def _network(self) -> DenseNetwork:
        sw2, sb2 = self.weight_variance, self.bias_variance
        return DenseNetwork(self.kind, self.activation, self.depth, sw2, sb2)

    @property
    def _scale(self) -> float:
        return (self.weight_variance / 2.0) ** self.depth

    def _angular_function(self, *, derivative: bool = False) -> AngularFunction | None:
        """All layers as one function of the angle, at sw2 = 2, where there is one."""
        if self.activation is Activation.RELU and self.bias_variance == 0.0:
            return fit_angular_function(self.kind, self.depth, derivative=derivative)
        return None

    def signals(self, X: Matrix) -> Matrix:
        """[sqrt(sw2) x, sqrt(sw2 beta^2 + sb2)] (n, d + 1) for X (n, d): inner products are S0."""
        n, d = X.shape
        signals = np.empty((n, d + 1))
        np.multiply(X, np.sqrt(self.weight_variance), out=signals[:, :d])
        signals[:, d] = np.sqrt(self.weight_variance * self.bias**2 + self.bias_variance)
        return signals


@dataclass(frozen=True)
class DenseSection:
    """k(., Z): what depends on Z alone is computed once.

    Attributes:
        kernel: k.
        directions: of Z's signals (m, d + 1), best in Fortran order.
        powers: their squared lengths (m,).
    """

    kernel: DenseKernel
    directions: Matrix
    powers: Vector

    def __call__(self, X: Matrix, out: Matrix | None = None) -> Matrix:
        """The block k(X, Z) (n, m) for X (n, d), float64, C order; in ``out``, where it is given
        (``aligned_empty``).
        """
        U, p = directions(self.kernel.signals(X))
        block = aligned_empty((len(U), len(self.directions))) if out is None else out
        Pieces(self.kernel, block.shape).fill(
            block,
            p,
            self.powers,
            lambda piece: gaps(U[piece], self.directions, out=block[piece]),
        )
        return block


class _Slopes(msgspec.Struct, frozen=True):
    """``DenseKernel.slopes`` as an array function of its own."""

    kernel: DenseKernel

    def evaluate(self, xp: ModuleType, *arrays: Any) -> Any:
        return self.kernel.slopes(xp, *arrays)

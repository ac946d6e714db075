"""Classical kernels of the distance between rows: Matern-3/2 and the squared exponential (RBF).

They are baselines, in the same machinery. The distance is measured in units of l sqrt(d), for a
lengthscale l and d inputs: two random rows of standardised inputs are sqrt(2 d) apart, so that
l = 1 is a sensible length whatever the number of inputs.
"""

from typing import ClassVar

import msgspec
import numpy as np

from edge_node.arrays import Matrix, Vector
from edge_node.config import KernelKind
from edge_node.inference.kernels.ranges import check_ranges
from edge_node.inference.numerics.distances import (
    Stack,
    squared_distances,
    stacked_squares,
    strips,
)

__all__ = ["STATIONARY", "StationaryKernel"]

STATIONARY = (KernelKind.MATERN32, KernelKind.RBF)


class StationaryKernel(msgspec.Struct, frozen=True, tag="stationary"):
    """k(x, z) of s = |x - z|^2 / (l^2 d), with k(x, x) = 1. Calling it gives a block of values.

    Rasmussen & Williams 2006, eq. 4.17 and 4.9:

        Matern-3/2:  (1 + sqrt(3 s)) exp(-sqrt(3 s)),      RBF:  exp(-s / 2).

    Attributes:
        kind: Matern-3/2 or RBF.
        lengthscale: l, positive, in units of sqrt(d).

    Raises:
        ConfigurationError: a value outside its range.
    """

    kind: KernelKind
    lengthscale: float = 1.0

    differentiable: ClassVar[bool] = True

    def __post_init__(self) -> None:
        ranges = {
            "kind": (" or ".join(STATIONARY), self.kind in STATIONARY),
            "lengthscale": ("positive", 0.0 < self.lengthscale < np.inf),
        }
        check_ranges(self, ranges)

    def __str__(self) -> str:
        return f"{self.kind} lengthscale {self.lengthscale:g}"

    def __call__(self, X: Matrix, Z: Matrix) -> Matrix:
        """The block k(X, Z) (n, m) between rows X (n, d) and Z (m, d), float64, C order."""
        block = np.empty((len(X), len(Z)))
        for strip in strips(len(X), len(Z)):
            block[strip] = self._value(self._scaled(X[strip], Z))
        return block

    def within(self, X: Stack) -> Stack:
        """K between all rows of each of X (g, m, d): (g, m, m)."""
        return self._value(stacked_squares(X) / self._unit(X))

    def diagonal(self, X: Matrix) -> Vector:
        """k(x, x) = 1 for each row of X (n, d), shape (n,)."""
        return np.ones(len(X))

    def gradient(self, X: Matrix, Z: Matrix, A: Matrix) -> Matrix:
        """The gradients of f_c(x) = sum_j A[j, c] k(x, z_j) at each row of X.

        grad_x k = -w(s) (x - z) / (l^2 d), with w = 3 exp(-sqrt(3 s)) for Matern-3/2 and
        w = exp(-s / 2) for RBF: no kink at x = z. Sums over landmarks are matrix products.

        Args:
            X: rows (n, d).
            Z: landmarks (m, d).
            A: weights (m, q).

        Returns:
            Shape (q, n, d).
        """
        gradient = np.empty((A.shape[1], *X.shape))
        weighted = A.T[:, :, None] * Z
        for strip in strips(len(X), len(Z)):
            w = self._pull(self._scaled(X[strip], Z))
            gradient[:, strip] = w @ weighted - (w @ A).T[:, :, None] * X[strip]
        gradient /= self._unit(X)
        return gradient

    def pair_gradient(self, X: Matrix, Z: Matrix, W: Matrix) -> Matrix:
        """The gradients of f_i(x_i) = sum_j W[i, j] k(x_i, z_j) at each row of X: (n, d).

        Args:
            X: rows (n, d).
            Z: rows (m, d).
            W: weights (n, m).
        """
        gradient = np.empty(X.shape)
        for strip in strips(len(X), len(Z)):
            w = self._pull(self._scaled(X[strip], Z)) * W[strip]
            gradient[strip] = w @ Z - w.sum(axis=1)[:, None] * X[strip]
        gradient /= self._unit(X)
        return gradient

    def diagonal_gradient(self, X: Matrix) -> Matrix:
        """The gradients of k(x, x) at rows X (n, d): zero, (n, d)."""
        return np.zeros(X.shape)

    def _unit(self, X: Matrix) -> float:
        """l^2 d."""
        return float(self.lengthscale**2 * X.shape[-1])

    def _scaled(self, X: Matrix, Z: Matrix) -> Matrix:
        """The scaled squared distances s (n, m)."""
        return squared_distances(X, Z) / self._unit(X)

    def _value(self, s: Matrix) -> Matrix:
        """The kernel (n, m), a function of s."""
        if self.kind is KernelKind.RBF:
            return np.exp(-0.5 * s)
        root = np.sqrt(3.0 * s)
        return (1.0 + root) * np.exp(-root)

    def _pull(self, s: Matrix) -> Matrix:
        """The weights w = -2 dk / ds (n, m)."""
        if self.kind is KernelKind.RBF:
            return np.exp(-0.5 * s)
        return 3.0 * np.exp(-np.sqrt(3.0 * s))

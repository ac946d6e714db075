"""Features: the finite map through which every node sees the kernel.

With landmarks Z and K_ZZ = L L', phi(x) = L^-1 k(Z, x), so that phi(x)' phi(z) is the Nystrom
approximation k(x, Z) K_ZZ^-1 k(Z, z) (Williams & Seeger 2001), exact at landmarks. What it leaves
out at x, k(x, x) - |phi(x)|^2 >= 0, is the variance of the residual process (Snelson & Ghahramani
2006).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import lapack

from edge_node.arrays import Matrix, Vector
from edge_node.errors import DataError, NumericalError
from edge_node.inference.features.whitening import Whitening, row_by_row, whitening
from edge_node.inference.kernels.dense import DenseKernel, DenseSection
from edge_node.inference.kernels.kernel import Kernel, kernel_from_json, kernel_to_json
from edge_node.inference.numerics.blas import solve_rows

__all__ = ["Arrays", "Features", "check_finite"]

Arrays: TypeAlias = Mapping[str, NDArray[Any]]
"""The arrays of a NumPy archive, by name."""


@dataclass(frozen=True)
class Features:
    """The feature map of a kernel and its landmarks. Calling it gives Phi.

    A Cholesky factor, not an eigenbasis: it is continuous in K_ZZ, so two processors' rounding
    can't turn the basis that all nodes must share.

    Attributes:
        kernel: the kernel.
        landmarks: Z (r, d), where the metric puts them.
        cholesky: L (r, r), lower triangular, K_ZZ = L L'.
        metric: T (k, d): the kernel sees T x instead of x; None for the identity.
    """

    kernel: Kernel
    landmarks: Matrix
    cholesky: Matrix
    metric: Matrix | None = None

    @classmethod
    def build(cls, kernel: Kernel, landmarks: Matrix, metric: Matrix | None = None) -> "Features":
        """Factorise K_ZZ, as it is: no jitter is added.

        Args:
            kernel: the kernel.
            landmarks: Z (r, d), where the metric puts them.
            metric: T (d, d), or None for the identity.

        Raises:
            NumericalError: K_ZZ is not positive definite to rounding.
        """
        factor, failed = lapack.dpotrf(kernel(landmarks, landmarks), lower=1, clean=1)
        if failed or not np.isfinite(factor).all():
            raise NumericalError(
                "the landmarks' kernel matrix can't be factorised",
                where=f"{kernel}, {len(landmarks)} landmarks",
                expected="a positive definite matrix",
                found=f"landmark {failed} depends on those before it" if failed else "a NaN",
                remedy="Prune the landmarks with `independent_landmarks`, or use fewer",
            )
        return cls(kernel, landmarks, factor, metric)

    def first(self, count: int) -> "Features":
        """The map on the first ``count`` landmarks: the first ``count`` of these features."""
        return replace(
            self, landmarks=self.landmarks[:count], cholesky=self.cholesky[:count, :count].copy()
        )

    def at_place(self) -> "Features":
        """The same map, for inputs that are where the metric puts them."""
        return replace(self, metric=None)

    def place(self, X: Matrix) -> Matrix:
        """Where the metric puts the rows of X (n, d): X T'."""
        return X if self.metric is None else X @ self.metric.T

    def __call__(self, X: Matrix, out: Matrix | None = None) -> Matrix:
        """Phi (n, r) = (L^-1 k(Z, T X))' for X (n, d), by one triangular solve in place.

        ``out`` is memory that may be used for it (``aligned_empty``).
        """
        block = self.covariances(X, out)
        solve_rows(self.cholesky, block)
        return block

    def covariances(self, X: Matrix, out: Matrix | None = None) -> Matrix:
        """k(T X, Z) (n, r) for X (n, d): what ``whitening`` makes Phi of, or sums over Phi.

        ``out`` is memory that may be used for it (``aligned_empty``).
        """
        placed = self.place(X)
        if self._section:
            return self._section(placed, out)
        return self.kernel(placed, self.landmarks)

    @cached_property
    def _section(self) -> DenseSection | None:
        """k(., Z), for a dense network."""
        if isinstance(self.kernel, DenseKernel):
            return self.kernel.section(self.landmarks)
        return None

    @cached_property
    def whitening(self) -> Whitening:
        """How sums over rows are whitened."""
        return whitening(self.cholesky)

    @property
    def row_by_row(self) -> Whitening:
        """How sums over few rows are whitened."""
        return row_by_row(self.cholesky)

    def prior_variance(self, X: Matrix) -> Vector:
        """k(Tx, Tx) for each row of X (n, d), shape (n,)."""
        return self.kernel.diagonal(self.place(X))

    def covered(self, X: Matrix) -> tuple[Matrix, Vector]:
        """Phi (n, r), and k(x, x) - |phi(x)|^2 (n,): not negative, rounding is cut off."""
        Phi = self(X)
        return Phi, np.maximum(self.prior_variance(X) - np.vecdot(Phi, Phi), 0.0)

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Everything, for ``numpy.savez``: no pickles."""
        metric = {} if self.metric is None else {"metric": self.metric}
        return {
            **metric,
            "kernel": np.array(kernel_to_json(self.kernel)),
            "landmarks": self.landmarks,
            "cholesky": self.cholesky,
        }

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> Self:
        """The inverse of ``to_arrays``. Raises KeyError or ValueError for anything else."""
        kernel = kernel_from_json(arrays["kernel"].item())
        return cls(kernel, arrays["landmarks"], arrays["cholesky"], arrays.get("metric"))


def check_finite(X: Matrix) -> None:
    """Raises DataError unless the encoded inputs X (n, d) are finite."""
    if not np.isfinite(X).all():
        raise DataError("an encoded input is not finite", expected="finite numbers", where="X")

"""Gaussian messages in canonical (information) form.

A message over u in R^r is exp(-1/2 u' Lambda u + eta' u), up to a constant: precision Lambda and
shift eta. A product of messages is the sum of their parameters; that is all a federation needs
to add. A message need not be normalisable: a site with fewer rows than features sends a
semi-definite Lambda. Several outputs that share one precision are kept as columns of eta.

Reference: Bishop 2006, section 2.3; Koller & Friedman 2009, section 14.2.1 (canonical forms).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce
from typing import Self

import numpy as np
from scipy.linalg import cho_solve, solve_triangular

from edge_node.arrays import Matrix, Vector
from edge_node.errors import NumericalError
from edge_node.inference.numerics.symmetric import pack_symmetric, packed_size, unpack_symmetric

__all__ = ["Gaussian", "cholesky", "product"]


@dataclass(frozen=True)
class Gaussian:
    """A Gaussian factor in canonical form.

    Attributes:
        precision: Lambda (r, r), symmetric, positive semi-definite.
        shift: eta (r,), or (r, q) for q outputs with the same precision.
    """

    precision: Matrix
    shift: Vector

    def __post_init__(self) -> None:
        size = len(self.shift)
        if self.precision.shape != (size, size):
            raise NumericalError(
                "a Gaussian's precision and shift differ in size",
                expected=f"precision ({size}, {size}) for shift {self.shift.shape}",
                found=str(self.precision.shape),
            )

    @classmethod
    def flat(cls, size: int, outputs: int | None = None) -> Self:
        """The message that says nothing: the product's neutral element."""
        shape = (size,) if outputs is None else (size, outputs)
        return cls(np.zeros((size, size)), np.zeros(shape))

    @classmethod
    def isotropic(cls, size: int, variance: float = 1.0) -> Self:
        """N(0, variance I) over R^size."""
        return cls(np.eye(size) / variance, np.zeros(size))

    @property
    def size(self) -> int:
        """r, the number of variables."""
        return len(self.shift)

    def __mul__(self, other: Self) -> Self:
        """The product of two messages: parameters add."""
        return type(self)(self.precision + other.precision, self.shift + other.shift)

    def __truediv__(self, other: Self) -> Self:
        """The belief without ``other``'s share in it (the cavity): parameters subtract."""
        return type(self)(self.precision - other.precision, self.shift - other.shift)

    def mean(self) -> Vector:
        """Lambda^-1 eta, the shape of ``shift``. Raises NumericalError unless Lambda > 0."""
        mean: Vector = cho_solve((cholesky(self.precision), True), self.shift, check_finite=False)
        return mean

    def covariance(self) -> Matrix:
        """Lambda^-1 (r, r), positive definite. Raises NumericalError unless Lambda > 0."""
        inverse = solve_triangular(
            cholesky(self.precision), np.eye(self.size), lower=True, check_finite=False
        )
        covariance: Matrix = inverse.T @ inverse
        return covariance

    def pack(self) -> Vector:
        """As one vector: Lambda's upper triangle row by row, then eta row by row.

        Shape (r (r + 1) / 2 + r q,), float64.
        """
        return np.concatenate([pack_symmetric(self.precision), self.shift.ravel()])

    @classmethod
    def unpack(cls, vector: Vector, size: int, outputs: int | None = None) -> Self:
        """The inverse of ``pack``; ``outputs=None`` for a shift of shape (r,).

        Raises:
            NumericalError: the vector's length doesn't fit ``size`` and ``outputs``.
        """
        triangle = packed_size(size)
        shape = (size,) if outputs is None else (size, outputs)
        expected = triangle + int(np.prod(shape))
        if vector.shape != (expected,):
            raise NumericalError(
                "a packed Gaussian has the wrong length",
                expected=f"{expected} numbers for {size} features, {outputs or 1} outputs",
                found=str(vector.shape),
            )
        shift = vector[triangle:].reshape(shape).copy()
        return cls(unpack_symmetric(vector[:triangle], size), shift)


def product(messages: Iterable[Gaussian]) -> Gaussian:
    """The product of one or more messages. Raises NumericalError if there is none."""
    messages = tuple(messages)
    if not messages:
        raise NumericalError("a product needs at least one message")
    return reduce(Gaussian.__mul__, messages)


def cholesky(matrix: Matrix, *, what: str = "precision") -> Matrix:
    """Lower L (r, r) with L L' = ``matrix``. No jitter is added.

    Raises:
        NumericalError: not finite or not positive definite; the message names ``what``.
    """
    if not np.isfinite(matrix).all():
        raise NumericalError(f"the {what} matrix holds values that are not finite")
    try:
        return np.linalg.cholesky(np.asarray(matrix, dtype=np.float64))
    except np.linalg.LinAlgError as error:
        raise NumericalError(
            f"the {what} matrix is not positive definite",
            expected="a proper Gaussian",
            found=f"{len(matrix)} variables of which some are undetermined",
            remedy="Multiply by a proper prior first",
        ) from error

"""A symmetric, positive semi-definite matrix by its eigenvalues: every function of it is cheap."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from edge_node.arrays import Matrix, Vector

__all__ = ["Eigenbasis"]


@dataclass(frozen=True)
class Eigenbasis:
    """V diag(values) V'.

    Where eigenvalues are equal, V is any basis; two processors may find different ones. So only
    functions of the matrix itself may leave a node, never coordinates.

    Attributes:
        values: (r,), not negative.
        vectors: V (r, r), orthonormal columns.
    """

    values: Vector
    vectors: Matrix

    @classmethod
    def of(cls, matrix: Matrix) -> Self:
        """Decompose a matrix (r, r); eigenvalues that rounding made negative become zero."""
        values, vectors = np.linalg.eigh(matrix)
        return cls(np.maximum(values, 0.0), vectors)

"""Symmetric matrices: kept as one triangle while they are summed, mirrored to be used.

On the wire they are one triangle, too: `edge_node.packing`.
"""

from typing import Self

import numpy as np

from edge_node.arrays import Matrix
from edge_node.inference.numerics.blas import add_gram

__all__ = ["SymmetricSum", "mirror"]


class SymmetricSum:
    """A running sum of A'A (r, r): BLAS rank-k updates in place, of one triangle."""

    def __init__(self, size: int) -> None:
        self._lower = np.zeros((size, size))

    def add(self, A: Matrix) -> None:
        """Add A'A for A (n, r); one that isn't in C order is copied."""
        add_gram(np.ascontiguousarray(A), self._lower)

    def merge(self, other: Self) -> None:
        """Add what another sum holds."""
        self._lower += other._lower

    def matrix(self) -> Matrix:
        """The sum so far, (r, r), symmetric. It is the sum's own memory: add nothing after this."""
        return mirror(self._lower)


def mirror(matrix: Matrix) -> Matrix:
    """Copy the lower triangle of ``matrix`` (r, r) to the upper one, in place; returns it."""
    for i in range(len(matrix)):
        matrix[:i, i] = matrix[i, :i]
    return matrix

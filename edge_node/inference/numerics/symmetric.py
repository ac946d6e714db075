"""Symmetric matrices: kept as one triangle while they are summed and sent, mirrored to be used."""

from collections.abc import Iterator
from typing import Self

import numpy as np

from edge_node.arrays import Matrix, Vector
from edge_node.inference.numerics.blas import add_gram

__all__ = ["SymmetricSum", "mirror", "pack_symmetric", "packed_size", "unpack_symmetric"]


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
        """The sum so far, (r, r), symmetric."""
        return mirror(self._lower.copy())


def packed_size(size: int) -> int:
    """How many numbers a packed symmetric (size, size) matrix takes."""
    return size * (size + 1) // 2


def pack_symmetric(matrix: Matrix) -> Vector:
    """The upper triangle (r (r + 1) / 2,), row by row."""
    packed = np.empty(packed_size(len(matrix)))
    for row, part in zip(matrix, _triangle_rows(packed, len(matrix)), strict=True):
        part[:] = row[len(row) - len(part) :]
    return packed


def unpack_symmetric(vector: Vector, size: int) -> Matrix:
    """The symmetric matrix (r, r) of which ``vector`` is the upper triangle."""
    matrix = np.empty((size, size))
    for row, part in enumerate(_triangle_rows(vector, size)):
        matrix[row, row:] = matrix[row:, row] = part
    return matrix


def mirror(matrix: Matrix) -> Matrix:
    """Copy the lower triangle of ``matrix`` (r, r) to the upper one, in place; returns it."""
    for i in range(len(matrix)):
        matrix[:i, i] = matrix[i, :i]
    return matrix


def _triangle_rows(packed: Vector, size: int) -> Iterator[Vector]:
    """Views of a packed upper triangle's rows."""
    start = 0
    for length in range(size, 0, -1):
        yield packed[start : start + length]
        start += length

"""Named arrays as one vector, and back: what ``network.sum`` adds.

The vectors of all nodes are added number by number, so each node must lay out the same numbers in
the same order. A layout says which these are, once, for packing and unpacking alike. Symmetric
matrices take one triangle: half the words on the wire.

A leaf, like `edge_node.arrays`: `data`, `inference` and `program` stand on it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from edge_node.arrays import Matrix, Vector
from edge_node.errors import NumericalError

__all__ = ["Layout", "Symmetric"]


@dataclass(frozen=True)
class Symmetric:
    """A symmetric matrix, or several, each packed as its upper triangle, row by row.

    Attributes:
        size: r, the number of rows and columns.
        count: how many matrices: the array is (count, r, r). None: it is (r, r).
    """

    size: int
    count: int | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """The array's shape, unpacked."""
        square = (self.size, self.size)
        return square if self.count is None else (self.count, *square)

    @property
    def triangle(self) -> int:
        """How many numbers one matrix takes."""
        return self.size * (self.size + 1) // 2

    @property
    def length(self) -> int:
        """How many numbers all matrices take."""
        return self.triangle * (1 if self.count is None else self.count)

    def write(self, matrices: Matrix, packed: Vector) -> None:
        """Put the triangles into ``packed`` (length,)."""
        for matrix, part in self._pairs(matrices, packed):
            for row, own in zip(matrix, self._rows(part), strict=True):
                own[:] = row[len(row) - len(own) :]

    def read(self, packed: Vector) -> Matrix:
        """The matrices whose triangles are in ``packed`` (length,)."""
        matrices = np.empty(self.shape)
        for matrix, part in self._pairs(matrices, packed):
            for i, own in enumerate(self._rows(part)):
                matrix[i, i:] = matrix[i:, i] = own
        return matrices

    def _pairs(self, matrices: Matrix, packed: Vector) -> Iterator[tuple[Matrix, Vector]]:
        """Views of each matrix and its triangle."""
        count = 1 if self.count is None else self.count
        parts = packed.reshape(count, self.triangle)
        return zip(matrices.reshape(count, self.size, self.size), parts, strict=True)

    def _rows(self, triangle: Vector) -> Iterator[Vector]:
        """Views of a triangle's rows."""
        start = 0
        for length in range(self.size, 0, -1):
            yield triangle[start : start + length]
            start += length


@dataclass(frozen=True)
class _Full:
    """An array of which every number is packed, in C order."""

    shape: tuple[int, ...]

    @property
    def length(self) -> int:
        return prod(self.shape)

    def write(self, array: Matrix, packed: Vector) -> None:
        packed[:] = array.ravel()

    def read(self, packed: Vector) -> Matrix:
        return packed.reshape(self.shape).copy()


Shape: TypeAlias = tuple[int, ...] | Symmetric


@dataclass(frozen=True)
class Layout:
    """Which arrays a vector holds, in which order.

    Attributes:
        parts: each array's shape by its name; () is a number.
    """

    parts: Mapping[str, Shape]

    @property
    def length(self) -> int:
        """How many numbers the vector has."""
        return sum(part.length for _, part, _ in self._places())

    def pack(self, **arrays: ArrayLike) -> Vector:
        """The arrays, one for each part, as one vector (length,) of float64.

        Raises:
            ValueError: an array is missing, has no part, or has another shape than its part.
        """
        if set(arrays) != set(self.parts):
            raise ValueError(f"expected {', '.join(self.parts)}; found {', '.join(arrays)}")
        packed = np.empty(self.length)
        for name, part, place in self._places():
            array = np.asarray(arrays[name], dtype=np.float64)
            if array.shape != part.shape:
                raise ValueError(f"{name}: expected shape {part.shape}, found {array.shape}")
            part.write(array, packed[place])
        return packed

    def unpack(self, vector: Vector) -> dict[str, Matrix]:
        """The arrays in a vector (length,), each a copy.

        Raises:
            NumericalError: the vector has another length, or a number is not finite.
        """
        if vector.shape != (self.length,):
            raise NumericalError(
                "a packed vector has the wrong length",
                where=", ".join(self.parts),
                expected=f"{self.length} numbers",
                found=str(vector.shape),
            )
        if not np.isfinite(vector).all():
            raise NumericalError(
                "a packed vector holds values that are not finite", where=", ".join(self.parts)
            )
        return {name: part.read(vector[place]) for name, part, place in self._places()}

    def _places(self) -> Iterator[tuple[str, Symmetric | _Full, slice]]:
        """Each part, and where in the vector it lies."""
        start = 0
        for name, shape in self.parts.items():
            part = shape if isinstance(shape, Symmetric) else _Full(shape)
            yield name, part, slice(start, start + part.length)
            start += part.length

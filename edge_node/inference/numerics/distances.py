"""Distances and angles between rows, without cancellation where it would matter.

A matrix product gives all pairs at the speed of BLAS, but only to 1e-16 of the rows' lengths. A
close pair's distance is lost in that. So close pairs are listed and computed again from
differences: such a pair's distance depends on its two rows alone, however rows are chunked.
"""

from collections.abc import Iterator
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from edge_node.arrays import Matrix, Vector

__all__ = [
    "NEAR",
    "PAIRS_AT_ONCE",
    "Indices",
    "Stack",
    "directions",
    "gaps",
    "pair_distances",
    "squared_distances",
    "stacked_gaps",
    "stacked_squares",
    "strips",
]

Indices = NDArray[np.intp]
Stack: TypeAlias = NDArray[np.float64]
"""Matrices of one shape: (g, n, m)."""

NEAR = 1e-6
"""1 - cosine below which a pair is computed again. At the threshold the matrix product still knows
the angle, 1.4e-3, to about 3e-13."""

_STRIP = 1 << 15
"""Pairs at a time: they stay in a core's cache, and thin products take no second thread."""

PAIRS_AT_ONCE = 1 << 20
"""Numbers gathered at once: bounds memory to some 25 MB where most pairs are close."""


def directions(A: Matrix) -> tuple[Matrix, Vector]:
    """Unit vectors (n, k) and squared lengths (n,) of the rows of ``A`` (n, k).

    A row of length zero has the direction zero, at a right angle to everything.
    """
    squared = np.sum(np.square(A), axis=1)
    lengths = np.sqrt(squared)
    return A / np.where(lengths > 0.0, lengths, 1.0)[:, None], squared


def gaps(A: Matrix, B: Matrix, out: Matrix) -> Matrix:
    """1 - cosine of every pair of unit vectors ``A`` (n, k), ``B`` (m, k), into ``out`` (n, m).

    Near zero the relative error is small: |a - b|^2 / 2; identical rows give exactly 0.
    """
    columns_of_B = np.ascontiguousarray(B.T)  # thin products are faster so
    for rows_at_once in strips(len(A), len(B)):
        strip = out[rows_at_once]
        np.matmul(A[rows_at_once], columns_of_B, out=strip)
        np.subtract(1.0, strip, out=strip)
        np.clip(strip, 0.0, 2.0, out=strip)
        if strip.min(initial=2.0) < NEAR:
            rows, columns = np.nonzero(strip < NEAR)
            strip[rows, columns] = pair_distances(A[rows_at_once], B, rows, columns) / 2.0
    return out


def squared_distances(A: Matrix, B: Matrix) -> Matrix:
    """|a - b|^2 of every pair of rows ``A`` (n, k), ``B`` (m, k): (n, m).

    Near zero the relative error is small, as for ``gaps``; identical rows give exactly 0.
    """
    lengths = np.sum(np.square(A), axis=1)[:, None] + np.sum(np.square(B), axis=1)
    squares: Matrix = lengths - 2.0 * (A @ B.T)
    rows, columns = np.nonzero(squares < NEAR * lengths)
    squares[rows, columns] = pair_distances(A, B, rows, columns)
    return squares


def stacked_gaps(A: Stack, out: Stack) -> Stack:
    """1 - cosine of every pair of unit vectors of each of ``A`` (g, m, k), into ``out`` (g, m, m).

    As ``gaps`` for each.
    """
    np.matmul(A, A.transpose(0, 2, 1), out=out)
    np.subtract(1.0, out, out=out)
    np.clip(out, 0.0, 2.0, out=out)
    _recompute(A, out, out < NEAR, 0.5)
    return out


def stacked_squares(A: Stack) -> Stack:
    """|a - b|^2 of every pair of rows of each of ``A`` (g, m, k): (g, m, m).

    As ``squared_distances`` for each.
    """
    squared = np.sum(np.square(A), axis=2)
    lengths = squared[:, :, None] + squared[:, None, :]
    squares: Stack = lengths - 2.0 * (A @ A.transpose(0, 2, 1))
    _recompute(A, squares, squares < NEAR * lengths, 1.0)
    return squares


def _recompute(A: Stack, values: Stack, near: NDArray[np.bool_], scale: float) -> None:
    """Put ``scale`` times the squared distances of ``near`` pairs (g, m, m) into ``values``."""
    pairs, flat = np.flatnonzero(near), A.reshape(-1, A.shape[2])
    rows = pairs // A.shape[1]  # among those of all matrices
    columns = rows - rows % A.shape[1] + pairs % A.shape[1]
    np.put(values, pairs, scale * pair_distances(flat, flat, rows, columns))


def strips(n: int, m: int) -> Iterator[slice]:
    """Rows of an (n, m) block, as many at a time as stay in a core's cache."""
    height = max(1, _STRIP // max(1, m))
    return (slice(start, start + height) for start in range(0, n, height))


def pair_distances(A: Matrix, B: Matrix, rows: Indices, columns: Indices) -> Vector:
    """|A[i] - B[j]|^2 for each listed pair (i, j): a function of two rows alone, bit for bit."""
    distances = np.empty(len(rows))
    step = max(1, PAIRS_AT_ONCE // max(1, A.shape[1]))
    for start in range(0, len(rows), step):
        chosen = slice(start, start + step)
        difference = A[rows[chosen]] - B[columns[chosen]]
        distances[chosen] = np.sum(np.square(difference), axis=1)
    return distances

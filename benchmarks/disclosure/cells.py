"""Rows from sums over cells of a partition: k-means cells, shares, folds.

A sum over one row is that row. So is the difference of two sums whose groups differ by one row: two
runs that partition the same rows differently give such pairs.
"""

import numpy as np

from edge_node.arrays import Matrix

__all__ = ["rows_alone", "rows_between"]

_ONE = 1e-6  # a count of rows is whole, but for rounding


def rows_alone(cells: Matrix) -> Matrix:
    """The rows (k, d) of cells that hold one row.

    Args:
        cells: (m, 1 + d), each cell's count and sum, the attacker's own rows subtracted.
    """
    return cells[np.abs(cells[:, 0] - 1) < _ONE, 1:]


def rows_between(first: Matrix, second: Matrix) -> Matrix:
    """What pairs of cells (m, 1 + d) and (l, 1 + d) of two partitions differ by, if it is one row.

    Pairs of unlike cells differ by one row only if their counts do by chance; their differences
    are among the result (k, d).
    """
    change = first[:, None] - second[None]
    count = change[:, :, :1]
    single = np.abs(np.abs(count[:, :, 0]) - 1) < _ONE
    rows: Matrix = change[single][:, 1:] * np.sign(change[single][:, :1])
    return rows

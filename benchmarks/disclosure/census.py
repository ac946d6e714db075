"""Rows of few possible kinds, from totals that are linear in how many there are of each.

Where every column has few values, the possible rows can be listed. Then totals say nothing but how
many rows of each kind there are, and are linear in that. Counts are not negative, and most are
zero: about two numbers for each row that there is settle them (Donoho & Tanner 2005), however many
columns a row has. So cells of such columns aren't unknowns, and must not be counted as such.
"""

from collections.abc import Sequence
from itertools import product

import numpy as np
from scipy.optimize import nnls

from benchmarks.disclosure.sums import RowSums
from edge_node.arrays import Matrix, Vector

__all__ = ["every_row", "rows_of_census"]


def every_row(values: Sequence[Vector]) -> Matrix:
    """All rows (k, c) that a table can hold, given the values of each column."""
    return np.array(list(product(*values)))


def rows_of_census(sums: RowSums, total: Vector, count: int, universe: Matrix) -> Matrix:
    """The rows (k, c) that the totals ask for, as often as they ask for them.

    Args:
        sums: what was summed.
        total: (e,), the attacker's own rows subtracted.
        count: how many rows of others it is over.
        universe: all possible rows (u, c).
    """
    values = np.column_stack([np.ones(len(universe)), sums.of(universe)]).T
    wanted = np.concatenate([[count], total])
    scale = np.linalg.norm(values, axis=1) + np.finfo(float).tiny
    numbers, _ = nnls(values / scale[:, None], wanted / scale, maxiter=50 * len(universe))
    return np.repeat(universe, np.rint(numbers).astype(int), axis=0)

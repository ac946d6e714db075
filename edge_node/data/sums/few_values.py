"""Columns that hold few different values: flags, grades, small counts, though declared as numbers.

Their cells are no unknowns. Who knows the few values that there are searches for rows among their
combinations, and finds them from about two numbers a row, however many columns there are.
"""

import numpy as np
from numpy.typing import NDArray

from edge_node.arrays import Matrix

__all__ = ["FewValues"]

_MOST = 8  # different values that are few
_FEWEST = 16  # values from which that can be told


class FewValues:
    """Finds the columns of few values, of rows that stream by.

    Args:
        columns: how many.
    """

    def __init__(self, columns: int) -> None:
        self._found: list[set[float]] = [set() for _ in range(columns)]
        self._values: NDArray[np.int64] = np.zeros(columns, dtype=np.int64)

    def add(self, numbers: Matrix) -> None:
        """Take rows (n, columns) into account; NaN is a missing value."""
        present = ~np.isnan(numbers)
        self._values += np.count_nonzero(present, axis=0)
        for found, column, own in zip(self._found, numbers.T, present.T, strict=True):
            if len(found) <= _MOST:
                found.update(np.unique(column[own])[: _MOST + 1].tolist())

    @property
    def columns(self) -> tuple[bool, ...]:
        """Which hold few different values. With few rows nobody can say, and a column doesn't."""
        return tuple(
            len(found) <= _MOST and values >= _FEWEST
            for found, values in zip(self._found, self._values.tolist(), strict=True)
        )

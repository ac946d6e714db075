"""Columns without their extremes: a single unusual value would be its column's sum.

A value of a million standard deviations is the mean, and its products with the row's other values
are the covariances: together they are the row. So a site moves its outermost values inwards before
it sums a column (Winsor's rule, by order statistics): at each end, the outermost k - 1 count as the
k-th.
"""

import numpy as np
from numpy.typing import NDArray

from edge_node.arrays import Matrix, Vector

__all__ = ["Extremes"]


class Extremes:
    """The smallest and the largest values of columns whose rows stream by.

    Args:
        columns: how many.
        keep: k. With fewer than 4 k values, a quarter of them, rounded up, stands in for it.
    """

    def __init__(self, columns: int, keep: int) -> None:
        self._keep = keep
        self._low = np.full((keep, columns), np.inf)
        self._high = np.full((keep, columns), np.inf)  # of the values' negatives
        self.values: NDArray[np.int64] = np.zeros(columns, dtype=np.int64)

    def add(self, numbers: Matrix) -> None:
        """Take rows (n, columns) into account; NaN is a missing value."""
        self.values += np.count_nonzero(~np.isnan(numbers), axis=0)
        self._low = self._smallest(self._low, numbers)
        self._high = self._smallest(self._high, -numbers)

    def bounds(self) -> tuple[Vector, Vector]:
        """The lowest and the highest value (columns,) that is summed; zeros without any value."""
        place = np.maximum(np.minimum(self._keep, -(-self.values // 4)), 1) - 1
        columns = np.arange(len(place))
        low = np.sort(self._low, axis=0)[place, columns]
        high = -np.sort(self._high, axis=0)[place, columns]
        return np.where(self.values > 0, low, 0.0), np.where(self.values > 0, high, 0.0)

    def _smallest(self, kept: Matrix, numbers: Matrix) -> Matrix:
        """The ``keep`` smallest values of each column of both."""
        values = np.vstack([kept, np.where(np.isnan(numbers), np.inf, numbers)])
        smallest: Matrix = np.partition(values, self._keep - 1, axis=0)[: self._keep]
        return smallest

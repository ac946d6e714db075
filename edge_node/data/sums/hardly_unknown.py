"""Columns of numbers whose cells are hardly unknowns, so that they allow no sums.

- Of few different values: flags, grades, small counts. Who knows the values that there are searches
  for rows among their combinations, and finds them from about two numbers a row.
- With many cells missing: what isn't there needn't be found.
- Linear in other columns, or nearly: who has found those has found these.

Each site judges by its own rows. One that sees what others can't is enough.
"""

import numpy as np
from numpy.typing import NDArray

from edge_node.arrays import Matrix, Vector

__all__ = ["HardlyUnknown"]

_MOST = 8  # different values that are few
_FEWEST = 16  # rows, or values, from which anything can be told
_FILLED = 2 / 3  # share of the cells that have values, at least: hospitals leave a quarter empty
_OPEN = 0.1  # what other columns leave open of a column, in its standard deviations, at least
_OFF = 0.02  # share of rows that may be off by more
_ROWS_PER_COLUMN = 2  # from which that can be told
_SAMPLE = 2000  # rows by which it is judged, or twice what is needed

Flags = NDArray[np.bool_]


class HardlyUnknown:
    """Finds such columns in rows that stream by.

    Args:
        columns: how many.
    """

    def __init__(self, columns: int) -> None:
        self._found: list[set[float]] = [set() for _ in range(columns)]
        self._values: NDArray[np.int64] = np.zeros(columns, dtype=np.int64)
        self._rows = 0
        self._sample = np.empty((0, columns))
        self._step = 1  # between the rows of the sample

    def add(self, numbers: Matrix) -> None:
        """Take distinct rows (n, columns) into account; NaN is a missing value."""
        present = ~np.isnan(numbers)
        self._values += np.count_nonzero(present, axis=0)
        for found, column, own in zip(self._found, numbers.T, present.T, strict=True):
            if len(found) <= _MOST:
                found.update(np.unique(column[own])[: _MOST + 1].tolist())
        taken = numbers[-self._rows % self._step :: self._step]
        self._rows += len(numbers)
        self._sample = np.vstack([self._sample, taken])
        while len(self._sample) > max(_SAMPLE, 2 * self._needed):
            self._sample, self._step = self._sample[::2], 2 * self._step

    @property
    def sample(self) -> Matrix:
        """The rows (n, columns) by which they are judged: all, or 1,000 or more of them."""
        return self._sample

    def columns(self, low: Vector, high: Vector) -> tuple[bool, ...]:
        """Which are hardly unknowns. With few rows nobody can say, and a column isn't.

        Args:
            low: (columns,), the bound below which a value counts as the bound in sums.
            high: the bound above which it does.
        """
        counted = np.array([len(found) for found in self._found], dtype=np.intp)
        few = (counted <= _MOST) & (self._values >= _FEWEST)
        sparse = (self._values < _FILLED * self._rows) & (self._rows >= _FEWEST)
        known = few | sparse
        if len(self._sample) < self._needed:
            return tuple(known.tolist())
        whole = ~np.isnan(self._sample[:, ~sparse]).any(axis=1)
        sample = self._sample[whole] if whole.sum() >= self._needed else self._sample
        summed = np.clip(sample, low, high)
        # As they are, since moving extremes bends what is linear; as summed: wild values hide it.
        linear = _linear(sample, summed, known) | _linear(summed, summed, known)
        return tuple((known | linear).tolist())

    @property
    def _needed(self) -> int:
        """Rows from which it can be told whether a column is linear in others."""
        return max(_FEWEST, _ROWS_PER_COLUMN * len(self._found))


def _linear(rows: Matrix, summed: Matrix, known: Flags) -> Flags:
    """Which columns (c,) are linear in those that are known, and earlier ones that aren't linear.

    By Gram and Schmidt's orthogonalisation, which leaves linear columns out. A fiftieth of the rows
    may be off by more. What a residual's variance lacks for the columns that were fitted is made up
    for.

    Args:
        rows: (n, c); a missing value counts as the column's mean.
        summed: the same rows without extremes: their deviations are the measure.
        known: (c,).
    """
    largest = np.nan_to_num(np.abs(rows)).max(axis=0)
    largest = np.where(largest > 0, largest, 1.0)  # so no square overflows, or vanishes
    lengths = np.linalg.norm(_centred(summed / largest), axis=0)
    centred = _centred(rows / largest) / np.where(lengths > 0, lengths, 1.0)
    n, c = rows.shape
    basis, fitted, linear = np.empty((n, c), order="F"), 0, np.zeros(c, dtype=bool)
    for j in [*np.flatnonzero(known), *np.flatnonzero(~known)]:
        own = basis[:, :fitted]
        left = centred[:, j] - own @ (centred[:, j] @ own)
        most = np.sort(np.square(left))[: n - int(_OFF * n)]
        linear[j] = most.sum() * (n - 1) <= _OPEN**2 * (n - 1 - fitted)
        if not linear[j]:
            basis[:, fitted] = left / np.linalg.norm(left)
            fitted += 1
    return linear


def _centred(rows: Matrix) -> Matrix:
    """Rows (n, c) less their means; zeros for missing values."""
    values = np.maximum(np.count_nonzero(~np.isnan(rows), axis=0), 1)
    centred: Matrix = np.nan_to_num(rows - np.nansum(rows, axis=0) / values)
    return centred

"""The second sum: the mean of each numeric column, and of a regression's target.

A column's values are summed in its own unit, on two grids on which additions are exact. So means
have all their digits, and are the same bytes however rows are split. A column with fewer values
than `min_rows_per_category` isn't summed.
"""

import math

import numpy as np
from numpy.typing import NDArray

from edge_node.arrays import Vector, round_absolute
from edge_node.config import DataSpec
from edge_node.data.sources.source import Source
from edge_node.data.sums.counts import Counts, number_columns

__all__ = ["GRID_BITS", "is_summed", "local_means", "read_means"]

GRID_BITS = 44
"""Numbers count in multiples of 2^-44 of their unit: centres, and deviations from them."""
_COARSE, _FINE = 2.0**26, 2.0**53  # grids on which 2^26 rows add up exactly


def is_summed(counts: Counts, data: DataSpec) -> NDArray[np.bool_]:
    """Which of the numeric columns and the target have enough values to be summed."""
    return np.array(counts.present) >= data.min_rows_per_category


def local_means(source: Source, data: DataSpec, counts: Counts) -> Vector:
    """A node's sums of each column's values in two parts, (columns, 2) flattened: multiples of
    2^-26 of the column's unit, and what these leave, in multiples of 2^-53.
    """
    sums = np.zeros((len(counts.units), 2))
    for batch in source.batches():
        for j, (_, values) in enumerate(number_columns(batch, data)):
            scaled = np.nan_to_num(values / counts.units[j], nan=0.0)
            coarse = np.rint(scaled * _COARSE) / _COARSE
            fine = np.rint((scaled - coarse) * _FINE) / _FINE
            sums[j] += [coarse.sum(), fine.sum()]
    sums[~is_summed(counts, data)] = 0.0
    return sums.ravel()


def read_means(total: Vector, counts: Counts) -> tuple[float, ...]:
    """The mean of each numeric column and of the target; of one that isn't summed, zero."""
    return tuple(
        float(round_absolute(np.array(math.fsum(parts) / max(present, 1)), GRID_BITS)) * unit
        for parts, present, unit in zip(
            total.reshape(-1, 2), counts.present, counts.units, strict=True
        )
    )

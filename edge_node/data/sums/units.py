"""Counts that agree on the unit of each heavy-tailed column's logarithm.

They are taken only where most values of a column are at sites that call it heavy-tailed. A site
puts the number of its values into the bin of the unit that it would take, a power of two; the
median bin, by values, is taken. All are integers, and nothing else of the column is told.
"""

from collections.abc import Sequence

import numpy as np

from edge_node.arrays import Vector
from edge_node.data.encoding.signed_log import SignedLog
from edge_node.data.sums.counts import Counts
from edge_node.data.sums.given import Given
from edge_node.data.sums.tails import deviation, unit_about_zero

__all__ = ["local_units", "read_units"]

_BINS = 64  # of one binary exponent each, downwards from the column's unit


def local_units(given: Given, counts: Counts) -> Vector:
    """How many values the site gives, by the unit that it would take: (heavy columns, 64) counts,
    flattened.
    """
    bins = np.zeros((len(counts.heavy), _BINS))
    for own, (column, about_zero) in zip(bins, counts.heavy.items(), strict=True):
        values = given.sample[:, column]
        values = values[~np.isnan(values)]
        unit = unit_about_zero(values) if about_zero else deviation(values)
        if unit > 0:
            place = np.log2(counts.units[column]) - np.floor(np.log2(unit))
            own[int(np.clip(place, 0, _BINS - 1))] = given.values[column]
    return bins.ravel()


def read_units(total: Vector, counts: Counts, means: Sequence[float]) -> dict[int, SignedLog]:
    """The logarithm of each heavy-tailed column, by its index among the numeric ones.

    Args:
        total: the federation's ``local_units``.
        counts: the first sum's.
        means: the second sum's.
    """
    found = {}
    bins = total.reshape(-1, _BINS)
    for own, (column, about_zero) in zip(bins, counts.heavy.items(), strict=True):
        if own.sum() > 0:
            median = int(np.searchsorted(np.cumsum(own), own.sum() / 2))
            unit = counts.units[column] * 2.0**-median
            found[column] = SignedLog(0.0 if about_zero else means[column], unit)
    return found

"""The second sum: the mean of each numeric column, and of a regression's target.

A column's values are summed in its own unit, together with their number: the mean is a ratio within
one total.
"""

import numpy as np

from edge_node.arrays import Vector
from edge_node.config import DataSpec
from edge_node.data.sources.source import Source
from edge_node.data.sums.counts import Counts
from edge_node.data.sums.given import Given

__all__ = ["local_means", "read_means"]


def local_means(source: Source, data: DataSpec, given: Given, counts: Counts) -> Vector:
    """How many values a site gives of each column, and their sum in the column's unit: (columns, 2)
    flattened.
    """
    sums = np.zeros(len(given.values))
    for batch in source.batches():
        sums += np.nansum(given.numbers(batch, data) / np.array(counts.units), axis=0)
    return np.column_stack([given.values, sums]).ravel()


def read_means(total: Vector, counts: Counts) -> tuple[float, ...]:
    """The mean of each numeric column and of the target; of one without values, zero."""
    values, sums = total.reshape(-1, 2).T
    means = sums / np.maximum(values, 1.0) * np.array(counts.units)
    return tuple(means.tolist())

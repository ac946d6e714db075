"""A data set's inputs as numbers on one scale: where two rows only have to be near or far."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from edge_node.arrays import Matrix, Vector
from edge_node.demo.data.datasets import Dataset

__all__ = ["standardised_inputs"]


def standardised_inputs(dataset: Dataset) -> Matrix:
    """Each input column (n,) with mean zero and deviation one, side by side: (n, d).

    A label counts as its place among the labels, and a missing cell as its column's mean. A
    constant column is zero.
    """
    inputs = np.column_stack([_as_numbers(dataset.table[c.name]) for c in dataset.data.columns])
    deviation = inputs.std(axis=0)
    scaled: Matrix = (inputs - inputs.mean(axis=0)) / np.where(deviation > 0, deviation, 1.0)
    return scaled


def _as_numbers(column: pa.ChunkedArray) -> Vector:
    if pa.types.is_string(column.type):
        column = pc.dictionary_encode(column).combine_chunks().indices
    values = np.array(column.to_pylist(), dtype=float)  # None becomes NaN
    known = np.isfinite(values)
    return np.where(known, values, values[known].mean() if known.any() else 0.0)

"""The first sum: counts and nothing but counts, so that no later sum is taken over too few rows.

Rows; missing cells of each column; rows of each class and of each listed category; for each numeric
column, and a regression's target, a histogram of binary exponents; rows of each hash bucket where
categories are not listed. All are integers, so the total is the same bytes however rows are split.

Later sums are fixed-point. So the histogram gives every column a power-of-two unit that brings its
largest value near one, and that no single node chose.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import msgspec
import numpy as np

from edge_node.arrays import Vector
from edge_node.config import DataSpec, Task
from edge_node.data.sources.checks import LARGEST
from edge_node.data.sources.schema import (
    categorical_columns,
    numeric_columns,
    places,
    unlisted_columns,
)
from edge_node.data.sources.source import Batch, Source
from edge_node.data.sums.labels import Tally, add_labels, count_length, label_counts
from edge_node.errors import CohortRefusedError, DataError
from edge_node.packing import Layout

__all__ = [
    "Counts",
    "LocalCounts",
    "check_census",
    "local_census",
    "local_counts",
    "number_columns",
    "read_counts",
]

_LOWEST, _HIGHEST, _BIN = -400, 400, 4  # binary exponents: 1e-120 to 1e120
_BINS = (_HIGHEST - _LOWEST) // _BIN


class Counts(msgspec.Struct, frozen=True):
    """What is known after the first sum.

    ``present`` and ``units`` run over the numeric columns and then, for regression, the target.
    """

    rows: int
    missing: tuple[int, ...]  # cells per input column: numeric ones first, then categorical
    classes: tuple[int, ...]  # rows of each
    listed: tuple[tuple[int, ...], ...]  # per categorical column; rows of each category of the spec
    present: tuple[int, ...]
    units: tuple[float, ...]  # a power of two that no value exceeds
    buckets: tuple[float, ...]  # `labels.label_counts` of the columns that aren't listed

    @property
    def census(self) -> Vector:
        """Rows, and rows of each class."""
        return np.array([self.rows, *self.classes], dtype=np.float64)


@dataclass(frozen=True)
class LocalCounts:
    """One pass over a node's rows: what is summed, and the labels of each unlisted column."""

    vector: Vector
    tallies: tuple[Tally, ...]
    census: Vector  # the part of it that is rows, and rows of each class


def local_counts(source: Source, data: DataSpec) -> LocalCounts:
    """A node's own counts.

    Raises:
        DataError: a number is beyond 1e120 or not one, or a target is missing; labels are too many
            or too long to be agreed on.
    """
    rows, missing = 0.0, np.zeros(len(data.columns))
    classes, magnitudes = np.zeros(len(data.classes)), np.zeros((_numbers(data), _BINS))
    categorical, unlisted = categorical_columns(data), unlisted_columns(data)
    listed = [np.zeros(len(column.categories)) for column in categorical]
    tallies: tuple[Tally, ...] = tuple(Counter() for _ in unlisted)
    for batch in source.batches():
        rows += len(batch)
        missing += [batch.is_missing(*each).sum() for each in places(data)]
        classes += _class_counts(batch, data)
        for histogram, (name, values) in zip(magnitudes, number_columns(batch, data), strict=True):
            _check_numbers(values, name)
            histogram += _magnitudes(values)
        for j, column in enumerate(categorical):
            listed[j] += [np.sum(batch.categorical[:, j] == each) for each in column.categories]
        for tally, j in zip(tallies, unlisted, strict=True):
            add_labels(tally, batch.categorical[:, j], categorical[j].name)
    vector = _layout(data).pack(
        rows=rows,
        missing=missing,
        classes=classes,
        listed=np.concatenate([np.empty(0), *listed]),
        magnitudes=magnitudes,
        buckets=label_counts(tallies, range(len(tallies)), attempt=0),
    )
    return LocalCounts(vector, tallies, np.array([rows, *classes]))


def local_census(source: Source, data: DataSpec) -> Vector:
    """A node's own rows, and rows of each class: (1 + classes,). Raises DataError for a target
    that is missing, or no class.
    """
    census = np.zeros(1 + len(data.classes))
    for batch in source.batches():
        census += [len(batch), *_class_counts(batch, data)]
    return census


def read_counts(total: Vector, data: DataSpec) -> Counts:
    """The federation's counts, of ``local_counts``. Raises NumericalError for another vector."""
    parts = _layout(data).unpack(total)
    rows, listed = int(parts["rows"]), iter(parts["listed"].astype(int).tolist())
    absent = np.zeros(_numbers(data))
    absent[: len(numeric_columns(data))] = parts["missing"][: len(numeric_columns(data))]
    highest = [int(np.flatnonzero(h).max(initial=-1)) for h in parts["magnitudes"]]
    return Counts(
        rows=rows,
        missing=tuple(parts["missing"].astype(int).tolist()),
        classes=tuple(parts["classes"].astype(int).tolist()),
        listed=tuple(
            tuple(islice(listed, len(column.categories))) for column in categorical_columns(data)
        ),
        present=tuple((rows - absent).astype(int).tolist()),
        units=tuple(2.0 ** _top(each) if each >= 0 else 1.0 for each in highest),
        buckets=tuple(parts["buckets"].tolist()),
    )


def _layout(data: DataSpec) -> Layout:
    """What is summed."""
    return Layout(
        {
            "rows": (),
            "missing": (len(data.columns),),
            "classes": (len(data.classes),),
            "listed": (sum(len(column.categories) for column in categorical_columns(data)),),
            "magnitudes": (_numbers(data), _BINS),
            "buckets": (count_length(len(unlisted_columns(data)), attempt=0),),
        }
    )


def check_census(total: Vector, data: DataSpec) -> None:
    """Check the federation's rows and rows of each class.

    Raises:
        DataError: there are too few rows.
        CohortRefusedError: a class has some rows, but too few.
    """
    fewest = data.min_rows_per_category
    if total[0] < max(2, fewest):
        raise DataError(
            "too few rows in the federation",
            expected=f"at least {max(2, fewest)}",
            found=f"{total[0]:.0f}",
        )
    for label, rows in zip(data.classes, total[1:], strict=True):
        if 0 < rows < fewest:
            raise CohortRefusedError(
                "a class has so few rows that sums over them would give them away",
                where=f"class {label!r}",
                expected=f"none, or at least {fewest}, in the federation",
                found=f"{rows:.0f}",
                remedy="Leave these rows out, or make one class of it and another",
            )


def number_columns(batch: Batch, data: DataSpec) -> Iterator[tuple[str, Vector]]:
    """Name and values of each numeric column and then, for regression, of the target."""
    yield from zip((column.name for column in numeric_columns(data)), batch.numeric.T, strict=True)
    if data.task is Task.REGRESSION and batch.target is not None:
        yield data.target, batch.target


def _magnitudes(values: Vector) -> Vector:
    """A histogram (bins,) of binary exponents, four to a bin; zeros and missing values left out."""
    _, exponents = np.frexp(values[np.isfinite(values) & (values != 0)])
    bins = (np.clip(exponents - 1, _LOWEST, _HIGHEST - 1) - _LOWEST) // _BIN
    return np.bincount(bins, minlength=_BINS).astype(np.float64)


def _top(place: int) -> int:
    """The exponent of the power of two that the values of a bin stay below."""
    return _LOWEST + _BIN * (place + 1)


def _check_numbers(values: Vector, name: str) -> None:
    """Raise DataError for numbers too large to be squared and summed; NaN is a missing value."""
    if (large := values[np.abs(values) > LARGEST]).size:
        raise DataError(
            "a number is too large",
            where=f"column {name!r}",
            expected=f"up to {LARGEST:g} in absolute value",
            found=f"{large.size} larger ones",  # not the value: a node reports why it refuses
            remedy="Correct the value, or leave the cell empty where it is missing",
        )


def _class_counts(batch: Batch, data: DataSpec) -> Vector:
    """Rows of each class. Raises DataError for a target that is missing or no class index."""
    target = np.empty(0) if batch.target is None else batch.target
    wrong, expected = np.isnan(target), "a number"
    if data.task is Task.CLASSIFICATION:
        wrong = ~np.isin(target, range(len(data.classes)))
        expected = f"the index of one of {len(data.classes)} classes"
    if wrong.any():
        raise DataError(
            "a row has no target",
            where=f"column {data.target!r}",
            expected=expected,
            found=f"{int(wrong.sum())} rows without",
            remedy="Correct the row, or leave it out",
        )
    if data.task is Task.REGRESSION:
        return np.zeros(0)
    return np.bincount(target.astype(np.int64), minlength=len(data.classes)).astype(np.float64)


def _numbers(data: DataSpec) -> int:
    return len(numeric_columns(data)) + (data.task is Task.REGRESSION)

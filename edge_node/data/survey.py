"""The first sum: how many rows there are, how large their numbers are, and around what they lie.

Sums are fixed-point further on, so every column is first given a power-of-two unit that brings its
largest value near one; a histogram of binary exponents is a sum as well. Beside each count the
histogram holds the sum of the values in that bin, in the bin's own unit and on a grid on which
additions are exact. So the means come from the same sweep, whatever the units, with all their
digits, and they are the same bytes however rows are split.
"""

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from edge_node.config import DataSpec, Task
from edge_node.data.checks import LARGEST
from edge_node.data.encoder import is_missing
from edge_node.data.labels import Tally, add_labels
from edge_node.data.schema import categorical_columns, numeric_columns, places, unlisted_columns
from edge_node.data.source import Batch, Source
from edge_node.errors import DataError
from edge_node.rounding import round_absolute

__all__ = ["GRID_BITS", "LocalSurvey", "Survey", "check_rows", "local_survey", "read_survey"]

Vector = NDArray[np.float64]

_LOWEST, _HIGHEST, _BIN = -400, 400, 4  # binary exponents: 1e-120 to 1e120
_BINS = (_HIGHEST - _LOWEST) // _BIN
GRID_BITS = 44
"""Numbers count in multiples of 2^-44 of their unit: centres, and deviations from them."""
_COARSE, _FINE = 2.0**26, 2.0**53  # grids on which 2^26 rows add up exactly


class Survey(msgspec.Struct, frozen=True):
    """What is known after the first sum.

    ``units`` and ``centres`` are those of the numeric columns and then, for regression, of the
    target: a power of two that no value exceeds, and the mean.
    """

    missing: tuple[int, ...]  # cells per input column: numeric ones first, then categorical
    units: tuple[float, ...]
    centres: tuple[float, ...]


@dataclass(frozen=True)
class LocalSurvey:
    """One pass over a node's rows: what is summed, and the labels of each unlisted column."""

    vector: Vector
    tallies: tuple[Tally, ...]


def local_survey(source: Source, data: DataSpec) -> LocalSurvey:
    """Rows, missing cells per column, magnitudes per numeric column and target; labels.

    Raises:
        DataError: a number is beyond 1e120 or not one, or a target is missing; labels are too many
            or too long to be agreed on.
    """
    rows, missing = 0.0, np.zeros(len(data.columns))
    magnitudes = np.zeros((_numbers(data), 3, _BINS))
    categorical = categorical_columns(data)
    unlisted = unlisted_columns(data)
    tallies: tuple[Tally, ...] = tuple(Counter() for _ in unlisted)
    for batch in source.batches():
        rows += len(batch)
        missing += [is_missing(batch, *each).sum() for each in places(data)]
        _check_target(batch, data)
        for j, (name, values) in enumerate(_number_columns(batch, data)):
            _check_numbers(values, name)
            magnitudes[j] += _magnitudes(values)
        for tally, j in zip(tallies, unlisted, strict=True):
            add_labels(tally, batch.categorical[:, j], categorical[j].name)
    return LocalSurvey(np.concatenate([[rows], missing, magnitudes.ravel()]), tallies)


def read_survey(total: Vector, data: DataSpec) -> Survey:
    """The federation's survey. Raises DataError for fewer than two rows."""
    (rows,), missing, magnitudes = np.split(total, np.cumsum([1, len(data.columns)]))
    check_rows(rows)
    absent = np.zeros(_numbers(data))
    numbers = len(numeric_columns(data))
    absent[:numbers] = missing[:numbers]
    tops = _top(np.arange(_BINS))
    units, centres = [], []
    for histogram, empty in zip(magnitudes.reshape(-1, 3, _BINS), absent, strict=True):
        highest = int(np.flatnonzero(histogram[0]).max(initial=-1))
        units.append(float(np.ldexp(1.0, tops[highest])) if highest >= 0 else 1.0)
        sums = np.ldexp(histogram[1:], tops)
        mean = math.fsum(sums.ravel()) / max(float(rows - empty), 1.0)
        centres.append(float(round_absolute(np.array(mean / units[-1]), GRID_BITS)) * units[-1])
    return Survey(tuple(missing.astype(int).tolist()), tuple(units), tuple(centres))


def check_rows(rows: float) -> None:
    """Raise DataError for fewer than two rows in a total."""
    if rows < 2:
        raise DataError(
            "too few rows in the federation", expected="at least 2", found=f"{rows:.0f}"
        )


def _magnitudes(values: Vector) -> NDArray[np.float64]:
    """A histogram (3, bins) of binary exponents, four to a bin: counts, and sums in two parts.

    The sums are of values in the bin's unit: multiples of 2^-26, and what these leave, in multiples
    of 2^-53. Zeros add nothing; missing values are left out.
    """
    present = values[np.isfinite(values) & (values != 0)]
    _, exponents = np.frexp(present)
    bins = (np.clip(exponents - 1, _LOWEST, _HIGHEST - 1) - _LOWEST) // _BIN
    scaled = np.ldexp(present, -_top(bins))
    coarse = np.rint(scaled * _COARSE) / _COARSE
    fine = np.rint((scaled - coarse) * _FINE) / _FINE
    parts = (np.ones(len(bins)), coarse, fine)
    return np.stack([np.bincount(bins, weights, _BINS) for weights in parts])


def _top(bins: NDArray[np.int64]) -> NDArray[np.int64]:
    """The exponents of the powers of two that the values of bins stay below."""
    return _LOWEST + _BIN * (bins + 1)


def _number_columns(batch: Batch, data: DataSpec) -> Iterator[tuple[str, Vector]]:
    yield from zip((column.name for column in numeric_columns(data)), batch.numeric.T, strict=True)
    if data.task is Task.REGRESSION and batch.target is not None:
        yield data.target, batch.target


def _check_numbers(values: Vector, name: str) -> None:
    """Raise DataError for infinities, and numbers whose squares nobody can sum; NaN is missing."""
    if (large := values[np.abs(values) > LARGEST]).size:
        raise DataError(
            "a number is too large",
            where=f"column {name!r}",
            expected=f"up to {LARGEST:g} in absolute value",
            found=f"{large.size} larger ones",  # not the value: a node reports why it refuses
            remedy="Correct the value, or leave the cell empty where it is missing",
        )


def _check_target(batch: Batch, data: DataSpec) -> None:
    """Raise DataError for a target that is missing, or a class that the schema doesn't have."""
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


def _numbers(data: DataSpec) -> int:
    return len(numeric_columns(data)) + (data.task is Task.REGRESSION)

"""Rows to inputs: standardised numbers, one-hot categories, indicators of missing cells.

The encoder is agreed on in three sums, each a pure function of a node's rows and of earlier totals:

    survey    rows, missing cells, a histogram of magnitudes        -> units
    location  sums in those units, rows per category                -> means, shares
    spread    second moments around the means                       -> scales, covariance

Sums are fixed-point further on, so every column is first given a power-of-two unit that brings its
largest value near one; a histogram of binary exponents is a sum as well. Second moments are taken
around the mean, so that nothing cancels: a time stamp of 1.7e9 that varies by one keeps its digits.

What becomes a part of the model is rounded (`edge_node.rounding`): the same rows, split otherwise
over nodes, give the same encoder.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from edge_node.config import ColumnKind, DataSpec, Task
from edge_node.data.encoder import (
    CategoricalFeature,
    Encoder,
    MissingFeature,
    NumericFeature,
    is_missing,
)
from edge_node.data.source import Batch, Source
from edge_node.errors import DataError
from edge_node.rounding import round_absolute, round_significant

__all__ = [
    "Location",
    "Survey",
    "local_location",
    "local_spread",
    "local_survey",
    "read_location",
    "read_spread",
    "read_survey",
    "unlisted_columns",
]

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]

_LOWEST, _HIGHEST, _BIN = -400, 400, 4  # binary exponents: 1e-120 to 1e120
_BINS = (_HIGHEST - _LOWEST) // _BIN
_GAIN = 2.0**14  # of deviations: squares of small ones stay far above the sums' resolution
_CONSTANT = 2.0**-55  # variance, in gained units, that is rounding only


class Survey(msgspec.Struct, frozen=True):
    """What is known after the first sum: rows, missing cells, class counts, units.

    ``units`` are those of the numeric columns and then, for regression, of the target.
    """

    rows: int
    missing: tuple[int, ...]  # per input column: numeric ones first, then categorical
    class_counts: tuple[int, ...]
    units: tuple[float, ...]


class Location(msgspec.Struct, frozen=True):
    """What is known after the second sum: means in units, and shares of categories."""

    survey: Survey
    labels: tuple[tuple[str, ...], ...]
    means: tuple[float, ...]  # as ``Survey.units``
    shares: tuple[tuple[float, ...], ...]  # as ``labels``


def local_survey(source: Source, data: DataSpec) -> Vector:
    """Rows, missing cells per column, rows per class, magnitudes per numeric column and target.

    Raises:
        DataError: a number is beyond 1e120.
    """
    classes, numbers = len(data.classes), _numbers(data)
    rows, missing, per_class = 0.0, np.zeros(len(data.columns)), np.zeros(classes)
    magnitudes = np.zeros((numbers, _BINS))
    for batch in source.batches():
        rows += len(batch)
        missing += [is_missing(batch, *each).sum() for each in _places(data)]
        if classes and batch.target is not None:
            per_class += np.bincount(batch.target.astype(np.int64), minlength=classes)
        for j, values in enumerate(_number_columns(batch, data)):
            magnitudes[j] += _magnitudes(values)
    return np.concatenate([[rows], missing, per_class, magnitudes.ravel()])


def read_survey(total: Vector, data: DataSpec) -> Survey:
    """The federation's survey. Raises DataError for fewer than two rows."""
    columns, classes = len(data.columns), len(data.classes)
    rows, missing, per_class, magnitudes = np.split(total, np.cumsum([1, columns, classes]))
    if rows[0] < 2:
        raise DataError(
            "too few rows in the federation", expected="at least 2", found=f"{rows[0]:.0f}"
        )
    histogram = magnitudes.reshape(_numbers(data), _BINS)
    highest = [int(np.flatnonzero(row).max(initial=-1)) for row in histogram]
    units = [2.0 ** (_LOWEST + _BIN * (bin_ + 1)) if bin_ >= 0 else 1.0 for bin_ in highest]
    return Survey(int(rows[0]), tuple(map(int, missing)), tuple(map(int, per_class)), tuple(units))


def unlisted_columns(data: DataSpec) -> list[int]:
    """Positions, among the categorical columns, of those whose categories the spec doesn't list."""
    return [i for i, column in enumerate(_categorical(data)) if not column.categories]


def local_location(
    source: Source, data: DataSpec, survey: Survey, labels: Sequence[Sequence[str]]
) -> Vector:
    """Sums of numbers in their units (missing ones left out), and rows per category."""
    sums = np.zeros(_numbers(data))
    counts = [np.zeros(len(each)) for each in labels]
    for batch in source.batches():
        for j, values in enumerate(_number_columns(batch, data)):
            sums[j] += np.nansum(values / survey.units[j])
        for j, known in enumerate(labels):
            counts[j] += [(batch.categorical[:, j] == label).sum() for label in known]
    return np.concatenate([sums, *counts])


def read_location(
    total: Vector, data: DataSpec, survey: Survey, labels: Sequence[Sequence[str]]
) -> Location:
    """Means and shares over the federation."""
    numbers = _numbers(data)
    present = survey.rows - np.array(survey.missing[: _numeric_count(data)])
    present = np.append(present, [survey.rows] * (numbers - len(present)))
    means = round_absolute(total[:numbers] / np.maximum(present, 1))
    shares, start = [], numbers
    for known in labels:
        part = round_absolute(total[start : start + len(known)] / survey.rows)
        shares.append(tuple(part.tolist()))
        start += len(known)
    return Location(survey, tuple(map(tuple, labels)), tuple(means.tolist()), tuple(shares))


def local_spread(source: Source, data: DataSpec, location: Location) -> Vector:
    """First and second moments, around the means, of all raw inputs and of the target."""
    raw = _raw_encoder(data, location)
    size = len(raw.feature_names)
    first, second = np.zeros(size), np.zeros((size, size))
    target = np.zeros(2)
    for batch in source.batches():
        deviations = raw.encode(batch)
        first += deviations.sum(axis=0)
        second += deviations.T @ deviations
        if data.task is Task.REGRESSION:
            deviation = raw.targets(batch)
            target += [deviation.sum(), (deviation**2).sum()]
    return np.concatenate([target, first, second[np.triu_indices(size)]])


def read_spread(total: Vector, data: DataSpec, location: Location) -> tuple[Encoder, Matrix]:
    """The encoder, and the covariance (d, d) of its inputs.

    Raises:
        DataError: the target is constant, or all inputs are.
    """
    raw = _raw_encoder(data, location)
    size, rows = len(raw.feature_names), location.survey.rows
    first = total[2 : 2 + size] / rows
    second = np.zeros((size, size))
    second[np.triu_indices(size)] = total[2 + size :] / rows
    second = second + np.triu(second, 1).T
    covariance = second - np.outer(first, first)
    present = 1 - np.array(location.survey.missing[: _numeric_count(data)]) / rows
    variance = np.diag(covariance).copy()
    variance[: len(raw.numeric)] /= np.maximum(present, 1 / rows)
    varies = variance > _CONSTANT + 1e-12 * first**2
    scale = np.ones(size)
    numbers = len(raw.numeric)
    scale[:numbers] = round_significant(np.sqrt(np.where(varies, variance, 1.0)))[:numbers]
    encoder = _scaled(raw, scale, varies, data, _target_scale(total[:2] / rows, data, location))
    scaled = covariance[np.ix_(varies, varies)] / np.outer(scale[varies], scale[varies])
    return encoder, round_absolute(scaled)


def _target_scale(moments: Vector, data: DataSpec, location: Location) -> float:
    if data.task is Task.CLASSIFICATION:
        return 1.0
    variance = float(moments[1] - moments[0] ** 2)
    if variance <= _CONSTANT + 1e-12 * moments[0] ** 2:
        raise DataError(
            "the target is constant over the whole federation: there is nothing to learn",
            where=f"column {data.target!r}",
            found=f"{location.means[-1] * location.survey.units[-1]:.6g} in every row",
        )
    return float(round_significant(np.array(np.sqrt(variance)))) * location.survey.units[-1] / _GAIN


def _raw_encoder(data: DataSpec, location: Location) -> Encoder:
    """Every column, centred; numbers in gained units instead of standard deviations."""
    survey, numbers = location.survey, _numeric_count(data)
    numeric = [c.name for c in data.columns if c.kind is ColumnKind.NUMERIC]
    units = np.array(survey.units)
    centres = (np.array(location.means) * units).tolist()
    scales = (units / _GAIN).tolist()
    names = [*numeric, *(c.name for c in _categorical(data))]
    regression = data.task is Task.REGRESSION
    return Encoder(
        tuple(NumericFeature(*each) for each in zip(numeric, range(numbers), centres, scales)),  # noqa: B905 - the target follows
        tuple(
            CategoricalFeature(column.name, i, location.labels[i], location.shares[i])
            for i, column in enumerate(_categorical(data))
        ),
        tuple(
            MissingFeature(name, kind, index, count / survey.rows)
            for name, (kind, index), count in zip(names, _places(data), survey.missing, strict=True)
            if count
        ),
        centres[-1] if regression else 0.0,
        scales[-1] if regression else 1.0,
        survey.rows,
        survey.class_counts,
        (),
    )


def _scaled(
    raw: Encoder, scale: Vector, varies: NDArray[np.bool_], data: DataSpec, target_scale: float
) -> Encoder:
    """Without the inputs that are constant, and with numbers in standard deviations."""
    names = raw.feature_names
    keep = {name for name, kept in zip(names, varies, strict=True) if kept}
    if not keep:
        raise DataError("every input is constant over the whole federation", found=", ".join(names))
    dropped = [f.name for f in raw.numeric if f.name not in keep]
    numeric = tuple(
        msgspec.structs.replace(f, scale=f.scale * float(s))
        for f, s in zip(raw.numeric, scale, strict=False)
        if f.name in keep
    )
    categorical = []
    for f in raw.categorical:
        pairs = [
            (label, share)
            for label, share in zip(f.labels, f.shares, strict=True)
            if f"{f.name}={label}" in keep
        ]
        dropped += [f.name] * (not pairs)
        labels, shares = zip(*pairs, strict=True) if pairs else ((), ())
        categorical.append(msgspec.structs.replace(f, labels=labels, shares=shares))
    return msgspec.structs.replace(
        raw,
        numeric=numeric,
        categorical=tuple(categorical),
        missing=tuple(f for f in raw.missing if f"{f.name} is missing" in keep),
        target_scale=target_scale,
        warnings=tuple(
            f"column {name!r} is constant over the whole federation and is not used"
            for name in dropped
        ),
    )


def _places(data: DataSpec) -> list[tuple[ColumnKind, int]]:
    """Where a batch holds each column: numeric ones first, then categorical."""
    numbers, categories = _numeric_count(data), len(_categorical(data))
    numeric = [(ColumnKind.NUMERIC, i) for i in range(numbers)]
    return numeric + [(ColumnKind.CATEGORICAL, i) for i in range(categories)]


def _magnitudes(values: Vector) -> Vector:
    """A histogram of binary exponents, four to a bin; zeros and missing values are left out."""
    present = values[np.isfinite(values) & (values != 0)]
    _, exponents = np.frexp(present)
    if exponents.max(initial=0) > _HIGHEST:
        raise DataError("a number is too large", expected="below 1e120", found=f"{present.max():g}")
    bins = (np.clip(exponents - 1, _LOWEST, _HIGHEST - 1) - _LOWEST) // _BIN
    return np.bincount(bins, minlength=_BINS).astype(np.float64)


def _number_columns(batch: Batch, data: DataSpec) -> Iterator[Vector]:
    yield from batch.numeric.T
    if data.task is Task.REGRESSION and batch.target is not None:
        yield batch.target


def _numbers(data: DataSpec) -> int:
    return _numeric_count(data) + (data.task is Task.REGRESSION)


def _numeric_count(data: DataSpec) -> int:
    return len(data.columns) - len(_categorical(data))


def _categorical(data: DataSpec) -> list[Any]:
    return [column for column in data.columns if column.kind is ColumnKind.CATEGORICAL]

"""The third sum: the encoder and the covariance of its inputs, each a ratio within one total.

Moments are taken around the means, so that nothing cancels. They come with their own counts of
rows, of values and of classes. One-hot inputs and indicators of missing cells are centred here.
Nothing is summed over the rows of a category, or of two: categories and gaps are only counted, one
by one. So the covariance of two columns is taken as zero unless both are numbers.

Whatever goes into the model is rounded (`edge_node.arrays`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from edge_node.arrays import Matrix, Vector, round_absolute, round_significant
from edge_node.config import Column, ColumnKind, DataSpec
from edge_node.data.encoding.encoder import (
    CategoricalFeature,
    Encoder,
    MissingFeature,
    NumericFeature,
)
from edge_node.data.encoding.signed_log import SignedLog
from edge_node.data.sources.copies import DistinctRows
from edge_node.data.sources.schema import categorical_columns, numeric_columns, places
from edge_node.data.sources.source import Source
from edge_node.data.sums.counts import Counts
from edge_node.data.sums.given import Given
from edge_node.errors import DataError
from edge_node.packing import Layout, Symmetric

__all__ = ["Agreed", "local_spread", "read_spread"]

_GAIN = 2.0**14
_GRID = 30  # bits: of deviations in gained units, multiples of 2^-30, sums resolve products
_CONSTANT = 2.0**-55  # a variance, in gained units, that is nothing but rounding
_LARGEST_LOG = 2.0**6  # that a signed logarithm stays below: asinh(2^66) is 46
_FARTHEST = 5.0  # standard deviations: an input beyond them counts as being there
_FARTHEST_TARGET = 10.0
_ROWS_PER_COLUMN = 2
"""Distinct rows of a site over which products of its columns are summed, per column: whole numbers
in fewer rows than columns follow from their products (`tests/attacks/test_panels.py`)."""


@dataclass(frozen=True)
class Agreed:
    """What is known before this sum.

    Attributes:
        counts: the first sum's.
        means: the second sum's, of the numeric columns and then of a regression's target.
        labels: how many rows have each label, by categorical column.
        logs: the signed logarithm of each heavy-tailed column, by its index.
    """

    counts: Counts
    means: Sequence[float]
    labels: Sequence[Mapping[str, int]]
    logs: Mapping[int, SignedLog]


def local_spread(
    source: Source,
    data: DataSpec,
    given: Given,
    agreed: Agreed,
    *,
    fewest: int,
    products: bool = True,
) -> Vector:
    """What a site gives: counts, moments around the means, and rows with each label or gap.

    Args:
        source: the site's rows.
        data: the schema.
        given: which groups of them the site gives, under the agreed logarithms.
        agreed: what is known.
        fewest: how many of its own rows the site gives to a sum over a group, at least. A product
            of two columns is summed over the rows that have values in both: at least twice as many
            distinct ones as the site has columns of numbers.
        products: whether products of two columns are summed.
    """
    raw = _raw_encoder(data, agreed)
    numbers = len(raw.numeric)
    columns = [number.index for number in raw.numeric]
    centres, units = _centres(raw, data)
    used = [*columns, *([] if data.task.has_classes else [len(given.values) - 1])]
    first, squares = np.zeros(len(used)), np.zeros(len(used))
    second, both = np.zeros((numbers, numbers)), np.zeros((numbers, numbers))
    copies, per_column = DistinctRows(), (_ROWS_PER_COLUMN if fewest > 1 else 0)
    for batch in source.batches():
        deviations = round_absolute((given.numbers(batch, data)[:, used] - centres) / units, _GRID)
        held = ~np.isnan(deviations)
        deviations = np.where(held, deviations, 0.0)
        first += deviations.sum(axis=0)
        squares += np.square(deviations).sum(axis=0)
        if products:
            second += deviations[:, :numbers].T @ deviations[:, :numbers]
            known = held[copies.add(batch), :numbers].astype(np.float64)
            both += known.T @ known
    own_columns = int(np.count_nonzero(given.values[columns]))
    enough = both >= max(fewest, per_column * own_columns)
    np.fill_diagonal(enough, given.values[columns] > 0)
    return _layout(raw, data, products).pack(
        rows=given.rows,
        classes=given.classes,
        values=given.values[used],
        first=first,
        squares=squares,
        indicators=_indicators(raw, given, data),
        **({"second": np.where(enough, second, 0.0)} if products else {}),
    )


def _centres(raw: Encoder, data: DataSpec) -> tuple[Vector, Vector]:
    """Around what, and in which units, deviations of the numbers and the target are taken."""
    centres, units = [f.location for f in raw.numeric], [f.scale for f in raw.numeric]
    if not data.task.has_classes:
        centres.append(raw.target_location)
        units.append(raw.target_scale)
    return np.array(centres), np.array(units)


def _indicators(raw: Encoder, given: Given, data: DataSpec) -> list[int]:
    """How many of a site's rows have each label, or no value, where it tells them apart."""
    numbers = len(numeric_columns(data))
    places = [m.index + numbers * (m.kind is ColumnKind.CATEGORICAL) for m in raw.missing]
    rows = [given.labels[f.index].get(label, 0) for f in raw.categorical for label in f.labels]
    return rows + [given.missing[place] for place in places]


def _layout(raw: Encoder, data: DataSpec, products: bool) -> Layout:
    """What is summed; values, first moments and squares are of the numbers, then of the target."""
    numbers = len(raw.numeric)
    columns = numbers + (not data.task.has_classes)
    return Layout(
        {
            "rows": (),
            "classes": (len(data.classes),),
            "values": (columns,),
            "first": (columns,),
            "squares": (columns,),
            **({"second": Symmetric(numbers)} if products else {}),
            "indicators": (len(raw.feature_names) - numbers,),
        }
    )


def read_spread(
    total: Vector, data: DataSpec, agreed: Agreed, *, pixels: bool = False, products: bool = True
) -> tuple[Encoder, Matrix]:
    """The encoder, and the covariance (d, d) of its inputs.

    Args:
        total: the federation's ``local_spread``.
        data: the schema.
        agreed: as for ``local_spread``.
        pixels: the numeric columns are an image's. All keep their places, even constant ones, and
            share one scale: a margin that hardly varies must not be blown up.
        products: as for ``local_spread``. Without them, numbers count as uncorrelated.

    Raises:
        DataError: the target is constant, or all inputs are.
        NumericalError: the total has another length, or is not finite.
    """
    raw = _raw_encoder(data, agreed)
    numbers, size = len(raw.numeric), len(raw.feature_names)
    parts = _layout(raw, data, products).unpack(total)
    rows, values = parts["rows"].item(), np.maximum(parts["values"], 1.0)
    shares = parts["indicators"] / rows
    centre = parts["first"] / values
    spread = parts["squares"] / values - centre**2
    mean = np.append(centre[:numbers], shares)
    variance = np.append(spread[:numbers], shares * (1.0 - shares))
    varies = variance > _CONSTANT + 1e-12 * mean**2
    scale = np.ones(size)
    if pixels and varies[:numbers].any():
        scale[:numbers] = _one_scale(np.where(varies, variance, 0.0)[:numbers], raw)
        varies[:numbers] = True
    else:
        scale[:numbers] = round_significant(np.sqrt(np.where(varies, variance, 1.0)))[:numbers]
    covariance = _covariance(raw, parts, rows)
    scaled = covariance[np.ix_(varies, varies)] / np.outer(scale[varies], scale[varies])
    encoder = _scaled(raw, mean, scale, varies)
    absent = zip(data.classes, parts["classes"], strict=True)
    encoder = msgspec.structs.replace(
        encoder,
        target_scale=_target_scale(centre, spread, data, raw),
        rows=int(rows),
        class_counts=tuple(parts["classes"].astype(int).tolist()),
        wild_targets=agreed.counts.wild_targets,
        target_most=None if data.task.has_classes else _FARTHEST_TARGET,
        warnings=encoder.warnings
        + tuple(f"no site has enough rows of class {label!r}" for label, n in absent if not n),
    )
    return encoder, round_absolute(scaled)


def _covariance(raw: Encoder, parts: Mapping[str, Matrix], rows: float) -> Matrix:
    """The covariance (d, d) of the inputs before they are scaled: of the numbers, and of the labels
    of each column, which exclude each other. A missing number counts as the mean.
    """
    numbers = len(raw.numeric)
    first, shares = parts["first"][:numbers] / rows, parts["indicators"] / rows
    covariance = np.zeros((len(raw.feature_names), len(raw.feature_names)))
    if "second" in parts:
        covariance[:numbers, :numbers] = parts["second"] / rows - np.outer(first, first)
    else:
        own = parts["squares"][:numbers] / rows - first**2
        covariance[:numbers, :numbers] = np.diag(own)
    start = 0
    for size in [*(len(f.labels) for f in raw.categorical), *(1 for _ in raw.missing)]:
        own = shares[start : start + size]
        place = slice(numbers + start, numbers + start + size)
        covariance[place, place] = np.diag(own) - np.outer(own, own)
        start += size
    return covariance


def _one_scale(variance: Vector, raw: Encoder) -> Vector:
    """What each number is divided by, in its own gained unit, so that all share one scale."""
    units = np.array([number.scale for number in raw.numeric])
    scales: Vector = round_significant(np.sqrt(np.mean(variance * units**2))) / units
    return scales


def _target_scale(centre: Vector, spread: Vector, data: DataSpec, raw: Encoder) -> float:
    """The target's scale; it stands last in both."""
    if data.task.has_classes:
        return 1.0
    if spread[-1] <= _CONSTANT + 1e-12 * centre[-1] ** 2:
        raise DataError(
            "the target is constant over the whole federation: there is nothing to learn",
            where=f"column {data.target!r}",
            found="one value in every row",  # not which: a node reports why it refuses
        )
    return float(round_significant(np.sqrt(spread[-1:]))[0]) * raw.target_scale


def _raw_encoder(data: DataSpec, agreed: Agreed) -> Encoder:
    """The encoder before scales and shares are known.

    Numbers lie around their means, in gained units instead of standard deviations; indicators of
    labels and of missing cells are not centred. A column, label or gap that no site gives has no
    input.

    Raises:
        DataError: no site gives any column.
    """
    counts = agreed.counts
    scales = [unit / _GAIN for unit in counts.units]
    regression = not data.task.has_classes
    numeric, categorical = numeric_columns(data), categorical_columns(data)
    used = [values > 0 for values in counts.values[: len(numeric)]]
    listed = [
        _listed(column, i, found)
        for i, (column, found) in enumerate(zip(categorical, agreed.labels, strict=True))
    ]
    if not any(used) and not any(each.labels for each in listed):
        names = ", ".join(column.name for column in data.columns)
        raise DataError("no input has enough values at any site", found=names)
    gaps = zip(numeric + categorical, places(data), counts.missing, strict=True)
    return Encoder(
        tuple(
            _number(column.name, i, agreed, scales[i])
            for i, column in enumerate(numeric)
            if used[i]
        ),
        tuple(listed),
        tuple(MissingFeature(column.name, *place, 0.0) for column, place, rows in gaps if rows),
        target_location=agreed.means[-1] if regression else 0.0,
        target_scale=scales[-1] if regression else 1.0,
        rows=0,
        class_counts=(),
        task=data.task,
        warnings=tuple(
            f"column {column.name!r} has too few values at each site and is not used"
            for i, column in enumerate(numeric)
            if not used[i]
        ),
    )


def _number(name: str, index: int, agreed: Agreed, scale: float) -> NumericFeature:
    """A numeric column's input before its scale is known."""
    mean, log = agreed.means[index], agreed.logs.get(index)
    if log is None:
        return NumericFeature(name, index, mean, scale, _FARTHEST)
    near = float(round_significant(log(np.array([mean])))[0])
    return NumericFeature(name, index, near, _LARGEST_LOG / _GAIN, _FARTHEST, log=log)


def _listed(column: Column, index: int, found: Mapping[str, int]) -> CategoricalFeature:
    labels = tuple(label for label, rows in found.items() if rows)
    return CategoricalFeature(column.name, index, labels, (0.0,) * len(labels))


def _scaled(raw: Encoder, mean: Vector, scale: Vector, varies: NDArray[np.bool_]) -> Encoder:
    """The final encoder: numbers in standard deviations, shares known, no constant inputs."""
    if not varies.any():
        raise DataError(
            "every input is constant over the whole federation", found=", ".join(raw.feature_names)
        )
    facts = zip(mean.tolist(), scale.tolist(), varies.tolist(), strict=True)
    numeric = [(f, next(facts)) for f in raw.numeric]
    listed = [(f, [(label, *next(facts)) for label in f.labels]) for f in raw.categorical]
    missing = [(f, next(facts)) for f in raw.missing]
    categorical = [
        msgspec.structs.replace(
            f,
            labels=tuple(label for label, _, _, kept in inputs if kept),
            shares=tuple(share for _, share, _, kept in inputs if kept),
        )
        for f, inputs in listed
    ]
    dropped = [f.name for f, (_, _, kept) in numeric if not kept]
    dropped += [f.name for f in categorical if not f.labels]
    return msgspec.structs.replace(
        raw,
        numeric=tuple(
            msgspec.structs.replace(f, scale=f.scale * factor, location=_location(f, centre))
            for f, (centre, factor, kept) in numeric
            if kept
        ),
        categorical=tuple(categorical),
        missing=tuple(
            msgspec.structs.replace(f, share=share) for f, (share, _, kept) in missing if kept
        ),
        warnings=raw.warnings
        + tuple(
            f"column {name!r} is constant over the whole federation and is not used"
            for name in dropped
        ),
    )


def _location(raw: NumericFeature, centre: float) -> float:
    """A number's mean: known before this sum, but of a logarithm only now."""
    if raw.log is None:
        return raw.location
    return float(round_significant(np.array([raw.location + raw.scale * centre]))[0])

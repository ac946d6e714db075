"""The third sum: the encoder and the covariance of its inputs, each a ratio within one total.

Moments are taken around the means, so that nothing cancels. They come with their own counts of
rows, of present cells and of classes. One-hot inputs and indicators of missing cells are centred
here. Numbers are summed over all rows only, never over those of one category. So an indicator is
counted, alone and together with each other indicator, and its covariance with a number is taken as
zero.

Whatever goes into the model is rounded (`edge_node.arrays`): the same rows give the same encoder,
however they are split over nodes.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from edge_node.arrays import Matrix, Vector, round_absolute, round_significant
from edge_node.config import DataSpec, Task
from edge_node.data.encoding.encoder import (
    CategoricalFeature,
    Encoder,
    MissingFeature,
    NumericFeature,
)
from edge_node.data.encoding.groups import MISSING, kept_groups
from edge_node.data.sources.schema import categorical_columns, numeric_columns, places
from edge_node.data.sources.source import Source
from edge_node.data.sums.counts import Counts
from edge_node.data.sums.means import GRID_BITS, is_summed
from edge_node.errors import DataError
from edge_node.packing import Layout, Symmetric

__all__ = ["Agreed", "local_spread", "read_spread"]

_GAIN_BITS = 14
_GAIN = 2.0**_GAIN_BITS
_GRID = GRID_BITS - _GAIN_BITS  # bits: of deviations, multiples of 2^-30, sums resolve products
_CONSTANT = 2.0**-55  # a variance, in gained units, that is nothing but rounding


@dataclass(frozen=True)
class Agreed:
    """What is known before this sum.

    Attributes:
        counts: the first sum's.
        means: the second sum's, of the numeric columns and then of a regression's target.
        labels: how many rows have each label, by categorical column.
    """

    counts: Counts
    means: Sequence[float]
    labels: Sequence[Mapping[str, int]]


def local_spread(source: Source, data: DataSpec, agreed: Agreed) -> Vector:
    """A node's counts and moments, as `_layout` packs them.

    Counts of rows, of present numbers and of classes; first and second moments of the target and of
    the numbers, around the means; how many rows have each indicator, and each pair of indicators.
    """
    raw = _raw_encoder(data, agreed)
    numbers, size = len(raw.numeric), len(raw.feature_names)
    indices = [number.index for number in raw.numeric]
    present, per_class = np.zeros(numbers), np.zeros(len(data.classes))
    rows, target, first = 0.0, np.zeros(2), np.zeros(numbers)
    second, pairs = np.zeros((numbers, numbers)), np.zeros((size - numbers, size - numbers))
    for batch in source.batches():
        rows += len(batch)
        present += np.sum(~np.isnan(batch.numeric[:, indices]), axis=0)
        encoded = raw.encode(batch)
        deviations, indicators = round_absolute(encoded[:, :numbers], _GRID), encoded[:, numbers:]
        first += deviations.sum(axis=0)
        second += deviations.T @ deviations
        pairs += indicators.T @ indicators
        if data.task is Task.REGRESSION:
            deviation = round_absolute(raw.targets(batch), _GRID)
            target += [deviation.sum(), (deviation**2).sum()]
        else:
            classes = raw.targets(batch).astype(np.int64)
            per_class += np.bincount(classes, minlength=len(per_class))
    return _layout(raw, data).pack(
        rows=rows,
        present=present,
        classes=per_class,
        target=target,
        first=first,
        second=second,
        pairs=pairs,
    )


def _layout(raw: Encoder, data: DataSpec) -> Layout:
    """What is summed: the second moments of the numbers, and rows with each pair of indicators."""
    numbers = len(raw.numeric)
    return Layout(
        {
            "rows": (),
            "present": (numbers,),
            "classes": (len(data.classes),),
            "target": (2,),
            "first": (numbers,),
            "second": Symmetric(numbers),
            "pairs": Symmetric(len(raw.feature_names) - numbers),
        }
    )


def read_spread(
    total: Vector, data: DataSpec, agreed: Agreed, *, pixels: bool = False
) -> tuple[Encoder, Matrix]:
    """The encoder, and the covariance (d, d) of its inputs.

    Args:
        total: the federation's ``local_spread``.
        data: the schema.
        agreed: as for ``local_spread``.
        pixels: the numeric columns are an image's. All keep their places, even constant ones, and
            share one scale: a margin that hardly varies must not be blown up.

    Raises:
        DataError: the target is constant, or all inputs are.
        NumericalError: the total has another length, or is not finite.
    """
    raw = _raw_encoder(data, agreed)
    numbers, size = len(raw.numeric), len(raw.feature_names)
    parts = _layout(raw, data).unpack(total)
    rows = parts["rows"].item()
    second = np.zeros((size, size))
    second[:numbers, :numbers], second[numbers:, numbers:] = parts["second"], parts["pairs"]
    first = np.concatenate([parts["first"], np.diag(parts["pairs"])])
    covariance = second / rows - np.outer(first, first) / rows**2
    covariance[:numbers, numbers:] = covariance[numbers:, :numbers] = 0.0
    held = np.append(np.maximum(parts["present"], 1.0), np.full(size - numbers, rows))
    mean = first / held
    variance = np.diag(second) / held - mean**2
    varies = variance > _CONSTANT + 1e-12 * mean**2
    scale = np.ones(size)
    if pixels and varies[:numbers].any():
        scale[:numbers] = _one_scale(np.where(varies, variance, 0.0)[:numbers], raw)
        varies[:numbers] = True
    else:
        scale[:numbers] = round_significant(np.sqrt(np.where(varies, variance, 1.0)))[:numbers]
    scaled = covariance[np.ix_(varies, varies)] / np.outer(scale[varies], scale[varies])
    encoder = msgspec.structs.replace(
        _scaled(raw, mean, scale, varies),
        target_scale=_target_scale(parts["target"] / rows, data, raw),
        rows=int(rows),
        class_counts=tuple(parts["classes"].astype(int).tolist()),
    )
    return encoder, round_absolute(scaled)


def _one_scale(variance: Vector, raw: Encoder) -> Vector:
    """What each number is divided by, in its own gained unit, so that all share one scale."""
    units = np.array([number.scale for number in raw.numeric])
    scales: Vector = round_significant(np.sqrt(np.mean(variance * units**2))) / units
    return scales


def _target_scale(moments: Vector, data: DataSpec, raw: Encoder) -> float:
    if data.task is Task.CLASSIFICATION:
        return 1.0
    variance = float(moments[1] - moments[0] ** 2)
    if variance <= _CONSTANT + 1e-12 * moments[0] ** 2:
        raise DataError(
            "the target is constant over the whole federation: there is nothing to learn",
            where=f"column {data.target!r}",
            found="one value in every row",  # not which: a node reports why it refuses
        )
    return float(round_significant(np.array(np.sqrt(variance)))) * raw.target_scale


def _raw_encoder(data: DataSpec, agreed: Agreed) -> Encoder:
    """The encoder before scales and shares are known.

    Numbers lie around their means, in gained units instead of standard deviations; indicators of
    labels and of missing cells are not centred. A column with too few values, or a label with too
    few rows, has no input.

    Raises:
        DataError: no column has enough values.
    """
    counts, summed = agreed.counts, is_summed(agreed.counts, data)
    scales = [unit / _GAIN for unit in counts.units]
    regression = data.task is Task.REGRESSION
    numeric = list(enumerate(numeric_columns(data)))
    listed = list(_listed(data, agreed))
    if not summed[: len(numeric)].any() and not any(each.labels for each in listed):
        names = ", ".join(column.name for column in data.columns)
        raise DataError("no input has enough values in the whole federation", found=names)
    return Encoder(
        tuple(
            NumericFeature(column.name, i, agreed.means[i], scales[i])
            for i, column in numeric
            if summed[i]
        ),
        tuple(listed),
        tuple(_missing(data, agreed)),
        target_location=agreed.means[-1] if regression else 0.0,
        target_scale=scales[-1] if regression else 1.0,
        rows=0,
        class_counts=(),
        warnings=tuple(
            f"column {column.name!r} has fewer than {data.min_rows_per_category} values in the "
            "whole federation and is not used"
            for i, column in numeric
            if not summed[i]
        ),
    )


def _listed(data: DataSpec, agreed: Agreed) -> Iterator[CategoricalFeature]:
    """Each categorical column: the labels with an input, and those that have joined the rest."""
    numbers, fewest = len(numeric_columns(data)), data.min_rows_per_category
    for i, column in enumerate(categorical_columns(data)):
        labels, missing = agreed.labels[i], agreed.counts.missing[numbers + i]
        groups = kept_groups(agreed.counts.rows, labels, missing, fewest)
        kept = tuple(label for label in labels if label in groups)
        joined = tuple(each for each in labels if each not in groups and labels[each] >= fewest)
        yield CategoricalFeature(column.name, i, kept, (0.0,) * len(kept), joined)


def _missing(data: DataSpec, agreed: Agreed) -> Iterator[MissingFeature]:
    """An indicator for each column whose missing cells are told apart."""
    counts = agreed.counts
    names = [column.name for column in numeric_columns(data) + categorical_columns(data)]
    labels: list[Mapping[str, int]] = [{} for _ in numeric_columns(data)]
    for name, (kind, i), missing, own in zip(
        names, places(data), counts.missing, [*labels, *agreed.labels], strict=True
    ):
        if MISSING in kept_groups(counts.rows, own, missing, data.min_rows_per_category):
            yield MissingFeature(name, kind, i, 0.0)


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
            msgspec.structs.replace(f, scale=f.scale * factor)
            for f, (_, factor, kept) in numeric
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

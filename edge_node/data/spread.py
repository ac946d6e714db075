"""The second sum: the encoder and the covariance of its inputs, each a ratio within one total.

Moments are taken around the survey's centres, so that nothing cancels. They come with their own
counts of rows, of present cells and of classes: a node that was lost since the survey has moved a
centre, and falsifies nothing. One-hot inputs and indicators of missing cells are centred here.

What becomes a part of the model is rounded (`edge_node.rounding`): the same rows, split otherwise
over nodes, give the same encoder.
"""

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from edge_node.config import DataSpec, Task
from edge_node.data.encoder import (
    CategoricalFeature,
    Encoder,
    MissingFeature,
    NumericFeature,
)
from edge_node.data.schema import categorical_columns, numeric_columns, places
from edge_node.data.source import Source
from edge_node.data.survey import GRID_BITS, Survey, check_rows
from edge_node.errors import DataError
from edge_node.rounding import round_absolute, round_significant

__all__ = ["local_spread", "read_spread"]

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]
Labels = Sequence[Sequence[str]]  # of each categorical column

_GAIN_BITS = 14
_GAIN = 2.0**_GAIN_BITS
_GRID = (
    GRID_BITS - _GAIN_BITS
)  # bits: deviations become multiples of 2^-30: sums resolve their products
_CONSTANT = 2.0**-55  # variance, in gained units, that is rounding only


def local_spread(source: Source, data: DataSpec, survey: Survey, labels: Labels) -> Vector:
    """Counts of rows, of present numbers and of classes; first and second moments around the
    centres, of the target and of all raw inputs.
    """
    raw = _raw_encoder(data, survey, labels)
    size = len(raw.feature_names)
    present, per_class = np.zeros(len(raw.numeric)), np.zeros(len(data.classes))
    rows, target = 0.0, np.zeros(2)
    first, second = np.zeros(size), np.zeros((size, size))
    for batch in source.batches():
        rows += len(batch)
        present += np.sum(~np.isnan(batch.numeric), axis=0)
        deviations = round_absolute(raw.encode(batch), _GRID)
        first += deviations.sum(axis=0)
        second += deviations.T @ deviations
        if data.task is Task.REGRESSION:
            deviation = round_absolute(raw.targets(batch), _GRID)
            target += [deviation.sum(), (deviation**2).sum()]
        else:
            classes = raw.targets(batch).astype(np.int64)
            per_class += np.bincount(classes, minlength=len(per_class))
    moments = [target, first, second[np.triu_indices(size)]]
    return np.concatenate([[rows], present, per_class, *moments])


def read_spread(
    total: Vector, data: DataSpec, survey: Survey, labels: Labels, *, pixels: bool = False
) -> tuple[Encoder, Matrix]:
    """The encoder, and the covariance (d, d) of its inputs.

    Args:
        total: the federation's ``local_spread``.
        data: the schema.
        survey: the first sum.
        labels: of each categorical column.
        pixels: the numeric columns are an image's. They keep their places, also those that are
            constant, and share one scale: a margin that hardly varies must not become loud.

    Raises:
        DataError: fewer than two rows; the target is constant, or all inputs are.
    """
    raw = _raw_encoder(data, survey, labels)
    numbers, size = len(raw.numeric), len(raw.feature_names)
    sizes = [1, numbers, len(data.classes), 2, size]
    (rows,), present, per_class, target, first, upper = np.split(total, np.cumsum(sizes))
    check_rows(rows)
    second = np.zeros((size, size))
    second[np.triu_indices(size)] = upper
    second = second + np.triu(second, 1).T
    covariance = second / rows - np.outer(first, first) / rows**2
    held = np.append(np.maximum(present, 1.0), np.full(size - numbers, rows))
    mean = first / held
    variance = np.diag(second) / held - mean**2
    varies = variance > _CONSTANT + 1e-12 * mean**2
    scale = np.ones(size)
    scale[:numbers] = round_significant(np.sqrt(np.where(varies, variance, 1.0)))[:numbers]
    if pixels and varies[:numbers].any():
        units = np.array([number.scale for number in raw.numeric])
        power = np.mean(np.where(varies, variance, 0.0)[:numbers] * units**2)
        scale[:numbers] = round_significant(np.sqrt(power)) / units
        varies[:numbers] = True
    scaled = covariance[np.ix_(varies, varies)] / np.outer(scale[varies], scale[varies])
    encoder = msgspec.structs.replace(
        _scaled(raw, mean, scale, varies),
        target_scale=_target_scale(target / rows, data, raw),
        rows=int(rows),
        class_counts=tuple(per_class.astype(int).tolist()),
    )
    return encoder, round_absolute(scaled)


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


def _raw_encoder(data: DataSpec, survey: Survey, labels: Labels) -> Encoder:
    """Numbers around their centres, in gained units instead of standard deviations; indicators of
    labels and of missing cells as they are.
    """
    numeric = [column.name for column in numeric_columns(data)]
    categorical = [column.name for column in categorical_columns(data)]
    scales = [unit / _GAIN for unit in survey.units]
    regression = data.task is Task.REGRESSION
    return Encoder(
        tuple(
            NumericFeature(name, i, survey.centres[i], scales[i]) for i, name in enumerate(numeric)
        ),
        tuple(
            CategoricalFeature(name, i, tuple(labels[i]), (0.0,) * len(labels[i]))
            for i, name in enumerate(categorical)
        ),
        tuple(
            MissingFeature(name, kind, index, 0.0)
            for name, (kind, index), count in zip(
                numeric + categorical, places(data), survey.missing, strict=True
            )
            if count
        ),
        target_location=survey.centres[-1] if regression else 0.0,
        target_scale=scales[-1] if regression else 1.0,
        rows=0,
        class_counts=(),
        warnings=(),
    )


def _scaled(raw: Encoder, mean: Vector, scale: Vector, varies: NDArray[np.bool_]) -> Encoder:
    """Without the inputs that are constant; numbers in standard deviations, shares known."""
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
        warnings=tuple(
            f"column {name!r} is constant over the whole federation and is not used"
            for name in dropped
        ),
    )

"""An encoding that depends on no row: it is made of a private spec's bounds and categories.

Bounds stand in for means and deviations: a number is encoded as if it were uniform between them,
with mean zero and unit variance. A number beyond a bound counts as the bound. Categories count as
equally frequent; where cells may be missing, one in ten counts as missing. These guesses decide
scales and landmarks only: a wrong one costs accuracy, not privacy.
"""

import math

import numpy as np
from numpy.typing import NDArray

from edge_node.config import Column, ColumnKind, FederationSpec
from edge_node.data.encoding.encoder import (
    CategoricalFeature,
    Encoder,
    MissingFeature,
    NumericFeature,
)
from edge_node.data.sources.schema import categorical_columns, numeric_columns

__all__ = ["bounded_encoder", "presumed_covariance"]

_WIDTH = math.sqrt(3.0)  # half the range of a uniform distribution of unit variance
_MISSING = 0.1


def bounded_encoder(spec: FederationSpec) -> Encoder:
    """The encoder of a spec with ``[privacy]``: the same wherever it is made, without any row."""
    data = spec.data
    numeric, categorical = numeric_columns(data), categorical_columns(data)
    target = (-1.0, 1.0)
    if spec.privacy is not None and spec.privacy.target_bounds is not None:
        target = spec.privacy.target_bounds
    centre, half = _centre(target)
    return Encoder(
        tuple(_number(column, index) for index, column in enumerate(numeric)),
        tuple(_category(column, index) for index, column in enumerate(categorical)),
        tuple(
            MissingFeature(column.name, kind, index, _MISSING)
            for kind, columns in (
                (ColumnKind.NUMERIC, numeric),
                (ColumnKind.CATEGORICAL, categorical),
            )
            for index, column in enumerate(columns)
            if column.missing
        ),
        target_location=0.0 if data.classes else centre,
        target_scale=1.0 if data.classes else half,
        rows=0,
        class_counts=(),
        warnings=(),
    )


def presumed_covariance(encoder: Encoder) -> NDArray[np.float64]:
    """The covariance (d, d) of the inputs, if they are as the encoder presumes; for landmarks."""
    blocks = [np.eye(len(encoder.numeric))]
    for feature in encoder.categorical:
        shares = np.array(feature.shares)
        blocks.append(np.diag(shares) - np.outer(shares, shares))
    blocks.append(_MISSING * (1.0 - _MISSING) * np.eye(len(encoder.missing)))
    sizes = [len(block) for block in blocks]
    covariance = np.zeros((sum(sizes), sum(sizes)))
    for block, end in zip(blocks, np.cumsum(sizes), strict=True):
        covariance[end - len(block) : end, end - len(block) : end] = block
    return covariance


def _centre(bounds: tuple[float, float]) -> tuple[float, float]:
    """The middle, and half the width; neither overflows."""
    return bounds[0] / 2.0 + bounds[1] / 2.0, bounds[1] / 2.0 - bounds[0] / 2.0


def _number(column: Column, index: int) -> NumericFeature:
    centre, half = _centre(column.bounds or (-1.0, 1.0))
    return NumericFeature(column.name, index, centre, half / _WIDTH, most=_WIDTH, of_spec=True)


def _category(column: Column, index: int) -> CategoricalFeature:
    labels = column.categories
    return CategoricalFeature(column.name, index, labels, (1.0 / len(labels),) * len(labels))

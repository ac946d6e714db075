"""How much each column matters, from the metric: the shares of its encoded inputs, added up."""

import numpy as np

from edge_node.arrays import Vector
from edge_node.config import Column, ColumnKind
from edge_node.data.sources.schema import categorical_columns, numeric_columns
from edge_node.inference.features.relevance import relevance
from edge_node.model.model import Model

__all__ = ["importances"]


def importances(model: Model) -> Vector:
    """Each column's share (columns,) in the schema's order, adding up to one; see `relevance`.

    A category's inputs, and that of missing cells, count for their column. A column that is not
    used has zero.
    """
    place = {column.name: i for i, column in enumerate(model.data.columns)}
    owners = [place[column.name] for column in _owners(model)]
    shares = relevance(model.posterior.features, len(owners))
    found: Vector = np.bincount(owners, weights=shares, minlength=len(place)).astype(np.float64)
    return found


def _owners(model: Model) -> list[Column]:
    """The column of each encoded input, in the encoder's order."""
    encoder = model.encoder
    columns = {
        ColumnKind.NUMERIC: numeric_columns(model.data),
        ColumnKind.CATEGORICAL: categorical_columns(model.data),
    }
    return [
        *(columns[ColumnKind.NUMERIC][each.index] for each in encoder.numeric),
        *(columns[ColumnKind.CATEGORICAL][f.index] for f in encoder.categorical for _ in f.labels),
        *(columns[each.kind][each.index] for each in encoder.missing),
    ]

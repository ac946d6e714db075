"""Agreeing on the encoding: which numbers a row becomes."""

from edge_node.config import ColumnKind, DataSpec
from edge_node.data.encoder import Encoder
from edge_node.data.encoding import (
    local_location,
    local_spread,
    local_survey,
    read_location,
    read_spread,
    read_survey,
    unlisted_columns,
)
from edge_node.data.labels import ATTEMPTS, label_bytes, label_counts, read_labels
from edge_node.data.source import Source
from edge_node.errors import DataError
from edge_node.inference.arrays import Matrix
from edge_node.network.base import Network

__all__ = ["agree_encoding"]


async def agree_encoding(
    network: Network, source: Source, data: DataSpec
) -> tuple[Encoder, Matrix]:
    """The encoder that all nodes share, and the covariance (d, d) of the inputs it makes."""
    survey = read_survey(await network.sum("survey", local_survey(source, data)), data)
    labels = await agree_labels(network, source, data)
    location = read_location(
        await network.sum("location", local_location(source, data, survey, labels)),
        data,
        survey,
        labels,
    )
    spread = await network.sum("spread", local_spread(source, data, location))
    return read_spread(spread, data, location)


async def agree_labels(network: Network, source: Source, data: DataSpec) -> list[tuple[str, ...]]:
    """Each categorical column's list: the spec's, or the labels that enough rows hold."""
    categorical = [c for c in data.columns if c.kind is ColumnKind.CATEGORICAL]
    labels = [column.categories for column in categorical]
    columns = unlisted_columns(data)
    for attempt in range(ATTEMPTS if columns else 0):
        counts = await network.sum(
            f"labels/{attempt}/counts", label_counts(source, columns, attempt)
        )
        common = counts >= data.min_rows_per_category
        total = await network.sum(
            f"labels/{attempt}/bytes", label_bytes(source, columns, attempt, common)
        )
        found = read_labels(total, counts, common, len(columns))
        if found is not None:
            for column, known in zip(columns, found, strict=True):
                labels[column] = known
            return labels
    if columns:
        raise DataError(
            "too many categories to be agreed on by sums",
            where=", ".join(categorical[column].name for column in columns),
            remedy="List the columns' `categories` in the federation spec",
        )
    return labels

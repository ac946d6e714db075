"""Agreeing on the encoding: which numbers a row becomes."""

from collections.abc import Sequence

import numpy as np

from edge_node.config import DataSpec
from edge_node.data.encoder import Encoder
from edge_node.data.labels import (
    ATTEMPTS,
    Sieve,
    Tally,
    label_bytes,
    label_counts,
    read_labels,
    too_many,
)
from edge_node.data.schema import categorical_columns, unlisted_columns
from edge_node.data.source import Source
from edge_node.data.spread import local_spread, read_spread
from edge_node.data.survey import local_survey, read_survey
from edge_node.inference.arrays import Matrix, Vector
from edge_node.network.base import Network

__all__ = ["agree_encoding"]


async def agree_encoding(
    network: Network, source: Source, data: DataSpec, *, pixels: bool = False
) -> tuple[Encoder, Matrix]:
    """The encoder that all nodes share, and the covariance (d, d) of the inputs it makes.

    ``pixels`` says that the numeric columns are an image's: all are kept, at one scale.

    A node may be lost between two steps: whatever is divided is divided by a count of its own sum.
    """
    local = local_survey(source, data)
    counts = label_counts(local.tallies, range(len(local.tallies)), attempt=0)
    total = await network.sum("survey", np.concatenate([local.vector, counts]))
    survey = read_survey(total[: len(local.vector)], data)
    labels = await agree_labels(network, local.tallies, total[len(local.vector) :], data)
    spread = await network.sum("spread", local_spread(source, data, survey, labels))
    return read_spread(spread, data, survey, labels, pixels=pixels)


async def agree_labels(
    network: Network, tallies: Sequence[Tally], counts: Vector, data: DataSpec
) -> list[tuple[str, ...]]:
    """Each categorical column's list: the spec's, or the labels that enough rows hold.

    Args:
        network: the node's view of the federation.
        tallies: this node's rows per label, of each column that the spec doesn't list.
        counts: the federation's first ``label_counts``, which rode in the survey.
        data: the schema.

    Raises:
        DataError: a column has too many different labels.
    """
    fewest, places = data.min_rows_per_category, unlisted_columns(data)
    labels = [column.categories for column in categorical_columns(data)]
    unread = list(range(len(tallies)))
    for attempt in range(ATTEMPTS):
        if not unread:
            break
        if attempt:
            local = label_counts(tallies, unread, attempt)
            counts = await network.sum(f"labels/{attempt}/counts", local)
        sieve = Sieve.read(counts, unread, attempt, fewest)
        if sieve.columns:
            content = label_bytes(tallies, sieve)
            if sieve.size:
                content = await network.sum(f"labels/{attempt}/bytes", content)
            for column, found in read_labels(content, sieve, fewest).items():
                labels[places[column]] = found
                unread.remove(column)
    if unread:
        names = [categorical_columns(data)[places[column]].name for column in unread]
        raise too_many(", ".join(map(repr, names)), "too many in the whole federation")
    return labels

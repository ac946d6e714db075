"""Agreeing on the encoding: which numbers a row becomes."""

from collections.abc import Callable, Sequence

import numpy as np

from edge_node.arrays import Matrix, Vector
from edge_node.config import DataSpec
from edge_node.data.encoding.encoder import Encoder
from edge_node.data.sources.schema import categorical_columns, unlisted_columns
from edge_node.data.sources.source import Source
from edge_node.data.sums.counts import (
    Counts,
    check_census,
    local_census,
    local_counts,
    read_counts,
)
from edge_node.data.sums.labels import (
    ATTEMPTS,
    Sieve,
    Tally,
    label_bytes,
    label_counts,
    read_labels,
    too_many,
)
from edge_node.data.sums.means import local_means, read_means
from edge_node.data.sums.spread import Agreed, local_spread, read_spread
from edge_node.network.base import CohortChanged, Network
from edge_node.program.recounting import RecountingNetwork
from edge_node.step import Content, Step

__all__ = ["agree_census", "agree_encoding"]


async def agree_encoding(
    network: Network,
    source: Source,
    data: DataSpec,
    *,
    pixels: bool = False,
    check: Callable[[int], None] = lambda _: None,
) -> tuple[RecountingNetwork, Encoder, Matrix]:
    """The encoder that all nodes share, and the covariance (d, d) of the inputs it makes.

    Counts come first, and the sums that they allow are taken over the same nodes. If one is lost in
    between, everything begins again with the counts of the others.

    Args:
        network: the node's view of the federation.
        source: the node's own rows.
        data: the schema.
        pixels: the numeric columns are an image's: all are kept, at one scale.
        check: is called with the federation's rows whenever they have been counted; raises if they
            are too few for further sums.

    Returns:
        The network to use from here on, which counts again whenever a node is lost; the encoder;
        and the covariance.

    Raises:
        DataError: this node's rows don't fit the schema; the federation's are too few, or all the
            same; a column has too many different labels.
        CohortRefusedError: a class has some rows, but too few; or ``check`` raised it.
    """
    local, checked = local_counts(source, data), _checked(data, check)
    recounting = RecountingNetwork(
        network, local.vector, lambda total: checked(read_counts(total, data).census)
    )
    await recounting.count()
    while True:
        counts, counted = read_counts(recounting.total, data), recounting.newest
        try:
            labels = await _agree_labels(recounting, local.tallies, counts, data, cohort_of=counted)
            sums = local_means(source, data, counts)
            means = read_means(await recounting.sum(Step("means"), sums, cohort_of=counted), counts)
            agreed = Agreed(counts, means, labels)
            moments = local_spread(source, data, agreed)
            spread = await recounting.sum(Step("spread"), moments, cohort_of=counted)
            break
        except CohortChanged:
            continue
    recounting.narrow(local.census, checked)
    return recounting, *read_spread(spread, data, agreed, pixels=pixels)


async def agree_census(
    network: Network, source: Source, data: DataSpec, *, check: Callable[[int], None]
) -> RecountingNetwork:
    """Where the encoding is known: count rows, and rows of each class, and nothing else.

    Arguments, result and errors as for `agree_encoding`.
    """
    recounting = RecountingNetwork(network, local_census(source, data), _checked(data, check))
    await recounting.count()
    return recounting


def _checked(data: DataSpec, check: Callable[[int], None]) -> Callable[[Vector], None]:
    """Whether a census allows further sums."""

    def checked(census: Vector) -> None:
        check_census(census, data)
        check(round(census[0]))

    return checked


async def _agree_labels(
    network: Network,
    tallies: Sequence[Tally],
    counts: Counts,
    data: DataSpec,
    *,
    cohort_of: Step,
) -> list[dict[str, int]]:
    """How many rows have each label, for each categorical column.

    The labels are the spec's, or those that enough rows of the federation have.

    Args:
        network: the node's view of the federation.
        tallies: this node's rows per label, of each column that the spec doesn't list.
        counts: the federation's counts.
        data: the schema.
        cohort_of: the step of the counts.

    Raises:
        CohortChanged: a node was lost since the counts.
        DataError: a column has too many different labels.
    """
    fewest, places = data.min_rows_per_category, unlisted_columns(data)
    labels = [
        dict(zip(column.categories, rows, strict=True))
        for column, rows in zip(categorical_columns(data), counts.listed, strict=True)
    ]
    unread = list(range(len(tallies)))
    buckets: Vector = np.array(counts.buckets)
    for attempt in range(ATTEMPTS):
        if not unread:
            break
        if attempt:
            local = label_counts(tallies, unread, attempt)
            step = Step(f"labels/{attempt}/counts", Content.COUNTS)
            buckets = await network.sum(step, local, cohort_of=cohort_of)
        sieve = Sieve.read(buckets, unread, attempt, fewest)
        if sieve.columns:
            content = label_bytes(tallies, sieve)
            if sieve.size:
                step = Step(f"labels/{attempt}/bytes")
                content = await network.sum(step, content, cohort_of=cohort_of)
            for column, found in read_labels(content, sieve, fewest).items():
                labels[places[column]] = found
                unread.remove(column)
    if unread:
        names = [categorical_columns(data)[places[column]].name for column in unread]
        raise too_many(", ".join(map(repr, names)), "too many in the whole federation")
    return labels

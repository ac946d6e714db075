"""Agreeing on the encoding: which numbers a row becomes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

import numpy as np

from edge_node.arrays import Matrix, Vector
from edge_node.config import DataSpec
from edge_node.data.encoding.encoder import Encoder
from edge_node.data.encoding.signed_log import SignedLog
from edge_node.data.sources.schema import categorical_columns, unlisted_columns
from edge_node.data.sources.source import Source
from edge_node.data.sums.census import Census
from edge_node.data.sums.counts import Counts, check_census, local_counts, read_counts
from edge_node.data.sums.given import Given, given_by
from edge_node.data.sums.labels import (
    ATTEMPTS,
    Sieve,
    Tally,
    label_bytes,
    label_counts,
    label_tallies,
    read_labels,
    too_many,
)
from edge_node.data.sums.means import local_means, read_means
from edge_node.data.sums.spread import Agreed, local_spread, read_spread
from edge_node.data.sums.units import local_units, read_units
from edge_node.errors import CohortRefusedError
from edge_node.network.base import Network, Terms
from edge_node.program.recounting import RecountingNetwork
from edge_node.step import Content, Step

__all__ = ["SPREAD", "Check", "Encoding", "agree_census", "agree_encoding"]

SPREAD = Step("spread")

Check: TypeAlias = Callable[[Census], None]
"""Called with the census of a federation's rows."""
ChooseByEncoding: TypeAlias = Callable[[Encoder, Matrix], bytes]


@dataclass(frozen=True)
class Encoding:
    """What is agreed on, and what it was made of.

    Attributes:
        encoder: the one that all nodes share.
        covariance: (d, d), of the inputs that it makes.
        given: which groups of its rows this site gives.
        known: for each numeric column, how many sites say that its cells are hardly unknowns.
    """

    encoder: Encoder
    covariance: Matrix
    given: Given
    known: Sequence[int]


async def agree_encoding(
    network: Network,
    source: Source,
    data: DataSpec,
    *,
    fewest: int,
    pixels: bool = False,
    products: Callable[[], bool] = lambda: True,
    check: Check = lambda _: None,
    choose: ChooseByEncoding | None = None,
) -> tuple[RecountingNetwork, Encoding]:
    """The encoder that all nodes share, and the covariance of the inputs it makes.

    Every sum has its own counts, and every site leaves small groups out by itself. So nothing
    begins again if a node is lost in between.

    Args:
        network: the node's view of the federation.
        source: the node's own rows.
        data: the schema.
        fewest: how many of its own rows the node gives to a sum over a group, at least.
        pixels: the numeric columns are an image's: all are kept, at one scale.
        products: whether the rows may tell products of columns; asked when they were counted.
            Without them, numbers count as uncorrelated.
        check: is called with the census of the federation's rows whenever they have been counted;
            raises if they are too few for further sums.
        choose: what the root chooses from encoder and covariance: the decision of `SPREAD`.

    Returns:
        The network to use from here on, which counts again whenever a node is lost; and the
        encoding.

    Raises:
        DataError: this node's rows don't fit the schema; the federation's are too few, or all the
            same; a column has too many different labels.
        CohortRefusedError: ``check`` raised it.
    """
    given = given_by(source, data, fewest)
    own = Census.read(given.census, data)
    recounting = RecountingNetwork(
        network,
        local_counts(given, data),
        lambda total: _check(check, own, read_counts(total, data).census),
    )
    await recounting.count()
    counts = network.once(lambda: read_counts(recounting.total, data))
    recounting.narrow(given.census, partial(_check_census, check, own, data))
    labels = await _agree_labels(recounting, given, counts, data)
    sums = local_means(source, data, given, counts)
    means = read_means(await recounting.sum(Step("means"), sums), counts)
    logs = {} if pixels else await _agree_logs(recounting, given, counts, means)
    agreed, given = Agreed(counts, means, labels, logs), given.under(logs)
    told = products()
    moments = local_spread(source, data, given, agreed, fewest=fewest, products=told)
    read = partial(read_spread, data=data, agreed=agreed, pixels=pixels, products=told)
    terms: Terms = {} if choose is None else {"choose": lambda total: choose(*read(total))}
    total = await recounting.sum(SPREAD, moments, **terms)
    encoder, covariance = network.once(lambda: read(total))
    return recounting, Encoding(encoder, covariance, given, counts.known)


async def _agree_logs(
    network: Network, given: Given, counts: Counts, means: Sequence[float]
) -> dict[int, SignedLog]:
    """The signed logarithm of each heavy-tailed column; without any, nothing is summed."""
    if not counts.heavy:
        return {}
    step = Step("units", Content.COUNTS)
    return read_units(await network.sum(step, local_units(given, counts)), counts, means)


async def agree_census(
    network: Network,
    source: Source,
    data: DataSpec,
    *,
    fewest: int,
    check: Check = lambda _: None,
) -> RecountingNetwork:
    """Where the encoding is known: take a census, and nothing else.

    Arguments, result and errors as for `agree_encoding`.
    """
    census = given_by(source, data, fewest).census
    own = Census.read(census, data)
    recounting = RecountingNetwork(network, census, partial(_check_census, check, own, data))
    await recounting.count()
    return recounting


def _check_census(check: Check, own: Census, data: DataSpec, total: Vector) -> None:
    _check(check, own, Census.read(total, data))


def _check(check: Check, own: Census, census: Census) -> None:
    """Raises CohortRefusedError, or what ``check`` raises."""
    check_census(census)
    if census.lacks(own):
        raise CohortRefusedError(
            "the federation's counts lack what this site has counted",
            where="counts of columns and classes",
            expected="as many as this site's, at least",
            found="fewer",
            remedy="Ask who takes part: a member has counted less than nothing",
        )
    check(census)


async def _agree_labels(
    network: Network, given: Given, counts: Counts, data: DataSpec
) -> list[dict[str, int]]:
    """How many rows have each label, for each categorical column.

    The labels are the spec's, or those that some site gives.

    Raises:
        DataError: a column has too many different labels.
    """
    tallies, places = label_tallies(given.labels, data), unlisted_columns(data)
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
            step = Step(f"labels/{attempt}/counts", Content.COUNTS)
            buckets = await network.sum(step, label_counts(tallies, unread, attempt))
        sieve = Sieve.read(buckets, unread, attempt)
        for column, found in (await _agree_bytes(network, tallies, sieve)).items():
            labels[places[column]] = found
            unread.remove(column)
    if unread:
        names = [categorical_columns(data)[places[column]].name for column in unread]
        raise too_many(", ".join(map(repr, names)), "too many in the whole federation")
    return labels


async def _agree_bytes(
    network: Network, tallies: Sequence[Tally], sieve: Sieve
) -> dict[int, dict[str, int]]:
    """The labels of each column that could be read, and their rows."""
    content = label_bytes(tallies, sieve)
    if sieve.size:
        content = await network.sum(Step(f"labels/{sieve.attempt}/bytes", Content.LABELS), content)
    return read_labels(content, sieve)

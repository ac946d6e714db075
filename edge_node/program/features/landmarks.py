"""Agreeing on landmarks: points that are nobody's row."""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from edge_node.arrays import Matrix, Rows, Vector
from edge_node.config import FederationSpec
from edge_node.data.encoding.encoder import Encoder
from edge_node.data.sources.copies import FirstCopies
from edge_node.data.sources.source import Batch
from edge_node.errors import ConfigurationError
from edge_node.inference.features.disjoint import DisjointSubset
from edge_node.inference.features.landmarks import (
    kmeans_given,
    kmeans_spread,
    kmeans_sums,
    kmeans_update,
)
from edge_node.inference.numerics.hashing import row_hashes
from edge_node.network.base import Network, Terms
from edge_node.step import Content, Step

__all__ = ["NOTHING", "agree_centroids", "encode_public", "kmeans_step"]

NOTHING = sys.maxsize
"""So many rows next to a centroid no site has: whose rows were in cells before gives none."""


def encode_public(
    node: str, encoder: Encoder, spec: FederationSpec, public: Batch | None
) -> Matrix:
    """The public landmarks (m, d): the first rows of ``public``, as many as the spec asks for.

    Raises:
        ConfigurationError: none are given.
    """
    if public is None:
        raise ConfigurationError(
            "the federation's public landmarks are not given", where=f"node {node}"
        )
    return encoder.encode(public)[: spec.landmark_count]


async def agree_centroids(
    network: Network,
    rows: Rows,
    centroids: Matrix,
    *,
    iterations: int,
    fewest: int,
    crowd: int,
    choose: Callable[[Matrix], bytes] | None = None,
) -> Matrix:
    """Lloyd's k-means over the whole federation, from sums only, each row in one sum at most.

    Every iteration has a share of the rows for itself, and takes one sum: of the rows next to each
    centroid. A site adds those to which enough of its own rows are nearest, and nothing to others.

    Args:
        network: the network.
        rows: this node's.
        centroids: (m, d), from which to start.
        iterations: how many iterations.
        fewest: fewest distinct rows of this site that it gives to a centroid; `NOTHING`: it gives
            none.
        crowd: fewest rows for which a centroid is expected to be given any; the same at all nodes.
        choose: what the root chooses from the centroids: the last iteration's decision.

    Returns:
        (m, d); a centroid to which no site gave rows is where it was.
    """
    left = sum(len(X) for X, _ in _FirstRows(rows))
    for i in range(iterations):
        share = DisjointSubset(rows, i, iterations)
        cells = kmeans_sums(share, centroids)
        distinct = cells[:, 0]
        if sum(len(X) for X, _ in _FirstRows(share)) < distinct.sum():
            distinct = kmeans_sums(_FirstRows(share), centroids)[:, 0]
        given = kmeans_given(cells, left, fewest, distinct)
        left -= int(distinct[given[:, 0] > 0].sum())
        is_last = i + 1 == iterations
        terms: Terms = {}
        if choose is not None and is_last:
            terms["choose"] = partial(_chosen, choose, centroids)
        total = await network.sum(kmeans_step(i), given.ravel(), **terms)
        centroids = network.once(partial(_spread, centroids, total, None if is_last else crowd))
    return centroids


def kmeans_step(iteration: int) -> Step:
    """An iteration's sum."""
    return Step(f"kmeans/{iteration}", Content.PARTITION)


def _spread(centroids: Matrix, total: Vector, crowd: int | None) -> Matrix:
    """After an iteration; for another one, idle centroids are brought near crowded ones."""
    moved = _moved(centroids, total)
    if crowd is None:
        return moved
    return kmeans_spread(moved, total.reshape(len(moved), -1)[:, 0], crowd)


def _chosen(choose: Callable[[Matrix], bytes], centroids: Matrix, total: Vector) -> bytes:
    return choose(_moved(centroids, total))


def _moved(centroids: Matrix, total: Vector) -> Matrix:
    return kmeans_update(centroids, total.reshape(len(centroids), -1))


@dataclass(frozen=True)
class _FirstRows:
    """The first of all copies of each row: copies hide nobody."""

    rows: Rows

    def __iter__(self) -> Iterator[tuple[Matrix, Vector]]:
        copies = FirstCopies()
        for X, y in self.rows:
            first = copies.add(row_hashes(X))
            yield X[first], y[first]

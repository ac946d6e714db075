"""Agreeing on landmarks: points that are nobody's row."""

import sys
from collections.abc import Callable
from functools import partial

from edge_node.arrays import Matrix, Rows, Vector
from edge_node.config import FederationSpec
from edge_node.data.encoding.encoder import Encoder
from edge_node.data.sources.source import Batch
from edge_node.errors import ConfigurationError
from edge_node.inference.features.disjoint import DisjointSubset
from edge_node.inference.features.landmarks import (
    kmeans_given,
    kmeans_spread,
    kmeans_sums,
    kmeans_update,
)
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
        fewest: fewest of this site's rows that it gives to a centroid; `NOTHING`: it gives none.
        crowd: fewest rows for which a centroid is expected to be given any; the same at all nodes.
        choose: what the root chooses from the centroids: the last iteration's decision.

    Returns:
        (m, d); a centroid to which no site gave rows is where it was.
    """
    left = sum(len(X) for X, _ in rows)
    for i in range(iterations):
        cells = kmeans_sums(DisjointSubset(rows, i, iterations), centroids)
        given = kmeans_given(cells, left, fewest)
        left -= int(given[:, 0].sum())
        is_last = i + 1 == iterations
        terms: Terms = {}
        if choose is not None and is_last:
            terms["choose"] = partial(_chosen, choose, centroids)
        total = await network.sum(kmeans_step(i), given.ravel(), **terms)
        centroids = _moved(centroids, total)
        if not is_last:
            centroids = kmeans_spread(centroids, total.reshape(given.shape)[:, 0], crowd)
    return centroids


def kmeans_step(iteration: int) -> Step:
    """An iteration's sum."""
    return Step(f"kmeans/{iteration}", Content.PARTITION)


def _chosen(choose: Callable[[Matrix], bytes], centroids: Matrix, total: Vector) -> bytes:
    return choose(_moved(centroids, total))


def _moved(centroids: Matrix, total: Vector) -> Matrix:
    return kmeans_update(centroids, total.reshape(len(centroids), -1))

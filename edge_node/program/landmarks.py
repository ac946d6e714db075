"""Agreeing on landmarks: points that are nobody's row."""

from collections.abc import Callable
from contextlib import suppress
from functools import partial

import numpy as np
from numpy.typing import NDArray

from edge_node.arrays import Matrix, Rows, Vector
from edge_node.config import FederationSpec
from edge_node.data.encoding.encoder import Encoder
from edge_node.data.sources.source import Batch
from edge_node.errors import ConfigurationError
from edge_node.inference.features.disjoint import DisjointSubset
from edge_node.inference.features.landmarks import (
    kmeans_counts,
    kmeans_eligible,
    kmeans_spread,
    kmeans_sums,
    kmeans_update,
)
from edge_node.network.base import CohortChanged, Network
from edge_node.step import Content, Step

__all__ = ["agree_centroids", "encode_public"]


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
    network: Network, rows: Rows, centroids: Matrix, *, left: float, iterations: int, min_rows: int
) -> Matrix:
    """Lloyd's k-means over the whole federation, from sums only, each row in one sum at most.

    Every iteration has a share of the rows for itself, and takes two sums: counts, and then rows,
    over the same nodes and for centroids with enough rows only. If a node is lost in between, rows
    are counted again.

    Args:
        network: the network; it lets a step be repeated
            (`edge_node.program.recounting.RecountingNetwork`).
        rows: this node's.
        centroids: (m, d), from which to start.
        left: how many rows the federation has.
        iterations: how many iterations.
        min_rows: fewest rows that a centroid may be an average of.
    """
    for i in range(iterations):
        share = DisjointSubset(rows, i, iterations)
        eligible = partial(kmeans_eligible, left=left, min_rows=min_rows)
        counts, total = await _agree_sums(network, f"kmeans/{i}", share, centroids, eligible)
        centroids = kmeans_update(centroids, total, min_rows)
        left -= total.reshape(len(centroids), -1)[:, 0].sum()
        if i + 1 < iterations:
            centroids = kmeans_spread(centroids, counts, min_rows)
    return centroids


async def _agree_sums(
    network: Network,
    name: str,
    share: Rows,
    centroids: Matrix,
    eligible: Callable[[Vector], NDArray[np.bool_]],
) -> tuple[Vector, Vector]:
    """The federation's ``kmeans_counts`` and ``kmeans_sums``."""
    local = kmeans_counts(share, centroids)
    counted = Step(f"{name}/counts", Content.COUNTS)
    while True:
        counts = await network.sum(counted, local)
        sums = kmeans_sums(share, centroids, eligible(counts))
        with suppress(CohortChanged):
            return counts, await network.sum(Step(f"{name}/sums"), sums, cohort_of=counted)

"""Agreeing on landmarks: points that are nobody's row."""

from collections.abc import Sequence

import numpy as np

from edge_node.config import FederationSpec, LandmarkKind
from edge_node.data.encoder import EncodedRows
from edge_node.data.source import Batch
from edge_node.errors import ConfigurationError
from edge_node.inference.arrays import Matrix, Rows, Vector
from edge_node.inference.landmarks import (
    gaussian_landmarks,
    kmeans_counts,
    kmeans_sums,
    kmeans_update,
)
from edge_node.network.base import Network

__all__ = ["agree_centroids", "agree_landmarks"]


async def agree_landmarks(
    network: Network,
    rows: EncodedRows,
    covariance: Matrix,
    spec: FederationSpec,
    public: Batch | None = None,
) -> dict[LandmarkKind, Matrix]:
    """Landmarks (m, d) of every kind that the spec names.

    Args:
        network: the network.
        rows: this node's, and how they are encoded.
        covariance: (d, d), of the encoded inputs.
        spec: the federation's.
        public: the rows that are public landmarks, the same at every node; those beyond the
            spec's count are left out.

    Raises:
        ConfigurationError: the spec has public landmarks, and none are given.
    """
    model, kinds = spec.model, spec.model.tried_landmark_kinds
    gaussian = gaussian_landmarks(covariance, spec.landmark_count, model.seed)
    landmarks = {LandmarkKind.GAUSSIAN: gaussian}
    if LandmarkKind.PUBLIC in kinds:
        if public is None:
            raise ConfigurationError(
                "the federation's public landmarks are not given", where=f"node {network.node}"
            )
        landmarks[LandmarkKind.PUBLIC] = rows.encoder.encode(public)[: spec.landmark_count]
    if LandmarkKind.KMEANS in kinds:
        centroids = gaussian
        for i in range(model.kmeans_iterations):
            (centroids,) = await agree_centroids(
                network, f"kmeans/{i}", rows, [(centroids, None)], model.min_rows_per_landmark
            )
        landmarks[LandmarkKind.KMEANS] = centroids
    return {kind: landmarks[kind] for kind in kinds}


async def agree_centroids(
    network: Network,
    step: str,
    rows: Rows,
    clusterings: Sequence[tuple[Matrix, Matrix | None]],
    min_rows: int,
) -> list[Matrix]:
    """An iteration of Lloyd's k-means over the whole federation, from sums only.

    Counts come first: a centroid with fewer rows than ``min_rows`` is not summed. Sums bring their
    own counts: if a node is lost in between, a centroid is an average of the rows that are left, or
    stays where it was if too few are.

    Args:
        network: the network.
        step: the name of the two sums.
        rows: this node's.
        clusterings: centroids (m, d), and the metric in which they are near rows; several ride
            in the same sums.
        min_rows: fewest rows that a centroid may be an average of.
    """
    local = [kmeans_counts(rows, *each) for each in clusterings]
    counts = _split(await network.sum(f"{step}/counts", np.concatenate(local)), local)
    local = [
        kmeans_sums(rows, centroids, count >= min_rows, metric)
        for (centroids, metric), count in zip(clusterings, counts, strict=True)
    ]
    sums = _split(await network.sum(f"{step}/sums", np.concatenate(local)), local)
    return [
        kmeans_update(centroids, total, min_rows)
        for (centroids, _), total in zip(clusterings, sums, strict=True)
    ]


def _split(total: Vector, parts: Sequence[Vector]) -> list[Vector]:
    """The total of what was joined from ``parts``, taken apart again."""
    return np.split(total, np.cumsum([len(part) for part in parts])[:-1])

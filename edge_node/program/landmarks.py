"""Agreeing on landmarks: points that are nobody's row."""

from collections.abc import Sequence

import numpy as np

from edge_node.config import LandmarkKind, ModelSpec
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
    network: Network, rows: Rows, covariance: Matrix, model: ModelSpec
) -> dict[LandmarkKind, Matrix]:
    """Landmarks (m, d) of every kind that the spec names."""
    gaussian = gaussian_landmarks(covariance, model.landmarks, model.seed)
    landmarks = {LandmarkKind.GAUSSIAN: gaussian}
    if LandmarkKind.KMEANS in model.landmark_kinds:
        centroids = gaussian
        for i in range(model.kmeans_iterations):
            (centroids,) = await agree_centroids(
                network, f"kmeans/{i}", rows, [(centroids, None)], model.min_rows_per_landmark
            )
        landmarks[LandmarkKind.KMEANS] = centroids
    return {kind: landmarks[kind] for kind in model.landmark_kinds}


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

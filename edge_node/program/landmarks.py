"""Agreeing on landmarks: points that are nobody's row."""

from edge_node.config import LandmarkKind, ModelSpec
from edge_node.inference.arrays import Matrix, Rows
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
        landmarks[LandmarkKind.KMEANS] = await agree_centroids(network, rows, gaussian, model)
    return {kind: landmarks[kind] for kind in model.landmark_kinds}


async def agree_centroids(network: Network, rows: Rows, start: Matrix, model: ModelSpec) -> Matrix:
    """Lloyd's k-means over the whole federation, from sums only.

    Counts come first: a landmark with fewer rows than ``min_rows_per_landmark`` is not summed.
    """
    centroids = start
    for i in range(model.kmeans_iterations):
        counts = await network.sum(f"kmeans/{i}/counts", kmeans_counts(rows, centroids))
        eligible = counts >= model.min_rows_per_landmark
        sums = await network.sum(f"kmeans/{i}/sums", kmeans_sums(rows, centroids, eligible))
        centroids = kmeans_update(centroids, counts, sums, model.min_rows_per_landmark)
    return centroids

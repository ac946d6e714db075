"""Rows from one or two sums of outer products, G = sum of phi phi', by linear algebra.

- *Null space.* If G is over fewer rows than it has features, its range is the span of the rows'
  phi. Only those points have their phi in it (as MUSIC finds directions: Schmidt 1986).
- *Two weightings.* G1 = sum of v phi phi' and G2 = sum of w phi phi' over the same rows: within
  G1's range they are diagonal in one basis, and its vectors are the rows' phi (as signals are told
  apart: Belouchrani et al. 1997).
- *Outliers.* A row far out is most of G: its phi is nearly G's leading eigenvector.

Each gives directions of phi, or a span of them. The rows are where phi has that direction.
"""

from collections.abc import Callable

import numpy as np

from benchmarks.disclosure.sums import Slopes, feature_slopes
from edge_node.arrays import Matrix, Vector
from edge_node.inference.features.nystrom import Features

__all__ = ["rows_along", "rows_in_span", "rows_of_two_weightings", "rows_that_dominate"]

_STEPS = 60
_RANK = 1e-10  # eigenvalues below this share of the largest are rounding
_ZERO = 1e-7  # phi lies in a span where this share of it, at most, is outside
_SAME = 1e-3  # candidates that are nearer are one

Residual = Callable[[Matrix], tuple[Matrix, Slopes]]
"""At points (s, d): what is to vanish (s, k), and its slopes (s, k, d)."""


def rows_in_span(G: Matrix, features: Features, starts: Matrix) -> Matrix:
    """The points (k, d) with their phi in G's range; none if G has full rank.

    Args:
        G: (r, r), the others' sum.
        features: phi, r of them.
        starts: where searches begin (s, d).
    """
    values, vectors = np.linalg.eigh(G)
    null = vectors[:, values < _RANK * values[-1]]
    if not null.shape[1]:
        return np.empty((0, starts.shape[1]))

    def outside(points: Matrix) -> tuple[Matrix, Slopes]:
        unit, slopes = _unit(features, points)
        return unit @ null, np.einsum("srd,rk->skd", slopes, null)

    points, size = _search(outside, starts)
    return _distinct(points[size < _ZERO], size[size < _ZERO])


def rows_of_two_weightings(
    first: Matrix, second: Matrix, features: Features, starts: Matrix
) -> Matrix:
    """The rows (k, d) of two sums (r, r) over the same rows with different weights.

    Args:
        first: sum of v phi phi'.
        second: sum of w phi phi'; all w / v differ.
        features: phi, r of them.
        starts: where searches begin (s, d).
    """
    values, vectors = np.linalg.eigh(first)
    kept = values > _RANK * values[-1]
    root = vectors[:, kept] * np.sqrt(values[kept])
    inverse = vectors[:, kept] / np.sqrt(values[kept])
    _, turn = np.linalg.eigh(inverse.T @ second @ inverse)
    return rows_along((root @ turn).T, features, starts)


def rows_that_dominate(G: Matrix, features: Features, starts: Matrix, count: int) -> Matrix:
    """The points (count, d) with phi nearest to G's leading eigenvectors, at their full length."""
    values, vectors = np.linalg.eigh(G)
    points = []
    for length, vector in zip(np.sqrt(values[-count:]), vectors.T[-count:], strict=True):

        def apart(
            at: Matrix, length: float = length, vector: Vector = vector
        ) -> tuple[Matrix, Slopes]:
            Phi, slopes = features(at) / length, feature_slopes(features, at) / length
            return Phi - np.sign(Phi @ vector)[:, None] * vector, slopes

        at, size = _search(apart, starts)
        points.append(at[size.argmin()])
    return np.array(points)


def rows_along(targets: Matrix, features: Features, starts: Matrix) -> Matrix:
    """For each direction (t, r), the point whose phi has it, if there is one: (k, d).

    Args:
        targets: directions, of any length and sign.
        features: phi, r of them.
        starts: where searches begin (s, d).
    """
    points = []
    for direction in targets / np.linalg.norm(targets, axis=1, keepdims=True):

        def across(at: Matrix, direction: Vector = direction) -> tuple[Matrix, Slopes]:
            unit, slopes = _unit(features, at)
            inside = np.einsum("r,srd->sd", direction, slopes)
            return (
                unit - (unit @ direction)[:, None] * direction,
                slopes - direction[None, :, None] * inside[:, None],
            )

        at, size = _search(across, starts)
        if size.min() < _ZERO:
            points.append(at[size.argmin()])
    return np.array(points).reshape(len(points), starts.shape[1])


def _unit(features: Features, points: Matrix) -> tuple[Matrix, Slopes]:
    """Phi (s, r) of points, each at length one, and its slopes (s, r, d)."""
    Phi, slopes = features(points), feature_slopes(features, points)
    length = np.linalg.norm(Phi, axis=1)
    unit, slopes = Phi / length[:, None], slopes / length[:, None, None]
    along = np.einsum("sr,srd->sd", unit, slopes)
    return unit, slopes - unit[:, :, None] * along[:, None]


def _search(residual: Residual, starts: Matrix) -> tuple[Matrix, Vector]:
    """Levenberg-Marquardt from all starts at once: where they end, and the residuals' lengths."""
    points, damping = starts.copy(), np.full(len(starts), 1e-2)
    left, slopes = residual(points)
    size = np.linalg.norm(left, axis=1)
    for _ in range(_STEPS):
        curvature = np.einsum("skd,ske->sde", slopes, slopes)
        trace = np.trace(curvature, axis1=1, axis2=2) / starts.shape[1]
        ridge = (damping * trace + np.finfo(float).tiny)[:, None, None] * np.eye(starts.shape[1])
        gradient = np.einsum("skd,sk->sd", slopes, left)
        tried = points - np.linalg.solve(curvature + ridge, gradient[:, :, None])[:, :, 0]
        reached, changed = residual(tried)
        length = np.linalg.norm(reached, axis=1)
        better = length < size
        points[better], left[better], slopes[better] = (
            tried[better],
            reached[better],
            changed[better],
        )
        size = np.where(better, length, size)
        damping = np.clip(np.where(better, 0.2 * damping, 5 * damping), 1e-12, 1e6)
    return points, size


def _distinct(points: Matrix, sizes: Vector) -> Matrix:
    """Points that are apart, the best first."""
    kept: list[Vector] = []
    for index in np.argsort(sizes):
        if all(np.abs(points[index] - other).max() > _SAME for other in kept):
            kept.append(points[index])
    return np.array(kept).reshape(len(kept), points.shape[1])

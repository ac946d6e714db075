"""Landmarks: the points whose kernel functions span the model. None of them is anybody's row.

They are points drawn from a Gaussian with the federation's covariance, or centroids moved by
federated k-means, to which a site gives enough of its own rows, or none. Given what sites give,
every result is the same, bit for bit, however rows are split into nodes and chunks: ties go to the
lowest index, distances that decide are functions of two rows alone, and numbers are summed on a
grid, where they add up without rounding.
"""

from collections.abc import Iterator

import numpy as np
from scipy.linalg import lapack
from scipy.sparse import csr_array

from edge_node.arrays import Matrix, Rows, Vector, round_significant
from edge_node.errors import NumericalError
from edge_node.inference.kernels.kernel import Kernel
from edge_node.inference.numerics.distances import Indices, pair_distances

__all__ = [
    "gaussian_landmarks",
    "independent_landmarks",
    "kmeans_given",
    "kmeans_spread",
    "kmeans_sums",
    "kmeans_update",
]

_DEPENDENT = 1e-7  # share of a column's variance below which it depends on those before it
_GRID = 2.0**30  # rows are summed in multiples of 2^-30: exact up to a total of 8 million
_APPROACH = 0.3  # a landmark is brought to this share of its distance from a crowded one
_VALUES_AT_ONCE = 1 << 20  # distances computed at a time


def gaussian_landmarks(covariance: Matrix, count: int, seed: int) -> Matrix:
    """Points with the mean (zero) and covariance of the standardised inputs, from a public seed.

    Made of elementwise IEEE operations only, whose result no processor may choose: every node draws
    the same bytes. (LAPACK's eigenvectors or a matrix product would differ in the last bits.)

    Args:
        covariance: (d, d), positive semidefinite but for rounding.
        count: how many points.
        seed: the spec's.

    Returns:
        Z (count, d), rounded to 32 significant bits.

    Raises:
        NumericalError: the covariance is not finite.
    """
    if not np.isfinite(covariance).all():
        raise NumericalError(
            "the covariance of the encoded inputs is not finite",
            remedy="Look for a column whose values are extreme at some node",
        )
    root = _semidefinite_root(round_significant(covariance))
    draws = np.random.Generator(np.random.PCG64(seed)).standard_normal((count, len(root)))
    landmarks = np.zeros_like(draws)
    for k, column in enumerate(root.T):
        landmarks += draws[:, k, None] * column
    return round_significant(landmarks)


def _semidefinite_root(C: Matrix) -> Matrix:
    """Lower triangular L with L L' = C (Cholesky, outer-product form; Golub & Van Loan, 4.2.5).

    A column with less than 1e-7 of its variance left (a category that the others determine) gets
    no direction of its own. Without pivoting, L is continuous in C.
    """
    remaining, root = C.copy(), np.zeros_like(C)
    for k in range(len(C)):
        if remaining[k, k] > _DEPENDENT * C[k, k]:
            column = remaining[:, k] / np.sqrt(remaining[k, k])
            column[:k] = 0.0
            root[:, k] = column
            remaining -= column[:, None] * column
    return root


def kmeans_sums(rows: Rows, landmarks: Matrix) -> Matrix:
    """How many of a site's rows are nearest to each landmark, and their sum.

    Args:
        rows: the site's; each number is taken to the nearest multiple of 2^-30, so that sums are
            exact whatever their order.
        landmarks: (m, d).

    Returns:
        Shape (m, 1 + d): each landmark's count, then its sum.
    """
    counts, sums = np.zeros(len(landmarks)), np.zeros_like(landmarks)
    for X, labels in _assignments(rows, landmarks):
        shape = (len(landmarks), len(X))
        belongs = csr_array((np.ones(len(X)), (labels, range(len(X)))), shape)
        counts += np.bincount(labels, minlength=len(landmarks))
        sums += np.asarray(belongs @ (np.rint(X * _GRID) / _GRID))
    return np.column_stack([counts, sums])


def kmeans_given(cells: Matrix, left: int, fewest: int, distinct: Vector | None = None) -> Matrix:
    """What a site gives of its ``kmeans_sums``: cells with enough of its rows, zeros for others.

    The rows that it doesn't give must be enough, too, or none: the sum over all its rows less the
    sums that it gives is a sum over them. If they are too few, its smallest cell joins them.

    Args:
        cells: (m, 1 + d), over some of the site's rows that it has given to no cell so far.
        left: how many distinct rows it has given to no cell so far, these included.
        fewest: fewest distinct rows of a sum.
        distinct: (m,), how many distinct rows are in each cell; None: all are.
    """
    counts = cells[:, 0] if distinct is None else distinct
    kept = counts >= fewest
    while kept.any() and 0 < left - counts[kept].sum() < fewest:
        kept[np.argmin(np.where(kept, counts, np.inf))] = False
    return np.where(kept[:, None], cells, 0.0)


def kmeans_update(landmarks: Matrix, total: Matrix) -> Matrix:
    """Move each landmark to which rows were given to their mean (Lloyd 1982).

    The others stay where they are, at points that no row decided, and are kept to the end: leaving
    them out raised the RMSE by 9 to 36 % on concrete, energy, airfoil, elevators and bike (m = 300
    and 500, at least 5 rows a landmark), because they are what covers the sparse regions.

    Args:
        landmarks: (m, d), the ones that the sums were computed with.
        total: (m, 1 + d), the federation's total of what sites gave.

    Returns:
        (m, d), rounded to 32 significant bits.
    """
    counts, sums = total[:, :1], total[:, 1:]
    means = sums / np.where(counts > 0, counts, 1.0)
    return np.where(counts > 0, round_significant(means), landmarks)


def kmeans_spread(landmarks: Matrix, counts: Vector, min_rows: int) -> Matrix:
    """Bring landmarks to which no rows were given to crowded ones, which share the next rows.

    They are handed out one by one. Each goes to the crowd with the most rows per landmark in it
    (D'Hondt's method), as long as those rows are enough for two. It goes most of the way only, so
    that a crowd's landmarks lie on all sides.

    Args:
        landmarks: (m, d), after an update.
        counts: (m,), how many rows were given to each before it.
        min_rows: fewest rows of a site that it gives to a landmark.

    Returns:
        (m, d); those that are moved are rounded to 32 significant bits.
    """
    moved, heads = landmarks.copy(), np.ones(len(landmarks))
    for idle in np.flatnonzero(counts == 0):
        crowded = int(np.argmax(counts / heads))
        if counts[crowded] < 2 * min_rows * heads[crowded]:
            break
        heads[crowded] += 1
        way = _APPROACH * (landmarks[idle] - landmarks[crowded])
        moved[idle] = round_significant(landmarks[crowded] + way)
    return moved


def _assignments(rows: Rows, landmarks: Matrix) -> Iterator[tuple[Matrix, Indices]]:
    """Chunks of rows, each with the index of its nearest landmark."""
    step = max(1, _VALUES_AT_ONCE // len(landmarks))
    for X, _ in rows:
        for start in range(0, len(X), step):
            chunk = X[start : start + step]
            yield chunk, _nearest(chunk, landmarks)


def _nearest(X: Matrix, Z: Matrix) -> Indices:
    """The index of the row of Z nearest to each row of X, the lowest one in a tie.

    A matrix product's rounding depends on its shape, so it only shortlists; what decides are
    distances from differences.
    """
    squares = np.sum(np.square(Z), axis=1)
    distances = squares - 2.0 * (X @ Z.T)  # without |x|^2, the same for all
    error = 8.0 * (X.shape[1] + 2) * np.finfo(float).eps
    margin = error * (np.sum(np.square(X), axis=1) + squares.max())
    rows, columns = np.nonzero(distances <= (distances.min(axis=1) + margin)[:, None])
    exact = pair_distances(X, Z, rows, columns)
    smallest = np.full(len(X), np.inf)
    np.minimum.at(smallest, rows, exact)
    winning = exact == smallest[rows]
    _, first = np.unique(rows[winning], return_index=True)
    nearest: Indices = columns[winning][first]
    return nearest


def independent_landmarks(kernel: Kernel, landmarks: Matrix, tolerance: float = 1e-10) -> Indices:
    """Which landmarks add something to the others: pivoted Cholesky of K_ZZ (LAPACK's dpstrf).

    Pivoting takes, again and again, the landmark with the largest variance given those taken, until
    none has more than ``tolerance`` of the largest prior variance. One node decides for all: near
    the tolerance the result depends on rounding.

    Args:
        kernel: the kernel.
        landmarks: Z (m, d).
        tolerance: relative to the largest k(z, z).

    Returns:
        Indices of the landmarks to keep, ascending.

    Raises:
        NumericalError: there is none, or the kernel is not finite.
    """
    variances = kernel.diagonal(landmarks)
    largest = variances.max(initial=0.0)
    if not 0.0 < largest < np.inf:
        raise NumericalError(
            "no landmark is independent of the others",
            expected="positive, finite prior variances",
            found=f"{len(landmarks)} landmarks, largest prior variance {largest:.3g}",
            remedy="Give more landmarks, or a positive `bias` or `bias_variance` in the spec",
        )
    _, pivots, rank, _ = lapack.dpstrf(
        kernel(landmarks, landmarks), lower=1, tol=tolerance * largest
    )
    return np.sort(pivots[:rank].astype(np.intp) - 1)

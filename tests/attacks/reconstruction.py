"""What an adversary does with a site's statistics: rows from kernel values, rows from their span.

With landmarks Z and K_ZZ = L L', a site's message is G = Phi'Phi and eta = Phi'y, Phi = K_XZ L^-T.
From few rows it is as good as the rows:

- One row: G = phi phi', so phi is its eigenvector, L phi = k(Z, x) its kernel values, and each of
  these inverts to an inner product <z, x>. As many landmarks as inputs give x.
- n rows, fewer than landmarks: G's range is the span of the n vectors phi(x_i). Only those points
  of the input space have their phi in it, so a search for zeros of the distance to the span finds
  the rows (as MUSIC finds directions: Schmidt 1986).
"""

import numpy as np
from scipy.optimize import brentq, least_squares

from edge_node.arrays import Matrix, Vector
from edge_node.inference.features.nystrom import Features
from edge_node.inference.messages.statistics import Statistics

__all__ = ["distances", "invert_one_row", "row_of_kernel_values", "rows_in_span", "targets_of"]

_LONGEST = 50.0  # no standardised row is longer


def invert_one_row(statistics: Statistics, features: Features) -> tuple[Vector, float]:
    """The row x (d,) and target y of which these are the statistics, exactly."""
    eigenvalues, vectors = np.linalg.eigh(statistics.message.precision)
    phi = np.sqrt(max(eigenvalues[-1], 0.0)) * vectors[:, -1]
    values = features.cholesky @ phi
    sign = np.sign(values.sum()) or 1.0  # an NTK's values are positive
    x = row_of_kernel_values(sign * values, statistics.prior_power, features)
    shift = statistics.message.shift
    return x, float(sign * (phi @ shift) / (phi @ phi))


def row_of_kernel_values(values: Vector, power: float, features: Features) -> Vector:
    """The row x (d,) with k(z_j, x) = ``values`` (r,) and k(x, x) = ``power``.

    A dense network's kernel is a function of two lengths and an inner product, and grows with it:
    so inner products come first, and then the row from as many of them as there are inputs.
    """
    Z, kernel = features.landmarks, features.kernel
    length = _root(lambda s: kernel.diagonal(np.array([[s, 0.0]]))[0] - power, 0.0, _LONGEST)
    lengths = np.linalg.norm(Z, axis=1)
    products = np.empty(len(Z))
    for j, (value, size) in enumerate(zip(values, lengths, strict=True)):

        def gap(cosine: float, value: float = value, size: float = size) -> float:
            sine = np.sqrt(max(1.0 - cosine**2, 0.0))
            z = size * np.array([[cosine, sine]])
            return float(kernel(np.array([[length, 0.0]]), z)[0, 0] - value)

        products[j] = length * size * _root(gap, -1.0, 1.0)
    return np.linalg.lstsq(Z, products, rcond=None)[0]


def rows_in_span(statistics: Statistics, features: Features, count: int, starts: Matrix) -> Matrix:
    """Up to ``count`` points (k, d) whose features lie in the statistics' range, the best first.

    Args:
        statistics: what the adversary takes for a site's.
        features: the public feature map.
        count: how many rows it looks for.
        starts: where the searches begin (s, d).
    """
    _, vectors = np.linalg.eigh(statistics.message.precision)
    span = vectors[:, -count:]

    def residual(x: Vector) -> Vector:
        phi = features(x[None])[0]
        return (phi - span @ (span.T @ phi)) / np.linalg.norm(phi)

    found = [
        least_squares(residual, start, xtol=1e-14, ftol=1e-14, max_nfev=60) for start in starts
    ]
    points: list[Vector] = []
    for each in sorted(found, key=lambda result: float(result.cost)):
        if all(np.linalg.norm(each.x - other) > 1e-4 for other in points):
            points.append(each.x)
    return np.array(points[:count])


def targets_of(statistics: Statistics, features: Features, X: Matrix) -> Vector:
    """The targets (n,) of rows X (n, d) that were found: the solution of Phi'y = eta."""
    return np.linalg.lstsq(features(X).T, statistics.message.shift, rcond=None)[0]


def distances(rows: Matrix, guesses: Matrix) -> Vector:
    """How near the nearest guess is to each row (n,)."""
    return np.linalg.norm(rows[:, None] - guesses[None], axis=2).min(axis=1)


def _root(function, low: float, high: float) -> float:
    """A zero between the ends; if there is none, the end where the function is nearer to zero."""
    at_low, at_high = function(low), function(high)
    if not (np.isfinite([at_low, at_high]).all() and at_low * at_high < 0):
        return low if abs(at_low) < abs(at_high) else high
    return float(brentq(function, low, high, xtol=1e-14))

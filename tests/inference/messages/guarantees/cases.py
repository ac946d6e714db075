"""Systems of the literature on which plain messages converge, just converge, or don't."""

import numpy as np

from edge_node.arrays import Matrix

WALK_SUMMABLE = 2 / (1 + np.sqrt(17))
""".39039: the reciprocal of the largest eigenvalue of the four-cycle with a chord."""


def chorded_cycle(r: float) -> Matrix:
    """Malioutov, Johnson & Willsky 2006, section 3: partial correlations r on four edges and the
    chord, -r on one edge. Positive definite below r = .5, walk-summable below .39039.
    """
    A = np.eye(4)
    for i, j, sign in ((0, 1, -1), (1, 2, 1), (2, 3, 1), (3, 0, 1), (0, 2, 1)):
        A[i, j] = A[j, i] = -sign * r
    return A


def conditioned(rng: np.random.Generator, n: int, digits: float) -> Matrix:
    """A dense positive definite matrix of condition number 10^digits."""
    Q, _ = np.linalg.qr(rng.standard_normal((n, n)))
    A = (Q * np.logspace(0, -digits, n)) @ Q.T
    return (A + A.T) / 2

"""What the steps ask of a likelihood: averages of a row's log likelihood over a Gaussian latent.

A likelihood p(y | g, theta) is a function of q latent functions g at a row and of h parameters
theta, the same for all rows (a dispersion, a scale, thresholds). Averages over g ~ q(U) of its
logarithm, and of the derivatives of that, are all that is ever summed of it (`expansion`).
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from edge_node.arrays import Matrix, Vector

__all__ = ["NO_PARAMETERS", "Expected", "Likelihood", "pairs"]


@dataclass(frozen=True)
class Expected:
    """Averages of n rows' log likelihood l over the latent Gaussian.

    Attributes:
        log_likelihood: E l (n,), nats.
        gradient: E dl/dg (n, q).
        curvature: distinct entries of -E d2l/dg2 (n, q (q + 1) / 2), as in ``pairs``.
        slopes: E dl/dtheta, added over the rows (h,).
        bends: distinct entries of -E d2l/dtheta2, added over the rows (h (h + 1) / 2,).
    """

    log_likelihood: Vector
    gradient: Matrix
    curvature: Matrix
    slopes: Vector
    bends: Vector


class Likelihood(Protocol):
    """p(y | g, theta) of one row."""

    @property
    def outputs(self) -> int:
        """q, how many latent functions a row has."""
        ...

    @property
    def limits(self) -> tuple[Vector, Vector]:
        """The least and the greatest theta (h,)."""
        ...

    def expect(self, y: Vector, parameters: Vector, mean: Matrix, covariance: Matrix) -> Expected:
        """Average over g ~ N(mean, covariance).

        Args:
            y: targets (n,), or (n, 2) where a row says two things of its target.
            parameters: theta (h,).
            mean: of g (n, q).
            covariance: of g (n, q, q), positive semi-definite.
        """
        ...


def pairs(outputs: int) -> list[tuple[int, int]]:
    """The distinct entries (j, k), j <= k, of a symmetric (q, q) matrix, in order."""
    return [(j, k) for j in range(outputs) for k in range(j, outputs)]


NO_PARAMETERS = np.empty(0)
"""Of a likelihood that has none."""

"""Averages of a row's log likelihood over a Gaussian latent, by Gauss-Hermite quadrature.

The derivatives are those of the averages as they are computed, term by term: what the steps climb
is one function, however coarse the quadrature.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TypeAlias

import numpy as np

from edge_node.arrays import Matrix, Vector
from edge_node.inference.classification.expected import Expected, pairs

__all__ = ["STEEPEST", "Derivatives", "averaged", "nodes"]

STEEPEST = 30.0
"""The largest exponent that is taken: rates of 1e13 times the usual one lose any comparison."""

_NODES = 24


@dataclass(frozen=True)
class Derivatives:
    """A log likelihood l and its derivatives, at J places of the latent function of n rows.

    Attributes:
        log_likelihood: l (n, J), nats.
        gradient: dl/dg (n, J).
        curvature: -d2l/dg2 (n, J).
        slopes: dl/dtheta, (n, J) for each of h parameters.
        bends: -d2l/dtheta2, (n, J) for each of `pairs` of them.
    """

    log_likelihood: Matrix
    gradient: Matrix
    curvature: Matrix
    slopes: tuple[Matrix, ...]
    bends: tuple[Matrix, ...]


Rowwise: TypeAlias = Callable[[Matrix], Derivatives]


def averaged(rowwise: Rowwise, mean: Matrix, covariance: Matrix) -> Expected:
    """Averages over g ~ N(mean, covariance) of one latent function.

    Args:
        rowwise: from g (n, J), J places for each row, to l and its derivatives there.
        mean: (n, 1).
        covariance: (n, 1, 1), not negative.
    """
    places, weights = nodes()
    at = rowwise(mean + np.sqrt(np.maximum(covariance[:, 0], 0.0)) * places)
    assert len(at.bends) == len(pairs(len(at.slopes)))  # noqa: S101 - of a likelihood's own making

    def total(parts: tuple[Matrix, ...]) -> Vector:
        return np.array([float((part @ weights).sum()) for part in parts])

    return Expected(
        at.log_likelihood @ weights,
        (at.gradient @ weights)[:, None],
        (at.curvature @ weights)[:, None],
        total(at.slopes),
        total(at.bends),
    )


@cache
def nodes() -> tuple[Vector, Vector]:
    """Places (J,) and weights (J,), which add up to one, for averages over N(0, 1)."""
    places, weights = np.polynomial.hermite_e.hermegauss(_NODES)
    return places, weights / weights.sum()

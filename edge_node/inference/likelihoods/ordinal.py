"""Ordered classes: cumulative probit with thresholds that are learnt.

    P(y <= k | g) = Phi(tau_k - g),       k = 1 ... C - 1,      tau ascending

(McCullagh 1980; Chu & Ghahramani 2005). Parameters: theta = (tau_1, log(tau_2 - tau_1), ...), so
any theta (C - 1,) has its thresholds in order.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from edge_node.arrays import Matrix, Rows, Vector
from edge_node.inference.classification.classes import class_offsets
from edge_node.inference.classification.expected import Expected, pairs
from edge_node.inference.likelihoods.quadrature import Derivatives, averaged

__all__ = ["Ordinal", "ScoredRows", "normal_scores"]

_GAPS = (1e-4, 1e2)
_FARTHEST = 30.0  # a threshold
_TAIL = 37.0  # beyond it a normal distribution function is one


def normal_scores(counts: Vector) -> Vector:
    """Each class's score (C,): the mean of a standard normal number in the class's share of its
    range. Over the rows, scores have mean zero; they are divided by their deviation.

    Args:
        counts: rows per class (C,); a class without rows counts as half a row.
    """
    from scipy.special import ndtri

    shares = np.maximum(counts, 0.5)
    shares = shares / shares.sum()
    ends = np.concatenate([[-np.inf], ndtri(np.cumsum(shares)[:-1]), [np.inf]])
    density = np.exp(-0.5 * np.square(ends)) / np.sqrt(2.0 * np.pi)
    scores = (density[:-1] - density[1:]) / shares
    deviation: float = np.sqrt(shares @ np.square(scores))
    standardised: Vector = scores / deviation
    return standardised


@dataclass(frozen=True)
class ScoredRows:
    """Rows whose class indices became normal scores: the targets that features are chosen by.

    Attributes:
        rows: chunks (X, y (n,) class indices).
        counts: rows per class (C,) in the federation.
    """

    rows: Rows
    counts: Vector

    def __iter__(self) -> Iterator[tuple[Matrix, Vector]]:
        scores = normal_scores(self.counts)
        for X, y in self.rows:
            yield X, scores[y.astype(np.int64)]


@dataclass(frozen=True)
class Ordinal:
    """The cumulative probit likelihood of class indices.

    Attributes:
        shares: of the classes among the federation's rows (C,), positive; they add up to one.
    """

    shares: tuple[float, ...]

    outputs = 1

    @classmethod
    def of(cls, counts: Vector) -> Self:
        """For rows per class (C,); a class without rows counts as half a row.

        Raises:
            NumericalError: rows of fewer than two classes.
        """
        return cls(tuple(np.exp(class_offsets(counts)).tolist()))

    @property
    def limits(self) -> tuple[Vector, Vector]:
        """The least and the greatest (tau_1, log gaps)."""
        gaps = len(self.shares) - 2
        low, high = np.log(_GAPS)
        return np.array([-_FARTHEST] + gaps * [low]), np.array([_FARTHEST] + gaps * [high])

    def latent_scale(self, noise_deviation: float) -> float:
        """As `StartingLikelihood.latent_scale`: in g's units the fit's noise is one."""
        return noise_deviation

    def start(self, explained: float, noise_deviation: float) -> Vector:
        """As `StartingLikelihood.start`: thresholds at which the classes have their shares."""
        from scipy.special import ndtri

        deviation = np.sqrt(1.0 + explained / noise_deviation**2)
        tau = deviation * ndtri(np.cumsum(self.shares)[:-1])
        return np.append(tau[:1], np.log(np.diff(tau)))

    def expect(self, y: Vector, parameters: Vector, mean: Matrix, covariance: Matrix) -> Expected:
        """As `Likelihood.expect`, for class indices (n,)."""
        return averaged(lambda g: self.at(y, parameters, g), mean, covariance)

    def at(self, y: Vector, parameters: Vector, g: Matrix) -> Derivatives:
        """L and its derivatives, for class indices y (n,) and g (n, J).

        With p = Phi(u) - Phi(v), u and v what the thresholds above and below the class are beyond
        g, every derivative is one of u and v: those of theta are linear in the thresholds'.
        """
        ends = np.concatenate([[-np.inf], thresholds(parameters), [np.inf]])
        index = y.astype(np.int64)
        u, v = ends[index + 1][:, None] - g, ends[index][:, None] - g
        log_p = _log_difference(u, v)
        above, below = _density(u, log_p), _density(v, log_p)  # N(u) / p, N(v) / p
        rise, fall = _times(u, above), _times(v, below)
        first = below - above  # dl/dg
        second = first**2 + rise - fall  # -d2l/dg2
        bends_u, bends_v = above**2 + rise, below**2 - fall  # -d2l/du2, -d2l/dv2
        both = -above * below  # -d2l/du dv
        turn_u, turn_v = _turns(parameters)[:, index + 1], _turns(parameters)[:, index]
        slopes = tuple(
            above * du[:, None] - below * dv[:, None] for du, dv in zip(turn_u, turn_v, strict=True)
        )
        bends = []
        for j, k in pairs(len(parameters)):
            bend = bends_u * (turn_u[j] * turn_u[k])[:, None]
            bend = bend + bends_v * (turn_v[j] * turn_v[k])[:, None]
            bend = bend + both * (turn_u[j] * turn_v[k] + turn_v[j] * turn_u[k])[:, None]
            if j == k and j > 0:  # a gap is an exponential
                bend = bend - slopes[j]
            bends.append(bend)
        return Derivatives(log_p, first, second, slopes, tuple(bends))

    def probabilities(self, parameters: Vector, mean: Vector, variance: Vector) -> Matrix:
        """Class probabilities (n, C), averaged over g ~ N(mean, variance), (n,) each."""
        from scipy.special import ndtr

        tau = thresholds(parameters)
        below = ndtr((tau - mean[:, None]) / np.sqrt(1.0 + variance)[:, None])
        ends = np.concatenate([np.zeros((len(mean), 1)), below, np.ones((len(mean), 1))], axis=1)
        return np.maximum(np.diff(ends, axis=1), 0.0)

    def to_dict(self) -> dict[str, Any]:
        """For a model's archive."""
        return {"kind": "ordinal", "shares": list(self.shares)}

    @classmethod
    def from_dict(cls, value: dict[str, Any]) -> Self:
        """The inverse of ``to_dict``."""
        return cls(tuple(float(share) for share in value["shares"]))


def thresholds(parameters: Vector) -> Vector:
    """Tau (C - 1,), ascending."""
    tau: Vector = np.cumsum(np.append(parameters[:1], np.exp(parameters[1:])))
    return tau


def _turns(parameters: Vector) -> Matrix:
    """The derivatives (C - 1, C + 1) of the classes' ends by theta; the outer ends are fixed."""
    size = len(parameters)
    turns = np.zeros((size, size + 2))
    turns[0, 1:-1] = 1.0
    for j in range(1, size):
        turns[j, j + 1 : -1] = np.exp(parameters[j])
    return turns


def _log_difference(u: Matrix, v: Matrix) -> Matrix:
    """log(Phi(u) - Phi(v)) for u > v, in the tail where that loses no digits."""
    from scipy.special import log_ndtr

    flip = v > 0.0
    upper, lower = np.where(flip, -v, u), np.where(flip, -u, v)
    high, low = log_ndtr(upper), log_ndtr(lower)
    with np.errstate(divide="ignore"):
        difference: Matrix = high + np.log(-np.expm1(np.minimum(low - high, 0.0)))
    return np.maximum(difference, -1e6)


def _density(x: Matrix, log_p: Matrix) -> Matrix:
    """N(x) / p, zero at infinity."""
    finite = np.where(np.isfinite(x), x, _TAIL)
    ratio = np.exp(np.minimum(-0.5 * np.square(finite) - 0.5 * np.log(2.0 * np.pi) - log_p, 300.0))
    return np.where(np.isfinite(x), ratio, 0.0)


def _times(x: Matrix, ratio: Matrix) -> Matrix:
    """X N(x) / p, zero at infinity."""
    return np.where(np.isfinite(x), x, 0.0) * ratio

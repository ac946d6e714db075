"""Leave-one-out scores: how well a posterior predicts each of its own rows without that row.

Only for rows that the posterior was learnt from. Leaving one out takes its factor out of the
posterior, a downdate of rank one. With u = k(x, x) - |phi|^2, w = 1 / (u + s2), m = phi'mu and
h = phi'(I + Lambda)^-1 phi,

    mean     = (m - w h y) / (1 - w h)
    variance = a [h / (1 - w h) + u + s2]

of y without its row, exactly (Sherman & Morrison 1950; Rasmussen & Williams 2006, section 5.4.2).
Where targets are Student-t, w holds the row's own noise, and the variance that of a new target.
What all rows chose together stays: encoding, landmarks, s2, a. So the scores flatter where a metric
or landmarks were fitted to few rows.

A site scores its own rows by itself and sends nothing.
"""

from dataclasses import dataclass
from statistics import NormalDist
from typing import Self

import numpy as np
from scipy.linalg import solve_triangular

from edge_node.arrays import Matrix, Rows, Vector
from edge_node.errors import DataError
from edge_node.inference.numerics.streaming import blocks
from edge_node.inference.regression.posterior import Posterior

__all__ = ["LooScores", "leave_one_out", "leave_one_out_predictions"]

_HALF_WIDTH = NormalDist().inv_cdf(0.975)

_ROUNDING = 1e-12
"""What rounding may leave of a row that alone says all that is known of it."""


@dataclass(frozen=True)
class LooScores:
    """Scores of some rows, each predicted without itself; those of disjoint rows add.

    Attributes:
        count: n, the number of rows.
        squares: sum of squared errors (target units squared).
        loss: sum of -log p(y), nats.
        inside: rows within their central 95 % interval.
    """

    count: int
    squares: float
    loss: float
    inside: int

    @classmethod
    def nothing(cls) -> Self:
        """Those of no rows."""
        return cls(0, 0.0, 0.0, 0)

    @classmethod
    def of(cls, y: Vector, mean: Vector, variance: Vector, half_width: float = _HALF_WIDTH) -> Self:
        """Score predictions N(mean, variance) of y, (n,) each; ``half_width``: of the 95 %
        interval, in standard deviations.
        """
        squares = np.square(y - mean)
        loss = 0.5 * (np.log(2 * np.pi * variance) + squares / variance).sum()
        inside = squares <= half_width**2 * variance
        return cls(len(y), float(squares.sum()), float(loss), int(inside.sum()))

    def __add__(self, other: Self) -> Self:
        """The scores of both sets of rows."""
        return type(self)(
            self.count + other.count,
            self.squares + other.squares,
            self.loss + other.loss,
            self.inside + other.inside,
        )

    @property
    def rmse(self) -> float:
        """Root mean squared error, in the target's unit; NaN without rows."""
        return float(np.sqrt(self.squares / self.count)) if self.count else float("nan")

    @property
    def nll(self) -> float:
        """Mean -log p(y), nats; NaN without rows."""
        return self.loss / self.count if self.count else float("nan")

    @property
    def coverage95(self) -> float:
        """The share of rows within their 95 % interval; NaN without rows."""
        return self.inside / self.count if self.count else float("nan")

    def rescaled(self, scale: float) -> Self:
        """The same scores for targets that are ``scale`` times as large."""
        loss = self.loss + self.count * float(np.log(scale))
        return type(self)(self.count, self.squares * scale**2, loss, self.inside)


def leave_one_out(rows: Rows, posterior: Posterior) -> LooScores:
    """Score rows (X (n, d), y (n,)) that ``posterior`` was learnt from, in one pass.

    Raises:
        DataError: a row is certainly not among those.
    """
    scores, half_width = LooScores.nothing(), posterior.calibration.half_width(0.95)
    for X, y in blocks(rows):
        scores += LooScores.of(y, *leave_one_out_predictions(X, y, posterior), half_width)
    return scores


def leave_one_out_predictions(X: Matrix, y: Vector, posterior: Posterior) -> tuple[Vector, Vector]:
    """Mean (n,) and variance (n,) of each of y (n,), noise included, without its own row.

    Args:
        X: inputs (n, d) of rows that ``posterior`` was learnt from.
        y: their targets (n,).
        posterior: the posterior.

    Raises:
        DataError: a row is certainly not among those: it would say more than all of them together.
    """
    Phi = posterior.features(X)
    covered = np.square(Phi).sum(axis=1)
    uncovered = np.maximum(posterior.features.prior_variance(X) - covered, 0.0)
    shares = 1.0 if posterior.precisions is None else 1.0 / posterior.precisions(X, y)
    R = uncovered + posterior.noise * shares
    white = solve_triangular(posterior.factor, Phi.T, lower=True, check_finite=False)
    h = np.square(white).sum(axis=0)
    left = 1.0 - h / R
    if not (left > -_ROUNDING).all():
        raise DataError(
            "a row was not among those that the posterior was learnt from",
            where=f"row {int(np.argmin(left)) + 1} of a block of {len(y)}",
            remedy="Score rows that took part; predict the others",
        )
    left = np.maximum(left, _ROUNDING)
    mean = (Phi @ posterior.mean - h / R * y) / left
    return mean, posterior.amplitude * (h / left + uncovered) + posterior.noise_variance

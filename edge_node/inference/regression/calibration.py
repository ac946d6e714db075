"""How far a posterior's spread is from what held-out rows show, and intervals that allow for it.

A posterior says how far a target may be from its mean, if its model is right. Held-out rows show
how far targets are: with z = (y - mean) / sd, each predicted without itself or from earlier rows,

    factor = mean of z^2, or more                           (by which the variance is multiplied)
    P(|z| <= q) = the share of held-out |z| that q reaches  (which gives an interval its width)

The mean of z^2 is the variance's scale with the best log score. Where it is below one, one standard
error is added: intervals become narrower only as far as that is certain. The quantile is conformal
(Vovk et al. 2005; Lei et al. 2018): of n scores the one of rank (n + 1) level, so that a new score,
if it is exchangeable with them, is below it with that probability. Scores are counted in bins,
because counts of several sites add. Within a bin the quantile is interpolated as a Gaussian's would
be: linearly in |z|, against the standard normal quantile of the share. For Gaussian errors of any
spread that is exact.

Few scores are no measure. So they are joined by those of a wider group, as if seen in
`PRIOR_ROWS` more rows: at a site by the federation's, in the federation by a Gaussian's. What is
known of a wider group counts as certain: the rank is that of n + w scores, with w the share of the
scores that are the group's own.
"""

from dataclasses import dataclass
from functools import cached_property
from statistics import NormalDist
from typing import Self

import numpy as np

from edge_node.arrays import Vector

__all__ = ["PRIOR_ROWS", "Calibration", "HeldOutScores"]

PRIOR_ROWS = 20
"""Scores whose weight the wider group's have."""

_EDGES = 2.0 ** (np.arange(-4, 9) / 2)
"""Of the bins of |z|: from 1/4 to 16. All beyond are in the last bin, and count as 16 in squares:
one row may not stretch all intervals."""

_MIDDLES = np.concatenate([[_EDGES[0] / 2], np.sqrt(_EDGES[1:] * _EDGES[:-1]), [_EDGES[-1]]])
"""Of the bins: geometric ones, but for the first and the last."""

_NORMAL = NormalDist()


@dataclass(frozen=True)
class HeldOutScores:
    """What is kept of some rows' z; those of disjoint rows add.

    Attributes:
        squares: sum of z^2.
        bins: how many rows have |z| in each bin (14,).
    """

    squares: float
    bins: Vector

    NUMBERS = 1 + len(_EDGES) + 1

    @classmethod
    def of(cls, z: Vector) -> Self:
        """Of standardised errors (n,)."""
        size = np.minimum(np.abs(z), _EDGES[-1])
        places = np.searchsorted(_EDGES, np.abs(z))
        bins = np.bincount(places, minlength=len(_EDGES) + 1).astype(np.float64)
        return cls(float(np.square(size).sum()), bins)

    @classmethod
    def gaussian(cls, rows: float) -> Self:
        """Those that a right model leads one to expect of so many rows."""
        shares = [2 * _NORMAL.cdf(edge) - 1 for edge in _EDGES]
        return cls(rows, rows * np.diff(shares, prepend=0.0, append=1.0))

    def __add__(self, other: Self) -> Self:
        """Of both sets of rows."""
        return type(self)(self.squares + other.squares, self.bins + other.bins)

    @property
    def count(self) -> float:
        """n, the number of rows."""
        return float(self.bins.sum())

    @property
    def mean_square(self) -> float:
        """The mean of z^2."""
        return self.squares / self.count

    @property
    def standard_error(self) -> float:
        """That of the mean of z^2. Within a bin all |z| count as the middle of its logarithms."""
        fourth = float(self.bins @ _MIDDLES**4) / self.count
        return float(np.sqrt(max(fourth - self.mean_square**2, 0.0) / self.count))

    def weighing(self, rows: float) -> Self:
        """The same distribution, as if seen in so many rows."""
        weight = rows / self.count
        return type(self)(weight * self.squares, weight * self.bins)

    def pack(self) -> Vector:
        """As one vector (15,), for ``network.sum`` and for files."""
        return np.append(self.bins, self.squares)

    @classmethod
    def unpack(cls, vector: Vector) -> Self:
        """The inverse of ``pack``. Raises ValueError for another length, or numbers below zero."""
        if vector.shape != (cls.NUMBERS,):
            raise ValueError(f"scores of shape {vector.shape}")
        if not (np.isfinite(vector).all() and vector.min() >= 0):
            raise ValueError("scores that are negative, or not finite")
        return cls(float(vector[-1]), vector[:-1])

    @classmethod
    def bounds(cls, rows: float) -> list[tuple[int, float | None]]:
        """Of the packed scores of so many rows: for ``network.sum``."""
        return [(cls.NUMBERS - 1, rows), (1, rows * float(_EDGES[-1]) ** 2)]


@dataclass(frozen=True)
class Calibration:
    """How wide a posterior's predictions are made, from scores with the wider group's among them.

    Attributes:
        scores: the group's own, and those of `PRIOR_ROWS` rows of the wider group.
    """

    scores: HeldOutScores

    @classmethod
    def none(cls) -> Self:
        """A model that is believed."""
        return cls(HeldOutScores.gaussian(PRIOR_ROWS))

    @classmethod
    def of(cls, scores: HeldOutScores, wider: Self | None = None) -> Self:
        """From a group's scores, joined by the ``wider`` group's, or by a Gaussian's."""
        prior = (wider or cls.none()).scores.weighing(PRIOR_ROWS)
        return cls(scores + prior)

    @property
    def factor(self) -> float:
        """By which a posterior's variance is to be multiplied.

        It is below one only as far as that is certain: by one standard error of the mean of z^2
        less, and not at all if that reaches one. To be too narrow costs more than to be too wide,
        and where few rows have errors with long tails, the far ones are missing among them.
        """
        mean = self.scores.mean_square
        return mean if mean >= 1.0 else min(mean + self.scores.standard_error, 1.0)

    def half_width(self, level: float) -> float:
        """Half the width of an interval of probability ``level``, in units of the corrected sd.

        Where ``level`` is beyond the rank of the largest scores, half of what it leaves out is, and
        the tail is a Gaussian's.
        """
        count = self.scores.count
        own = (count - PRIOR_ROWS) / count
        wanted = _two_sided(min(level * (count + own) / count, (1 + level) / 2))
        reached, sizes = self._knots
        if wanted <= reached[-1]:
            size = float(np.interp(wanted, reached, sizes))
        else:
            size = float(sizes[-1] * wanted / reached[-1])
        return size / float(np.sqrt(self.factor))

    @cached_property
    def _knots(self) -> tuple[Vector, Vector]:
        """Standard normal quantiles (k,) of the shares that the bins' edges (k,) reach."""
        shares = np.cumsum(self.scores.bins[:-1]) / self.scores.count
        inside = (shares > 0) & (shares < 1 - 1e-9)
        reached = [_two_sided(share) for share in shares[inside].tolist()]
        return np.array([0.0, *reached]), np.concatenate([[0.0], _EDGES[inside]])


def _two_sided(share: float) -> float:
    """The half width of a standard normal's central interval of this probability."""
    return _NORMAL.inv_cdf((1 + share) / 2)

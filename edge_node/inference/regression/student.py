"""Targets with outliers: a Student-t likelihood, as Gaussians with a precision for each row.

    y_i = f(x_i) + e_i,   e_i | w_i ~ N(0, s2 / w_i),   w_i ~ Gamma(nu / 2, nu / 2),

so that e_i is Student-t with nu degrees of freedom and scale s (Lange, Little & Taylor 1989). Given
a mean m(x) that all share, the precision that a row's residual suggests is

    E[w_i | y_i] = (nu + 1) / (nu + (y_i - m(x_i))^2 / s2),

a function of that row alone (the E step of their EM algorithm). So a site computes it for its own
rows, and the messages of ``conditional``, with R = diag(u_i + s2 / w_i), are sums as before. What
an outlier says fades with its distance, and a Gaussian's least squares don't.

Whether rows need that, and with which scale, is seen from one small sum over the residuals of a
mean that all share: their squares, and

    T_j = sum of log(1 + r_i^2 / (nu s_j^2)),      s_j = s_0 / 2^j,

the likelihood of a few scales, between which it is interpolated; and, at each of them, the sums of
z_i^8 and of sign(r_i) z_i^8, z_i = r_i^2 / (nu s_j^2 + r_i^2): near one for an outlier, and near
zero for most rows. They say whether what lies far out lies on both sides. On one side it may be no
error: prices and amounts of rain have a long tail, whose mean is asked for.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import lgamma, log, pi
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from edge_node.arrays import Matrix, Rows, Vector
from edge_node.inference.features.nystrom import Features

__all__ = [
    "CLEANING_ROUNDS",
    "DEGREES",
    "LARGEST_PRECISION",
    "RESIDUAL_NUMBERS",
    "SCALE_NUMBERS",
    "SMALLEST_SCALE",
    "RowPrecisions",
    "TailFit",
    "expected_precisions",
    "fit_tails",
    "local_residuals",
    "mixture_costs",
    "noise_factor",
]

DEGREES = 4.0
"""nu. Small enough for gross errors, large enough for a variance; Lange, Little & Taylor fix it at
4 where rows are too few to say."""

LARGEST_PRECISION = 1.0 + 1.0 / DEGREES
"""E[w] of a row whose residual is zero."""

_SCALES = 5  # s_0 to s_0 / 16: one target in a hundred at the farthest that counts leaves s_0 / 10
SMALLEST_SCALE = 2.0**-_SCALES  # of s_0: no smaller one is found
CLEANING_ROUNDS = 3  # in which a coarse fit is cleaned of outliers (`program.features.precisions`)
_FAR = 8  # power of z that leaves out all but outliers
SCALE_NUMBERS = 2 + _SCALES
"""How many numbers a scale follows from: rows, squares, and T of each scale."""

RESIDUAL_NUMBERS = SCALE_NUMBERS + 2 * _SCALES
"""With what says on which side outliers lie."""


_SHAPE = (DEGREES + 1.0) / 2.0  # of the gamma distribution of a precision, given the residual
_DIGAMMA = 2.0 + 2.0 / 3.0 - 2.0 * log(2.0) - np.euler_gamma  # of _SHAPE, 5 / 2


def expected_precisions(squares: Vector) -> Vector:
    """E[w] (n,) of rows with such expected squared residuals (n,), in units of s2."""
    precisions: Vector = (DEGREES + 1.0) / (DEGREES + squares)
    return precisions


def mixture_costs(shares: Vector) -> Vector:
    """What rows' noises cost the evidence, twice and (n,), in nats.

    The evidence of Gaussians with noises s2 / E[w] is, less half of this, a lower bound of the
    evidence of Student's t: with q(w) = Gamma(alpha, alpha / E[w]), alpha = (nu + 1) / 2,

        KL(q(w) | p(w)) + (log E[w] - E[log w]) / 2.

    Args:
        shares: 1 / E[w] (n,).
    """
    prior, rate = DEGREES / 2.0, _SHAPE * shares
    divergence = (
        (_SHAPE - prior) * _DIGAMMA
        - lgamma(_SHAPE)
        + lgamma(prior)
        + prior * np.log(rate / prior)
        + _SHAPE * (prior - rate) / rate
    )
    costs: Vector = 2.0 * divergence + log(_SHAPE) - _DIGAMMA
    return costs


@dataclass(frozen=True)
class RowPrecisions:
    """E[w] of rows, as their distance from a mean that all share suggests.

    Attributes:
        features: phi, of the mean m = phi'mu.
        mean: mu (r,).
        scale: s, in target units.
    """

    features: Features
    mean: Vector
    scale: float

    def __call__(self, X: Matrix, y: Vector) -> Vector:
        """E[w] (n,) of rows X (n, d), y (n,): from 0 to 1 + 1 / nu."""
        residuals = (y - self.features(X) @ self.mean) / self.scale
        return expected_precisions(np.square(residuals))

    def at_place(self) -> Self:
        """The same, for inputs that are where the metric puts them."""
        return replace(self, features=self.features.at_place())

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Everything, for ``numpy.savez``."""
        arrays = {**self.features.to_arrays(), "mean": self.mean, "scale": np.array(self.scale)}
        return {f"precisions_{name}": array for name, array in arrays.items()}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> "Self | None":
        """The inverse of ``to_arrays``; None where ``arrays`` hold no precisions."""
        prefix = "precisions_"
        own = {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}
        if not own:
            return None
        return cls(Features.from_arrays(own), own["mean"], float(own["scale"]))


def local_residuals(rows: Rows, features: Features, mean: Vector, largest: float) -> Vector:
    """What a node sums of its rows' residuals (`RESIDUAL_NUMBERS`,).

    Args:
        rows: chunks (X (n, d), y (n,)).
        features: phi of a mean that all share.
        mean: mu (r,).
        largest: s_0, the largest scale, in target units.
    """
    total = np.zeros(RESIDUAL_NUMBERS)
    for X, y in rows:
        residuals = (y - features(X) @ mean) / largest
        squares = np.square(residuals)
        scaled = np.outer(4.0 ** np.arange(_SCALES), squares / DEGREES)
        far = (scaled / (1.0 + scaled)) ** _FAR
        total[0] += len(y)
        total[1] += squares.sum()
        total[2:] += np.concatenate(
            [np.log1p(scaled).sum(axis=1), far.sum(axis=1), far @ np.sign(residuals)]
        )
    return total


@dataclass(frozen=True)
class TailFit:
    """Student's t as residuals ask for it.

    Attributes:
        scale: s, in target units.
        gain: how much likelier it makes a row's residual than the likeliest Gaussian does, nats.
        sided: from 0, outliers on both sides alike, to 1, on one side only.
    """

    scale: float
    gain: float
    sided: float


def fit_tails(total: Vector, largest: float) -> TailFit:
    """The likeliest Student's t. No gain if its scale is smaller than all that are tried: then most
    residuals are zero, because targets have few values.

    Args:
        total: the federation's ``local_residuals``; or the first `SCALE_NUMBERS` of it, which don't
            say where outliers lie.
        largest: s_0 of it.
    """
    count, power, *sums = total.tolist()
    count, logs = max(count, 1.0), sums[:_SCALES]
    likelihood = [  # of residuals in units of s_0
        j * log(2.0) - 0.5 * (DEGREES + 1.0) * each / count for j, each in enumerate(logs)
    ]
    best = int(np.argmax(likelihood))
    place, value = float(best), likelihood[best]
    middle = min(max(best, 1), _SCALES - 2)  # of the parabola through three points
    before, here, after = likelihood[middle - 1 : middle + 2]
    bend, slope = before - 2.0 * here + after, 0.5 * (after - before)
    if bend < 0.0:
        step = min(max(-slope / bend, -1.0), 1.0)
        place, value = middle + step, here + slope * step + 0.5 * bend * step**2
    constant = lgamma((DEGREES + 1) / 2) - lgamma(DEGREES / 2) - 0.5 * log(DEGREES * pi)
    gaussian = -0.5 * (log(2 * pi * max(power / count, 1e-300)) + 1.0)
    far, signed = (sums[_SCALES:] or [1.0] * 2 * _SCALES)[best::_SCALES]
    sided = abs(signed) / far if far > 0 else 1.0
    gain = 0.0 if best == _SCALES - 1 else constant + value - gaussian
    return TailFit(largest * 2.0**-place, gain, sided)


def noise_factor(precisions: RowPrecisions | None) -> float:
    """The variance of a new observation's noise, in units of s2: nu / (nu - 2) of Student's t."""
    return 1.0 if precisions is None else DEGREES / (DEGREES - 2.0)

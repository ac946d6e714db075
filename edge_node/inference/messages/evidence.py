"""The evidence of a candidate model, from its summed statistics alone.

Model: each of q target columns y ~ N(0, a (Phi Phi' + s2 I)). With t = sum k(x, x) - tr Phi'Phi the
uncovered prior variance, the collapsed bound (Titsias 2009, eq. 9) is

    F(a, s2) = sum over columns of log N(y; 0, a (Phi Phi' + s2 I))  -  q t / (2 s2).

In the eigenbasis of G = Phi'Phi = V diag(w) V', with c2_i the squared i-th row of V'Phi'Y summed
over columns,

    R(s2) = tr Y'Y - sum c2 / (w + s2),      a = R / (n q s2)   (closed form),
    F     = -1/2 [n q (log(2 pi R / (n q)) + 1) + q sum log(1 + w / s2) + q t / s2],

so one eigendecomposition serves every s2. The derivative in log s2 is as cheap. The noise is its
root, found to rounding: two machines agree on a root far more closely than on the place of a flat
maximum.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from edge_node.arrays import Vector, round_significant
from edge_node.errors import NumericalError
from edge_node.inference.messages.statistics import Statistics

__all__ = [
    "LEAST_RESIDUAL",
    "NOISE_RANGE",
    "Evidence",
    "Spectrum",
    "best_evidence",
    "maximum",
]

NOISE_RANGE = (1e-6, 1e4)
"""The s2 considered, in units of the mean prior variance k(x, x). The floor bounds the condition
number of G + s2 I by about 1e6 n: noise-free data get a standard error of 1e-3 prior sd."""

LEAST_RESIDUAL = 2.0**-26
"""Share of the targets' power below which a residual can't be told from rounding, because it is a
difference of sums, good to eight digits of the power at best. A smaller residual counts as this
much, so that a smaller noise explains no more. Noise-free targets get a noise of 1.2e-4 of their
own sd, the same however rows are split."""

_GRID_POINTS = 81  # eight a decade of the noise's range


@dataclass(frozen=True)
class Evidence:
    """The best noise and amplitude of one candidate, and how well they explain the targets.

    Attributes:
        log_evidence: the collapsed bound, in nats.
        noise: s2, the noise variance in units of the amplitude.
        amplitude: a, the prior variance's scale (target units squared).
    """

    log_evidence: float
    noise: float
    amplitude: float

    @property
    def noise_variance(self) -> float:
        """The noise variance a s2, in target units squared."""
        return self.amplitude * self.noise


@dataclass(frozen=True)
class Spectrum:
    """Statistics in the eigenbasis of G: everything the bound needs, for any s2.

    Attributes:
        eigenvalues: w (r,), not negative.
        projections: c2 (r,), squared projections of Phi'Y, summed over the columns of Y.
        numbers: n q, how many target values there are.
        outputs: q.
        target_power: tr Y'Y, positive.
        uncovered: t = sum k(x, x) - tr G, not negative.
    """

    eigenvalues: Vector
    projections: Vector
    numbers: int
    outputs: int
    target_power: float
    uncovered: float

    @classmethod
    def of(cls, statistics: Statistics) -> "Spectrum":
        """Decompose G = Phi'Phi."""
        eigenvalues, vectors = np.linalg.eigh(statistics.message.precision)
        shift = statistics.message.shift.reshape(statistics.message.size, -1)
        return cls(
            np.maximum(eigenvalues, 0.0),
            np.square(vectors.T @ shift).sum(axis=1),
            statistics.count * statistics.outputs,
            statistics.outputs,
            statistics.target_power,
            statistics.uncovered,
        )

    def evidence(self, noise: float) -> Evidence:
        """The bound at s2 = ``noise``, with the best amplitude for it."""
        residual = self._residual(noise)
        amplitude = residual / (self.numbers * noise)
        fit = self.numbers * (np.log(2 * np.pi * residual / self.numbers) + 1)
        volume = np.log1p(self.eigenvalues / noise).sum()
        penalty = self.uncovered / noise
        log_evidence = -0.5 * (fit + self.outputs * (volume + penalty))
        return Evidence(float(log_evidence), noise, amplitude)

    def slope(self, noise: float) -> float:
        """The bound's derivative in log s2."""
        shrunk = self.eigenvalues + noise
        volume = (self.eigenvalues / shrunk).sum() + self.uncovered / noise
        change = noise * (self.projections / shrunk**2).sum()
        fit = 0.0 if self.exhausted(noise) else self.numbers * change / self._residual(noise)
        return float(0.5 * (self.outputs * volume - fit))

    def exhausted(self, noise: float) -> bool:
        """Whether what s2 = ``noise`` leaves of the targets can't be told from rounding."""
        return self._residual(noise) <= LEAST_RESIDUAL * self.target_power

    def _residual(self, noise: float) -> float:
        """R(s2) = s2 tr Y'(Phi Phi' + s2 I)^-1 Y, as far as it can be told from rounding."""
        residual = self.target_power - float((self.projections / (self.eigenvalues + noise)).sum())
        return max(residual, LEAST_RESIDUAL * self.target_power)


def best_evidence(statistics: Statistics) -> Evidence:
    """The noise, and with it the amplitude, under which the targets are most likely.

    Args:
        statistics: the whole federation's.

    Raises:
        NumericalError: no rows, constant targets, no prior variance, or numbers not finite.
    """
    _check(statistics)
    spectrum = Spectrum.of(statistics)
    scale = statistics.prior_power / statistics.count
    lower, upper = (scale * end for end in NOISE_RANGE)
    noise = maximum(lambda s2: spectrum.evidence(s2).log_evidence, spectrum.slope, lower, upper)
    if noise > lower and spectrum.exhausted(0.999 * noise):  # a kink, known to a few digits only
        noise = scale * float(round_significant(np.array(noise / scale), 10))
    return spectrum.evidence(noise)


def maximum(
    value: Callable[[float], float],
    slope: Callable[[float], float],
    lower: float,
    upper: float,
) -> float:
    """The place between two positive numbers where ``value`` is greatest.

    A grid, even in the logarithm, finds the neighbourhood. In it, a root of ``slope`` (the
    derivative in the logarithm) is the place, found to rounding.
    """
    grid = np.geomspace(lower, upper, _GRID_POINTS)
    best = int(np.argmax([value(float(x)) for x in grid]))
    left, right = float(grid[max(best - 1, 0)]), float(grid[min(best + 1, _GRID_POINTS - 1)])
    if slope(left) <= 0 or slope(right) >= 0:
        return float(grid[best])  # at an end of the range, or flat to rounding
    from scipy.optimize import brentq  # a fifth of a second, and only where a noise is chosen

    root = brentq(lambda t: slope(float(np.exp(t))), np.log(left), np.log(right), xtol=1e-13)
    return float(np.exp(root))


def _check(statistics: Statistics) -> None:
    complaints = {
        "there are no rows": statistics.count < 1,
        "the target is constant: nothing can be learned": not statistics.target_power > 0,
        "the kernel is zero at every row": not statistics.prior_power > 0,
        "the statistics are not finite": not np.isfinite(statistics.pack()).all(),
    }
    for complaint, wrong in complaints.items():
        if wrong:
            raise NumericalError(complaint, where="evidence", remedy="Check the federation's data")

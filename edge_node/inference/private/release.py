"""What a row may add to a sum with noise, and what the noisy sum says.

A row (x, y) has the weight w = min(1, R / sqrt k(x, x)), so that no row has more than R^2 of prior
variance: rows beyond that count as noisier observations, which leaves regression unbiased. With
targets of norm at most B and the uncovered part t = k(x, x) - |phi|^2, a row adds

    s_n,  s_y w^2 |y|^2 / B^2,  s_t w^2 t / R^2,  s_b w^2 phi y' / (R B),  s_G w^2 phi phi' / R^2

to the sum. Each off-diagonal entry of phi phi' is there once, times sqrt(2), so that norms are
kept. The shares s are numbers with s_n^2 + s_y^2 + s_b^2 + s_G^2 = 1 and s_t <= s_G: because t and
|phi|^2 add up to k(x, x),

    s_t^2 (w^2 t)^2 + s_G^2 |w phi|^4  <=  s_G^2 (w^2 k(x, x))^2  <=  s_G^2 R^4,

and no row's vector is longer than one: that is the sum's sensitivity to a row.
"""

from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np

from edge_node.arrays import Matrix, Rows, Vector, round_significant
from edge_node.errors import NumericalError
from edge_node.inference.features.nystrom import Features
from edge_node.inference.numerics.streaming import Scratch, accumulate
from edge_node.inference.numerics.symmetric import SymmetricSum
from edge_node.packing import Layout, Symmetric

__all__ = ["Deviations", "NoisySums", "Scales", "local_release"]

_COUNT, _POWER, _SHIFT = 0.1, 0.2, 0.5  # shares s_n, s_y, s_b; most is left for Phi'Phi
_GRAM = float(np.sqrt(1.0 - _COUNT**2 - _POWER**2 - _SHIFT**2))
_TINY = float(np.finfo(float).tiny)


@dataclass(frozen=True)
class Scales:
    """The units of a release, in which no row's vector is longer than one.

    Attributes:
        size: r, how many features there are.
        power: R^2, the largest weighted k(x, x).
        target: B, the largest norm of a row's targets.
        outputs: q, how many targets a row has; None for regression's single number.
    """

    size: int
    power: float
    target: float
    outputs: int | None = None

    @classmethod
    def of(cls, features: Features, target: float, outputs: int | None = None) -> Self:
        """R^2 is the landmarks' mean prior variance: public, and typical of rows if they are."""
        power = np.array(features.kernel.diagonal(features.landmarks).mean())
        return cls(len(features.landmarks), float(round_significant(power)), target, outputs)

    @property
    def layout(self) -> Layout:
        """What a release holds."""
        return Layout(
            {
                "count": (),
                "power": (),
                "uncovered": (),
                "shift": (self.size, self.outputs or 1),
                "gram": Symmetric(self.size),
            }
        )

    @property
    def length(self) -> int:
        """How many numbers a release has."""
        return self.layout.length

    @property
    def units(self) -> Vector:
        """What one unit of each number (length,) stands for."""
        unit = self.power / _GRAM
        gram = np.full((self.size, self.size), unit / np.sqrt(2.0))
        np.fill_diagonal(gram, unit)
        shift = np.sqrt(self.power) * self.target / _SHIFT
        return self.layout.pack(
            count=1.0 / _COUNT,
            power=self.target**2 / _POWER,
            uncovered=unit,
            shift=np.full((self.size, self.outputs or 1), shift),
            gram=gram,
        )


class Deviations(NamedTuple):
    """Standard deviations of the noise in each of the `NoisySums`.

    ``gram`` is that on the Gram matrix's diagonal; off the diagonal it is 1 / sqrt(2) of that.
    """

    rows: float
    target_power: float
    uncovered: float
    shift: float
    gram: float


@dataclass(frozen=True)
class NoisySums:
    """Sums over all rows, with Gaussian noise of known size in each.

    Attributes:
        count: n.
        target_power: tr Y'W^2 Y.
        uncovered: sum of w^2 (k(x, x) - |phi|^2).
        shift: b = Phi'W^2 Y, (r, q).
        gram: G = Phi'W^2 Phi (r, r), symmetric; with noise it may have negative eigenvalues.
        largest_power: B^2, the most that a row adds to the target power.
        deviations: the noise's size in each.
    """

    count: float
    target_power: float
    uncovered: float
    shift: Matrix
    gram: Matrix
    largest_power: float
    deviations: Deviations

    @classmethod
    def read(cls, total: Vector, scales: Scales, sigma: float) -> Self:
        """The sums in a total of ``local_release`` whose numbers have noise of deviation ``sigma``.

        Raises:
            NumericalError: the total has another length, or is not finite.
        """
        sums, units = scales.layout.unpack(total), scales.layout.unpack(scales.units)
        first = (unit.flat[0] for unit in units.values())  # the Gram matrix's is on its diagonal
        deviations = Deviations(*(float(sigma * unit) for unit in first))
        return cls(
            (sums["count"] * units["count"]).item(),
            (sums["power"] * units["power"]).item(),
            (sums["uncovered"] * units["uncovered"]).item(),
            sums["shift"] * units["shift"],
            sums["gram"] * units["gram"],
            scales.target**2,
            deviations,
        )

    @property
    def mean_power(self) -> float:
        """The mean of w^2 k(x, x). Raises NumericalError where noise hides that there are rows."""
        power, rows = self.uncovered + float(np.trace(self.gram)), self.count
        noise = self.deviations.rows
        if not (rows >= 1.0 and power > 0.0):
            raise NumericalError(
                "the noise hides all there is",
                where="release",
                expected=f"many more rows than the noise in their number, {noise:.3g}",
                found=f"{rows:.4g} rows with noise",
                remedy="More rows, fewer landmarks, or a larger `privacy.epsilon`",
            )
        return power / rows


def local_release(rows: Rows, features: Features, scales: Scales) -> Vector:
    """What this node's rows add (length,), in one pass, before any noise.

    Args:
        rows: chunks (X (n, d), Y (n,) or (n, q)).
        features: phi, r of them.
        scales: the units.

    Raises:
        NumericalError: the result is not finite.
    """
    (total,) = accumulate(rows, lambda: [_Sum(features, scales)], len(features.landmarks))
    vector = total.vector() / scales.units
    if not np.isfinite(vector).all():
        raise NumericalError(
            "the sums over this node's rows are not finite",
            expected="finite encoded inputs and targets",
            remedy="Look for extreme values in the data file",
        )
    return vector


class _Sum:
    """Running sums in their own units."""

    def __init__(self, features: Features, scales: Scales) -> None:
        self._features, self._scales = features, scales
        self._power = self._uncovered = 0.0
        self._count = 0
        self._shift = np.zeros((scales.size, scales.outputs or 1))
        self._gram = SymmetricSum(scales.size)

    def add(self, X: Matrix, Y: Vector, scratch: Scratch) -> None:
        (memory,) = scratch.blocks(1, len(X), self._scales.size)
        Phi = self._features(X, memory)
        targets = _at_most(Y.reshape(len(X), -1), self._scales.target)
        covered = np.vecdot(Phi, Phi)
        power = np.maximum(self._features.prior_variance(X), np.maximum(covered, _TINY))
        weights = np.minimum(1.0, self._scales.power / power)  # w^2
        uncovered = weights * (power - covered)
        Phi *= np.sqrt(weights)[:, None]
        targets = targets * np.sqrt(weights)[:, None]
        self._gram.add(Phi)
        self._shift += Phi.T @ targets
        self._count += len(X)
        self._power += float(np.vdot(targets, targets))
        self._uncovered += float(uncovered.sum())

    def merge(self, other: Self) -> None:
        self._gram.merge(other._gram)
        self._shift += other._shift
        self._count += other._count
        self._power += other._power
        self._uncovered += other._uncovered

    def vector(self) -> Vector:
        return self._scales.layout.pack(
            count=self._count,
            power=self._power,
            uncovered=self._uncovered,
            shift=self._shift,
            gram=self._gram.matrix(),
        )


def _at_most(Y: Matrix, norm: float) -> Matrix:
    """Rows of Y (n, q), shortened to ``norm`` where they are longer."""
    lengths = np.sqrt(np.vecdot(Y, Y))[:, None]
    return np.where(lengths > norm, Y * (norm / np.maximum(lengths, norm)), Y)

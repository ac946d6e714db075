"""What a row may add to a sum with noise, and what the noisy sum says.

A row (x, y) has the weight w = min(1, R / sqrt k(x, x)), so that no row has more than R^2 of prior
variance: rows beyond that count as noisier observations, which leaves regression unbiased. Targets
have a norm of at most B. Of the uncovered part t = k(x, x) - |phi|^2 and of the vectors w phi and
w y each row makes whole numbers, before anything is summed:

    P = round(w phi / h),  T = round(w^2 t / h^2),  Q = round(w y / e)

with |P|^2 + T and |Q|^2 at most M = 2^24, so the steps h and e are about R / 2^12 and B / 2^12.
What it adds to the sum is

    3 M,   7 |Q|^2,   29 T,   17 P Q',   29 P_i^2 and 41 P_i P_j for i < j.

As 41^2 <= 2 * 29^2, the squared length of that is at most

    9 M^2 + 49 |Q|^4 + 289 |P|^2 |Q|^2 + 841 (T^2 + |P|^4)  <=  (9 + 49 + 289 + 841) M^2,

for T^2 + |P|^4 <= (T + |P|^2)^2: that is the sum's sensitivity to a row. Nothing in it is rounded:
sums of whole numbers below 2^53 are exact, in any order. And no other row's part depends on the
row: each is computed in a block of always as many rows, by the same instructions.
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

_LENGTH = 2.0**12  # of P and Q at most
_MOST = _LENGTH**2  # M
_COUNT, _POWER, _SHIFT, _DIAGONAL, _OFF = 3.0, 7.0, 17.0, 29.0, 41.0
_ROWS = 256  # in a block, always
_TINY = float(np.finfo(float).tiny)


@dataclass(frozen=True)
class Scales:
    """What a release's whole numbers stand for.

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
    def sensitivity(self) -> float:
        """The length of the longest vector that a row adds."""
        return _MOST * float(np.sqrt(_COUNT**2 + _POWER**2 + _SHIFT**2 + _DIAGONAL**2))

    @property
    def steps(self) -> tuple[float, float]:
        """What one unit of P, and of Q, stands for: h and e.

        Rounding makes a vector of r numbers longer by sqrt(r) / 2 at most, and T larger by 1 / 2:
        by so much is the longest one shorter than 2^12 before.
        """
        most = np.sqrt(_MOST - 1.0)
        feature = np.sqrt(self.power) / (most - np.sqrt(self.size) / 2.0)
        return float(feature), float(self.target / (most - np.sqrt(self.outputs or 1) / 2.0))

    @property
    def units(self) -> Vector:
        """What one unit of each number (length,) stands for."""
        feature, target = self.steps
        gram = np.full((self.size, self.size), feature**2 / _OFF)
        np.fill_diagonal(gram, feature**2 / _DIAGONAL)
        return self.layout.pack(
            count=1.0 / (_COUNT * _MOST),
            power=target**2 / _POWER,
            uncovered=feature**2 / _DIAGONAL,
            shift=np.full((self.size, self.outputs or 1), feature * target / _SHIFT),
            gram=gram,
        )


class Deviations(NamedTuple):
    """Standard deviations of the noise in each of the `NoisySums`.

    ``gram`` is that on the Gram matrix's diagonal; off the diagonal it is 29 / 41 of that, which is
    1 / sqrt(2) but for 3e-4.
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
    """What this node's rows add (length,), whole numbers, in one pass, before any noise.

    Args:
        rows: chunks (X (n, d), Y (n,) or (n, q)).
        features: phi, r of them.
        scales: what the numbers stand for.
    """
    (total,) = accumulate(rows, lambda: [_Sum(features, scales)], len(features.landmarks))
    return total.vector()


class _Sum:
    """Running sums of whole numbers, exact in any order."""

    def __init__(self, features: Features, scales: Scales) -> None:
        self._features, self._scales = features, scales
        self._power = self._uncovered = 0.0
        self._count = 0
        self._shift = np.zeros((scales.size, scales.outputs or 1))
        self._gram = SymmetricSum(scales.size)

    def add(self, X: Matrix, Y: Vector, scratch: Scratch) -> None:
        with np.errstate(all="ignore"):
            for start in range(0, len(X), _ROWS):
                self._add(X[start : start + _ROWS], Y[start : start + _ROWS], scratch)

    def _add(self, X: Matrix, Y: Vector, scratch: Scratch) -> None:
        """A block of at most ``_ROWS`` rows.

        A row whose numbers are too long, or no numbers, adds nothing but its count: whatever
        floating point does, no row adds more than it may, and none of them raises an error.
        """
        P, T, weights = self._whole_features(X, scratch)
        targets = _at_most(Y.reshape(len(X), -1), self._scales.target)
        Q = np.rint(targets * (weights / self._scales.steps[1])[:, None])
        for vectors in (P, Q):
            vectors[~(np.vecdot(vectors, vectors) <= _MOST)] = 0.0
        T = np.fmax(0.0, np.fmin(T, _MOST - np.vecdot(P, P)))
        self._gram.add(P)
        self._shift += P.T @ Q
        self._count += len(X)
        self._power += float(np.vdot(Q, Q))
        self._uncovered += float(T.sum())

    def _whole_features(self, X: Matrix, scratch: Scratch) -> tuple[Matrix, Vector, Vector]:
        """P (n, r), T (n,) and w (n,), in a block that the last row fills up."""
        (memory,) = scratch.blocks(1, _ROWS, self._scales.size)
        block = X[np.minimum(np.arange(_ROWS), len(X) - 1)]
        Phi, step = self._features(block, memory), self._scales.steps[0]
        covered = np.vecdot(Phi, Phi)
        power = np.maximum(self._features.prior_variance(block), np.maximum(covered, _TINY))
        weights = np.sqrt(np.minimum(1.0, self._scales.power / power))
        Phi *= (weights / step)[:, None]
        T = np.rint((weights / step) ** 2 * (power - covered))
        return np.rint(Phi, out=Phi)[: len(X)], T[: len(X)], weights[: len(X)]

    def merge(self, other: Self) -> None:
        self._gram.merge(other._gram)
        self._shift += other._shift
        self._count += other._count
        self._power += other._power
        self._uncovered += other._uncovered

    def vector(self) -> Vector:
        gram = self._gram.matrix()
        factors = np.full_like(gram, _OFF)
        np.fill_diagonal(factors, _DIAGONAL)
        return self._scales.layout.pack(
            count=_COUNT * _MOST * self._count,
            power=_POWER * self._power,
            uncovered=_DIAGONAL * self._uncovered,
            shift=_SHIFT * self._shift,
            gram=factors * gram,
        )


def _at_most(Y: Matrix, norm: float) -> Matrix:
    """Rows of Y (n, q), shortened to ``norm`` where they are longer."""
    lengths = np.sqrt(np.vecdot(Y, Y))[:, None]
    return np.where(lengths > norm, Y * (norm / np.maximum(lengths, norm)), Y)

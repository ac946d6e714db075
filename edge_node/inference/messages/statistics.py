"""What a node computes from its rows: one Gaussian message and three numbers, as sums over rows.

With features Phi (n, r) and targets Y (n, q), the likelihood Y ~ N(Phi u, s2 I) is a Gaussian
message over u: Lambda = Phi'Phi, eta = Phi'Y, in units of the noise variance s2. Together with
n, tr Y'Y and sum k(x, x) it is all that the posterior and its evidence need (Titsias 2009), for
every s2 at once. Rows are streamed: memory doesn't grow with their number.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import mul
from typing import Self

import numpy as np

from edge_node.arrays import Matrix, Rows, Vector
from edge_node.errors import NumericalError
from edge_node.inference.features.nystrom import Features
from edge_node.inference.features.whitening import Whitening
from edge_node.inference.messages.gaussian import Gaussian
from edge_node.inference.numerics.streaming import Scratch, accumulate, one_thread
from edge_node.inference.numerics.symmetric import SymmetricSum
from edge_node.packing import Layout, Symmetric

__all__ = ["Statistics", "local_statistics"]

_FEW = 8  # times a block's rows: if landmarks are more, its rows are few


@dataclass(frozen=True)
class Statistics:
    """Sufficient statistics of some rows; statistics of disjoint rows add.

    Attributes:
        count: n, the number of rows.
        target_power: tr Y'Y, the sum of squared targets (target units squared).
        prior_power: the sum of k(x, x) over the rows.
        message: Lambda = Phi'Phi (r, r) and eta = Phi'Y, (r,) or (r, q), in units of the noise.
    """

    count: int
    target_power: float
    prior_power: float
    message: Gaussian

    def __add__(self, other: Self) -> Self:
        """The statistics of both sets of rows."""
        return type(self)(
            self.count + other.count,
            self.target_power + other.target_power,
            self.prior_power + other.prior_power,
            self.message * other.message,
        )

    @property
    def outputs(self) -> int:
        """q, the number of target columns."""
        return 1 if self.message.shift.ndim == 1 else self.message.shift.shape[1]

    def likelihood(self, noise: float) -> Gaussian:
        """The message in units that include the noise s2: (Phi'Phi / s2, Phi'Y / s2)."""
        return Gaussian(self.message.precision / noise, self.message.shift / noise)

    @property
    def uncovered(self) -> float:
        """Sum of k(x, x) - phi'phi: the prior variance that the landmarks don't carry, >= 0."""
        return max(self.prior_power - float(np.trace(self.message.precision)), 0.0)

    @property
    def uncovered_share(self) -> float:
        """``uncovered`` as a share of the prior variance, between 0 and 1."""
        return self.uncovered / self.prior_power if self.prior_power > 0 else 0.0

    def pack(self) -> Vector:
        """As one vector for ``network.sum``."""
        return _layout(*self.message.shift.shape).pack(
            count=self.count,
            target_power=self.target_power,
            prior_power=self.prior_power,
            precision=self.message.precision,
            shift=self.message.shift,
        )

    @classmethod
    def unpack(cls, vector: Vector, size: int, outputs: int | None = None) -> Self:
        """The inverse of ``pack`` for r = ``size`` features and q = ``outputs`` columns of targets.

        Raises:
            NumericalError: the vector has another length, or is not finite.
        """
        parts = _layout(size, outputs).unpack(vector)
        return cls(
            round(parts["count"].item()),
            parts["target_power"].item(),
            parts["prior_power"].item(),
            Gaussian(parts["precision"], parts["shift"]),
        )


def _layout(size: int, outputs: int | None = None) -> Layout:
    """What is summed; ``outputs=None``: targets are (n,), and eta is (r,)."""
    return Layout(
        {
            "count": (),
            "target_power": (),
            "prior_power": (),
            "precision": Symmetric(size),
            "shift": (size,) if outputs is None else (size, outputs),
        }
    )


def local_statistics(
    rows: Rows, maps: Sequence[Features], outputs: int | None = None
) -> list[Statistics]:
    """The statistics of this node's rows under each of some feature maps, in one pass.

    Args:
        rows: chunks (X (n, d), y (n,) or Y (n, q)).
        maps: phi, one or more.
        outputs: q where the chunks hold Y (n, q); None where they hold y (n,).

    Raises:
        NumericalError: the result is not finite.
    """
    columns = max(len(features.landmarks) for features in maps)
    with one_thread():
        sums = accumulate(rows, lambda: [_Sum(each, outputs) for each in maps], columns)
        return [each.statistics() for each in sums]


class _WhitenedSum:
    """The message of blocks that are whitened alike."""

    def __init__(self, whitening: Whitening, size: int, outputs: int | None) -> None:
        self._whitening = whitening
        self._gram, self._shift = SymmetricSum(size), Gaussian.flat(size, outputs).shift

    def add(self, block: Matrix, Y: Vector) -> None:
        """Add a block k(X, Z), which is overwritten."""
        self._whitening.turn(block)
        self._gram.add(block)
        self._shift += block.T @ Y

    def merge(self, other: Self) -> None:
        self._gram.merge(other._gram)
        self._shift += other._shift

    def message(self) -> Gaussian:
        """Nothing may be added after this."""
        return Gaussian(
            self._whitening.gram(self._gram.matrix()), self._whitening.shift(self._shift)
        )


class _Sum:
    """Running statistics for one feature map.

    Whitening after the sum costs r^3, however few the rows. So blocks of fewer than r / 8 rows are
    whitened row by row, and added up apart.
    """

    def __init__(self, features: Features, outputs: int | None) -> None:
        self._features, self._outputs = features, outputs
        self._messages: dict[bool, _WhitenedSum] = {}  # by whether blocks are of few rows
        self._count, self._target_power, self._prior_power = 0, 0.0, 0.0

    def add(self, X: Matrix, Y: Vector, scratch: Scratch) -> None:
        features, size = self._features, len(self._features.landmarks)
        (memory,) = scratch.blocks(1, len(X), size)
        few = _FEW * len(X) < size
        if few not in self._messages:
            self._messages[few] = _WhitenedSum(
                features.row_by_row if few else features.whitening, size, self._outputs
            )
        self._messages[few].add(features.covariances(X, memory), Y)
        self._count += len(X)
        self._target_power += float(np.vdot(Y, Y))
        self._prior_power += float(features.prior_variance(X).sum())

    def merge(self, other: Self) -> None:
        for few, part in other._messages.items():
            if few in self._messages:
                self._messages[few].merge(part)
            else:
                self._messages[few] = part
        self._count += other._count
        self._target_power += other._target_power
        self._prior_power += other._prior_power

    def statistics(self) -> Statistics:
        found = [each.message() for each in self._messages.values()]
        found = found or [Gaussian.flat(len(self._features.landmarks), self._outputs)]
        message = reduce(mul, found)
        statistics = Statistics(self._count, self._target_power, self._prior_power, message)
        if not np.isfinite(statistics.pack()).all():
            raise NumericalError(
                "the statistics of this node's rows are not finite",
                expected="finite encoded inputs and targets",
                remedy="Look for extreme values in the data file",
            )
        return statistics

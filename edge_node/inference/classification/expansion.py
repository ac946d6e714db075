"""The classification likelihood to first order, averaged over the current approximation: a sum.

With p = softmax(offsets + Q g) and g the contrasts under q(U), each row adds to

    the log likelihood   E_q log p_y
    its gradient         phi E_q[(onehot(y) - p)' Q]                       (r, q)
    uncovered            1/2 tr E_q[Q' (diag p - p p') Q] (k(x, x) - phi'phi)
    the curvature        E_q[Q' (diag p - p p') Q] x its leverage          (q, q)

A curvature for every pair of features would take r^2 / 2 numbers a step for each pair of contrasts.
A mean over the rows, weighted by leverage (`approximation`), takes one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from edge_node.arrays import Matrix, Rows, Vector
from edge_node.inference.classification.approximation import Approximation
from edge_node.inference.classification.classes import contrast, one_hot
from edge_node.inference.classification.likelihood import average, pairs
from edge_node.inference.features.nystrom import Features
from edge_node.inference.messages.statistics import Statistics
from edge_node.inference.numerics.streaming import Scratch, accumulate
from edge_node.packing import Layout, Symmetric

__all__ = ["Expansion", "local_expansion", "numbers_told", "total_bounds"]


@dataclass(frozen=True)
class Expansion:
    """What a sweep sums at an approximation q. Disjoint rows' add up.

    Attributes:
        count: n, the number of rows.
        log_likelihood: sum of E_q log p(y | g), nats.
        uncovered: u, what the residual costs per unit of amplitude, nats.
        gradient: (r, q), with respect to U.
        curvature: (q, q), the rows' mean, weighted by leverage.
    """

    count: int
    log_likelihood: float
    uncovered: float
    gradient: Matrix
    curvature: Matrix

    def pack(self) -> Vector:
        """As one vector for ``network.sum``."""
        return _layout(*self.gradient.shape).pack(**vars(self))

    @classmethod
    def unpack(cls, vector: Vector, size: int, outputs: int) -> Self:
        """The inverse of ``pack`` for r = ``size`` features and q = ``outputs`` contrasts.

        Raises:
            NumericalError: the vector has another length, or is not finite.
        """
        parts = _layout(size, outputs).unpack(vector)
        return cls(
            round(parts["count"].item()),
            parts["log_likelihood"].item(),
            parts["uncovered"].item(),
            parts["gradient"],
            parts["curvature"],
        )


def _layout(size: int, outputs: int) -> Layout:
    """What is summed."""
    return Layout(
        {
            "count": (),
            "log_likelihood": (),
            "uncovered": (),
            "gradient": (size, outputs),
            "curvature": Symmetric(outputs),
        }
    )


def numbers_told(size: int, outputs: int) -> int:
    """How many numbers a sweep sums, for r = ``size`` features and q = ``outputs`` contrasts."""
    return _layout(size, outputs).length


def total_bounds(statistics: Statistics) -> Sequence[tuple[int, float | None]]:
    """What a total can't exceed in absolute value, run by run, given label regression's sums.

    Each bound is at least a third larger than what can occur, so rounding never exceeds it. A row's
    curvature has eigenvalues of at most 1/2, and leverages add up to one. For the gradient,
    Cauchy-Schwarz: the columns of Phi have the squared norms diag G, and |onehot(y) - p|^2 <= 2.
    The log likelihood has no bound.
    """
    size, q = statistics.message.size, statistics.outputs
    longest = max(np.diag(statistics.message.precision).max(), 0.0)  # a member may give any sums
    steepest = 2.0 * np.sqrt(statistics.count * longest)
    return (
        (1, 2.0 * statistics.count),
        (1, None),
        (1, statistics.prior_power),
        (size * q, float(steepest)),
        (len(pairs(q)), 1.0),
    )


def local_expansion(
    rows: Rows, features: Features, approximation: Approximation, offsets: Vector
) -> Expansion:
    """The expansion of this node's log likelihood at q = ``approximation``, in one pass.

    Args:
        rows: chunks (X (n, d), y (n,) class indices).
        features: phi, r of them.
        approximation: q(U).
        offsets: fixed means of the logits (C,).

    Raises:
        NumericalError: a target is not a class index.
    """
    (total,) = accumulate(
        rows, lambda: [_Sum(features, approximation, offsets)], len(features.landmarks)
    )
    return total.expansion()


class _Sum:
    """A running expansion."""

    def __init__(self, features: Features, approximation: Approximation, offsets: Vector) -> None:
        self._features, self._approximation, self._offsets = features, approximation, offsets
        self._count, self._log_likelihood, self._uncovered = 0, 0.0, 0.0
        self._gradient = np.zeros_like(approximation.mean)
        self._curvature = np.zeros(len(pairs(approximation.outputs)))

    def add(self, X: Matrix, y: Vector, scratch: Scratch) -> None:
        classes, q = len(self._offsets), self._approximation
        (memory,) = scratch.blocks(1, len(X), len(self._gradient))
        Phi, target = self._features(X, memory), one_hot(y, classes)
        residual = np.maximum(self._features.prior_variance(X) - np.vecdot(Phi, Phi), 0.0)
        expected = average(self._offsets, *q.latent(Phi, residual))
        own = [i for i, (j, k) in enumerate(pairs(q.outputs)) if j == k]
        self._count += len(X)
        self._log_likelihood += float(np.vdot(target, expected.log_probabilities))
        self._uncovered += float(0.5 * expected.curvature[:, own].sum(axis=1) @ residual)
        self._gradient += Phi.T @ ((target - expected.probabilities) @ contrast(classes))
        self._curvature += q.leverages(Phi) @ expected.curvature

    def merge(self, other: Self) -> None:
        self._count += other._count
        self._log_likelihood += other._log_likelihood
        self._uncovered += other._uncovered
        self._gradient += other._gradient
        self._curvature += other._curvature

    def expansion(self) -> Expansion:
        curvature = Symmetric(self._approximation.outputs).read(self._curvature)
        return Expansion(
            self._count, self._log_likelihood, self._uncovered, self._gradient, curvature
        )

"""A likelihood to first order, averaged over the current approximation: a sum over rows.

With g a row's latent functions under q(U), and l = log p(y | g, theta), each row adds to

    the log likelihood   E_q l
    its gradient         phi E_q dl/dg                                     (r, q)
    uncovered            1/2 tr E_q[-d2l/dg2] (k(x, x) - phi'phi)
    the curvature        E_q[-d2l/dg2] x its leverage                      (q, q)
    slopes and bends     E_q dl/dtheta and E_q[-d2l/dtheta2]               (h,) and (h, h)

For classes, p = softmax(offsets + Q g), dl/dg = Q' (onehot(y) - p), -d2l/dg2 = Q' (diag p - p p') Q
and there is no theta. A curvature for every pair of features would take r^2 / 2 numbers a step for
each pair of latent functions. A mean over the rows, weighted by leverage (`approximation`), takes
one.
"""

from dataclasses import dataclass, field
from typing import Self

import numpy as np

from edge_node.arrays import Matrix, Rows, Vector
from edge_node.inference.classification.approximation import Approximation
from edge_node.inference.classification.expected import NO_PARAMETERS, Likelihood, pairs
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
        log_likelihood: sum of E_q log p(y | g, theta), nats.
        uncovered: u, what the residual costs per unit of amplitude, nats.
        gradient: (r, q), with respect to U.
        curvature: (q, q), the rows' mean, weighted by leverage.
        slopes: (h,), with respect to theta.
        bends: (h, h), of the log likelihood, with respect to theta.
    """

    count: int
    log_likelihood: float
    uncovered: float
    gradient: Matrix
    curvature: Matrix
    slopes: Vector = field(default_factory=NO_PARAMETERS.copy)
    bends: Matrix = field(default_factory=lambda: np.empty((0, 0)))

    def pack(self) -> Vector:
        """As one vector for ``network.sum``."""
        size, outputs = self.gradient.shape
        return _layout(size, outputs, len(self.slopes)).pack(**vars(self))

    @classmethod
    def unpack(cls, vector: Vector, size: int, outputs: int, parameters: int = 0) -> Self:
        """The inverse of ``pack`` for r = ``size`` features, q = ``outputs`` and h parameters.

        Raises:
            NumericalError: the vector has another length, or is not finite.
        """
        parts = _layout(size, outputs, parameters).unpack(vector)
        return cls(
            round(parts["count"].item()),
            parts["log_likelihood"].item(),
            parts["uncovered"].item(),
            parts["gradient"],
            parts["curvature"],
            parts["slopes"],
            parts["bends"],
        )


def _layout(size: int, outputs: int, parameters: int) -> Layout:
    """What is summed."""
    return Layout(
        {
            "count": (),
            "log_likelihood": (),
            "uncovered": (),
            "gradient": (size, outputs),
            "curvature": Symmetric(outputs),
            "slopes": (parameters,),
            "bends": Symmetric(parameters),
        }
    )


def numbers_told(size: int, outputs: int, parameters: int = 0) -> int:
    """How many numbers a sweep sums, for r = ``size`` features, q = ``outputs`` latent functions
    and h parameters of the likelihood.
    """
    return _layout(size, outputs, parameters).length


def total_bounds(statistics: Statistics) -> tuple[tuple[int, float | None], ...]:
    """What a classifier's total can't exceed in absolute value, run by run, given label
    regression's sums.

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
    rows: Rows, features: Features, approximation: Approximation, likelihood: Likelihood
) -> Expansion:
    """The expansion of this node's log likelihood at q = ``approximation``, in one pass.

    Args:
        rows: chunks (X (n, d), y), targets as the likelihood has them.
        features: phi, r of them.
        approximation: q(U), and theta.
        likelihood: of a row.

    Raises:
        NumericalError: the likelihood refuses a target.
    """
    (total,) = accumulate(
        rows, lambda: [_Sum(features, approximation, likelihood)], len(features.landmarks)
    )
    return total.expansion()


class _Sum:
    """A running expansion."""

    def __init__(
        self, features: Features, approximation: Approximation, likelihood: Likelihood
    ) -> None:
        self._features, self._approximation = features, approximation
        self._likelihood = likelihood
        self._count, self._log_likelihood, self._uncovered = 0, 0.0, 0.0
        self._gradient = np.zeros_like(approximation.mean)
        self._curvature = np.zeros(len(pairs(approximation.outputs)))
        self._slopes = np.zeros(len(approximation.parameters))
        self._bends = np.zeros(len(pairs(len(approximation.parameters))))

    def add(self, X: Matrix, y: Vector, scratch: Scratch) -> None:
        q = self._approximation
        (memory,) = scratch.blocks(1, len(X), len(self._gradient))
        Phi = self._features(X, memory)
        residual = np.maximum(self._features.prior_variance(X) - np.vecdot(Phi, Phi), 0.0)
        expected = self._likelihood.expect(y, q.parameters, *q.latent(Phi, residual))
        own = [i for i, (j, k) in enumerate(pairs(q.outputs)) if j == k]
        self._count += len(X)
        self._log_likelihood += float(expected.log_likelihood.sum())
        self._uncovered += float(0.5 * expected.curvature[:, own].sum(axis=1) @ residual)
        self._gradient += Phi.T @ expected.gradient
        self._curvature += q.leverages(Phi) @ expected.curvature
        self._slopes += expected.slopes
        self._bends += expected.bends

    def merge(self, other: Self) -> None:
        self._count += other._count
        self._log_likelihood += other._log_likelihood
        self._uncovered += other._uncovered
        self._gradient += other._gradient
        self._curvature += other._curvature
        self._slopes += other._slopes
        self._bends += other._bends

    def expansion(self) -> Expansion:
        return Expansion(
            self._count,
            self._log_likelihood,
            self._uncovered,
            self._gradient,
            Symmetric(self._approximation.outputs).read(self._curvature),
            self._slopes,
            Symmetric(len(self._slopes)).read(self._bends),
        )

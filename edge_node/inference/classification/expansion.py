"""The classification likelihood to second order, averaged over the current approximation: a sum.

With p = softmax(offsets + Q g) and g the contrasts under q(U), each row adds to

    H        = sum of E_q[Q' (diag p - p p') Q] (x) phi phi'        (q r, q r)
    gradient = sum of phi E_q[(onehot(y) - p)' Q]                   (r, q)

and Lambda = H, eta = H vec U + gradient is the Gaussian message that stands for the likelihood in
the next approximation (Khan & Lin 2017). At zero variance it is Newton's method for Laplace's
approximation (Rasmussen & Williams 2006, algorithm 3.1).
"""

from dataclasses import dataclass
from typing import Self

import numpy as np

from edge_node.arrays import Matrix, Rows, Vector
from edge_node.inference.classification.approximation import Approximation
from edge_node.inference.classification.classes import contrast, one_hot
from edge_node.inference.classification.likelihood import average, pairs, softmax_curvature
from edge_node.inference.features.nystrom import Features
from edge_node.inference.messages.gaussian import Gaussian
from edge_node.inference.messages.statistics import Statistics
from edge_node.inference.numerics.streaming import Scratch, accumulate
from edge_node.inference.numerics.symmetric import SymmetricSum
from edge_node.packing import Layout, Symmetric

__all__ = ["Expansion", "local_expansion"]


@dataclass(frozen=True)
class Expansion:
    """What a sweep sums: the averaged log likelihood to second order. Disjoint rows' add up.

    Attributes:
        log_likelihood: sum of E_q log p(y | g), nats.
        uncovered: u, what the residual costs per unit of amplitude, nats.
        gradient: (r, q), with respect to U.
        curvature: blocks H_jk (q (q + 1) / 2, r, r), j <= k, each symmetric.
    """

    log_likelihood: float
    uncovered: float
    gradient: Matrix
    curvature: Matrix

    @classmethod
    def from_labels(cls, statistics: Statistics, offsets: Vector) -> Self:
        """At U = 0 without variance, from label regression on ``classes.LabelRows``: no sweep.

        There p is the class proportions in every row: the gradient is the regression's eta, and
        H = (Q' (diag p - p p') Q) (x) Phi'Phi.
        """
        proportions = np.exp(offsets)
        entries = softmax_curvature(proportions[None, :])[0]
        trace = sum(e for e, (j, k) in zip(entries, pairs(len(offsets) - 1), strict=True) if j == k)
        return cls(
            float(statistics.count * proportions @ offsets),
            float(0.5 * trace * statistics.uncovered),
            statistics.message.shift,
            entries[:, None, None] * statistics.message.precision,
        )

    def message(self, weights: Matrix) -> Gaussian:
        """Lambda = H, eta = H vec U + gradient, for the U (r, q) at which the sweep was taken."""
        size, q = weights.shape
        H = np.empty((q, size, q, size))
        for block, (j, k) in zip(self.curvature, pairs(q), strict=True):
            H[j, :, k, :] = H[k, :, j, :] = block
        precision = H.reshape(q * size, q * size)
        return Gaussian(precision, precision @ weights.T.ravel() + self.gradient.T.ravel())

    def pack(self) -> Vector:
        """As one vector for ``network.sum``."""
        return _layout(*self.gradient.shape).pack(
            log_likelihood=self.log_likelihood,
            uncovered=self.uncovered,
            gradient=self.gradient,
            curvature=self.curvature,
        )

    @classmethod
    def unpack(cls, vector: Vector, size: int, outputs: int) -> Self:
        """The inverse of ``pack`` for r = ``size`` features and q = ``outputs`` contrasts.

        Raises:
            NumericalError: the vector has another length, or is not finite.
        """
        parts = _layout(size, outputs).unpack(vector)
        return cls(
            parts["log_likelihood"].item(),
            parts["uncovered"].item(),
            parts["gradient"],
            parts["curvature"],
        )


def _layout(size: int, outputs: int) -> Layout:
    """What is summed."""
    return Layout(
        {
            "log_likelihood": (),
            "uncovered": (),
            "gradient": (size, outputs),
            "curvature": Symmetric(size, len(pairs(outputs))),
        }
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
        rows,
        lambda: [_Sum(features, approximation, offsets)],
        len(features.landmarks) * approximation.outputs,
    )
    return total.expansion()


class _Sum:
    """A running expansion."""

    def __init__(self, features: Features, approximation: Approximation, offsets: Vector) -> None:
        size, q = len(features.landmarks), approximation.outputs
        self._features, self._approximation, self._offsets = features, approximation, offsets
        self._log_likelihood, self._uncovered = 0.0, 0.0
        self._gradient = np.zeros((size, q))
        self._diagonal = [SymmetricSum(size) for _ in range(q)]
        self._mixed = {(j, k): np.zeros((size, size)) for j, k in pairs(q) if j != k}

    def add(self, X: Matrix, y: Vector, scratch: Scratch) -> None:
        classes = len(self._offsets)
        memory, scaled = scratch.blocks(2, len(X), len(self._gradient))
        Phi, target = self._features(X, memory), one_hot(y, classes)
        residual = np.maximum(self._features.prior_variance(X) - np.vecdot(Phi, Phi), 0.0)
        expected = average(self._offsets, *self._approximation.latent(Phi, residual))
        self._log_likelihood += float(np.vdot(target, expected.log_probabilities))
        self._gradient += Phi.T @ ((target - expected.probabilities) @ contrast(classes))
        for (j, k), w in zip(pairs(len(self._diagonal)), expected.curvature.T, strict=True):
            if j == k:
                np.multiply(Phi, np.sqrt(np.maximum(w, 0.0))[:, None], out=scaled)
                self._diagonal[j].add(scaled)
                self._uncovered += float(0.5 * w @ residual)
            else:
                self._mixed[j, k] += Phi.T @ np.multiply(Phi, w[:, None], out=scaled)

    def merge(self, other: Self) -> None:
        self._log_likelihood += other._log_likelihood
        self._uncovered += other._uncovered
        self._gradient += other._gradient
        for ours, theirs in zip(self._diagonal, other._diagonal, strict=True):
            ours.merge(theirs)
        for pair, block in self._mixed.items():
            block += other._mixed[pair]

    def expansion(self) -> Expansion:
        curvature = [
            self._diagonal[j].matrix() if j == k else self._mixed[j, k]
            for j, k in pairs(len(self._diagonal))
        ]
        return Expansion(self._log_likelihood, self._uncovered, self._gradient, np.stack(curvature))

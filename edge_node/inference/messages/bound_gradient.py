"""How the collapsed bound changes with the places of the landmarks and with the inputs' lengths.

F is the bound of ``evidence`` at its best noise s2 and amplitude a, where its derivatives in both
are zero: what else it depends on may change as if they were fixed. With G = Phi'Phi, B = Phi'Y,
P = (G + s2 I)^-1 and M = P B, the posterior's mean,

    dF/dG = 1/2 [q P G / s2 - M M' / (a s2)],   dF/dB = M / (a s2),   dF/dp = -q / (2 s2)

with p = sum k(x, x); that t = p - tr G is in dF/dG. Phi = K L^-T, with K = k(X, Z) and K_ZZ = L L',
so that

    W = dF/dK = (2 Phi dF/dG + Y (dF/dB)') L^-1                        (n, r), of a node's own rows
    dF/dK_ZZ  = -1/2 L^-T [q G P G / s2 + M M' / a] L^-1               (r, r), of totals alone

(Titsias 2009, section 3; the last because F depends on K K_ZZ^-1 K' only). Contracted with the
kernel's own derivatives, W gives r d numbers for the landmarks, or d for the lengths. They are sums
over rows: those of disjoint rows add. What K_ZZ contributes is the same at all nodes, and is added
once, to the total.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy.linalg import cho_factor, cho_solve, solve_triangular

from edge_node.arrays import Matrix, Rows, Vector
from edge_node.inference.features.nystrom import Features
from edge_node.inference.messages.evidence import Evidence
from edge_node.inference.messages.statistics import Statistics
from edge_node.inference.numerics.streaming import Scratch, accumulate

__all__ = ["BoundSlopes"]


@dataclass(frozen=True)
class BoundSlopes:
    """The bound's derivatives in what rows and landmarks enter it by: known to all nodes.

    Attributes:
        features: phi, r of them.
        by_features: 2 dF/dG L^-1 (r, r), so that W = Phi by_features + Y by_targets'.
        by_targets: L^-T dF/dB (r, q).
        by_landmarks: dF/dK_ZZ (r, r), symmetric.
        by_power: dF/dp, of the sum of k(x, x).
    """

    features: Features
    by_features: Matrix
    by_targets: Matrix
    by_landmarks: Matrix
    by_power: float

    @classmethod
    def of(cls, features: Features, statistics: Statistics, evidence: Evidence) -> Self:
        """From the federation's totals.

        Args:
            features: phi.
            statistics: the federation's, under ``features``.
            evidence: their best (``best_evidence``). Of another noise and amplitude, or of a noise
                at the end of its range, it is the gradient with both held fixed.
        """
        noise, amplitude, q = evidence.noise, evidence.amplitude, statistics.outputs
        G, L = statistics.message.precision, features.cholesky
        B = statistics.message.shift.reshape(len(G), -1)
        factor = cho_factor(G + noise * np.eye(len(G)), lower=True, check_finite=False)
        PG, M = cho_solve(factor, G), cho_solve(factor, B)
        by_gram = 0.5 * (q * (PG + PG.T) / 2 - M @ M.T / amplitude) / noise
        inner = q * G @ PG / noise + M @ M.T / amplitude
        return cls(
            features,
            _left(L, 2.0 * by_gram).T,
            _left(L, M) / (amplitude * noise),
            -0.25 * _left(L, _left(L, inner + inner.T).T),
            -0.5 * q / noise,
        )

    def row_landmarks(self, rows: Rows) -> Matrix:
        """What a node's rows contribute to ``landmarks``: (r, d), a sum over rows.

        Args:
            rows: the node's, chunks (X (n, d), y (n,) or Y (n, q)).
        """
        (total,) = accumulate(rows, lambda: [_LandmarkSum(self)], len(self.by_landmarks))
        return total.total

    def landmarks(self, total: Matrix) -> Matrix:
        """The bound's gradient in the landmarks, where the metric puts them: (r, d).

        Args:
            total: the federation's sum of ``row_landmarks`` (r, d).
        """
        return total + self._own()

    def row_lengths(self, rows: Rows) -> Vector:
        """What a node's rows contribute to ``lengths``: (d,), a sum over rows.

        Args:
            rows: the node's, chunks (X (n, d), y (n,) or Y (n, q)).
        """
        (total,) = accumulate(rows, lambda: [_LengthSum(self)], len(self.by_landmarks))
        return total.total

    def lengths(self, total: Vector) -> Vector:
        """The bound's gradient in the logarithms of t (d,), at t = 1, if every input x_j, of rows
        and of landmarks, is multiplied by t_j before the metric is applied.

        Args:
            total: the federation's sum of ``row_lengths`` (d,).
        """
        return total + self.stretched(self._own())

    def stretched(self, gradient: Matrix) -> Vector:
        """From a gradient in the landmarks (r, d) to what they contribute to ``lengths`` (d,)."""
        Z, T = self.features.landmarks, self.features.metric
        if T is not None:
            Z, gradient = np.asarray(np.linalg.solve(T, Z.T).T, dtype=np.float64), gradient @ T
        return _columnwise(gradient, Z)

    def weights(self, X: Matrix, Y: Vector, memory: Matrix) -> Matrix:
        """W = dF/dK (n, r) of some rows; ``memory`` (n, r) is overwritten."""
        W: Matrix = self.features(X, memory) @ self.by_features
        W += Y.reshape(len(X), -1) @ self.by_targets.T
        return W

    def _own(self) -> Matrix:
        """What K_ZZ contributes to the gradient in the landmarks (r, d)."""
        Z = self.features.landmarks
        # Each entry depends on two landmarks; on the diagonal these are one, counted twice.
        return 2.0 * self.features.kernel.pair_gradient(Z, Z, self.by_landmarks)


class _LandmarkSum:
    """The running sum of rows' contributions to the gradient in the landmarks."""

    def __init__(self, slopes: BoundSlopes) -> None:
        self._slopes = slopes
        self.total = np.zeros(slopes.features.landmarks.shape)

    def add(self, X: Matrix, Y: Vector, scratch: Scratch) -> None:
        (memory,) = scratch.blocks(1, len(X), len(self.total))
        features, W = self._slopes.features, self._slopes.weights(X, Y, memory)
        self.total += features.kernel.pair_gradient(features.landmarks, features.place(X), W.T)

    def merge(self, other: Self) -> None:
        self.total += other.total


class _LengthSum:
    """The running sum of rows' contributions to the gradient in the inputs' log lengths."""

    def __init__(self, slopes: BoundSlopes) -> None:
        self._slopes = slopes
        self.total = np.zeros(slopes.features.landmarks.shape[1])

    def add(self, X: Matrix, Y: Vector, scratch: Scratch) -> None:
        features, slopes = self._slopes.features, self._slopes
        kernel, Z, T = features.kernel, features.landmarks, features.metric
        (memory,) = scratch.blocks(1, len(X), len(Z))
        placed, W = features.place(X), slopes.weights(X, Y, memory)
        gradient = kernel.pair_gradient(placed, Z, W)
        gradient += slopes.by_power * kernel.diagonal_gradient(placed)
        self.total += _columnwise(gradient if T is None else gradient @ T, X)
        self.total += slopes.stretched(kernel.pair_gradient(Z, placed, W.T))

    def merge(self, other: Self) -> None:
        self.total += other.total


def _columnwise(A: Matrix, B: Matrix) -> Vector:
    """The inner product of each column of A (n, d) with that of B: (d,)."""
    products: Vector = np.einsum("ij,ij->j", A, B)
    return products


def _left(L: Matrix, columns: Matrix) -> Matrix:
    """L^-T times some columns (r, ...)."""
    solved: Matrix = solve_triangular(L, columns, lower=True, trans="T", check_finite=False)
    return solved

"""The uncollapsed bound: one for any Gaussian belief, whose gradient takes no Gram matrix.

The bound of ``evidence`` is the highest over all Gaussians q(u). For another one, q(u) = N(mu, a V)
for each of q targets, it is (Hensman, Fusi & Lawrence 2013, eq. 4)

    F = -1/2 [n q log(2 pi a s2) + (|Y - Phi mu|^2 / a + q tr V G + q t) / s2]
        - 1/2 [|mu|^2 / a + q (tr V - log|V| - r)],          G = Phi'Phi, t = sum k(x, x) - tr G

which every row adds to by itself. With V, a and s2 held, the gradients in mu, in the landmarks and
in the metric are r q, r d and d d numbers, where the collapsed bound's takes r^2 / 2 more at every
place. With Phi = K L^-T, K_ZZ = L L', and res = Y - Phi mu,

    dF/dPhi = res mu' / (a s2) + q Phi (I - V) / s2,       W = dF/dK = dF/dPhi L^-1,
    dF/dL   = -tril(L^-T (dF/dPhi)'Phi)

and dF/dK_ZZ follows from dF/dL (Murray 2016, eq. 10). A node contracts both with the kernel's
derivatives before anything is summed.

Under a short-sighted kernel few rows have a weight W k(z, x) at a landmark, and its gradient points
at them: two places of a landmark near one row are that row. So a node gives a landmark's gradient
only if no row of its own has more of its weight than one of some rows alike would have.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy.linalg import solve_triangular

from edge_node.arrays import Matrix, Rows, Vector
from edge_node.inference.features.metric import MetricKind
from edge_node.inference.features.nystrom import Features
from edge_node.inference.messages.evidence import Evidence
from edge_node.inference.messages.gaussian import cholesky
from edge_node.inference.messages.statistics import Statistics
from edge_node.inference.numerics.hashing import row_hashes
from edge_node.inference.numerics.streaming import Scratch, accumulate
from edge_node.inference.numerics.symmetric import SymmetricSum
from edge_node.packing import Layout

__all__ = ["Belief", "BoundSums", "local_bound", "sums_told"]

_ROUNDING = 1e-9  # of a sum of weights
_ROUNDS = 50  # of noise and amplitude in turn: to six digits and better


@dataclass(frozen=True)
class Belief:
    """A Gaussian q(u) = N(mean, a V) of each target.

    Attributes:
        mean: mu (r, q).
        factor: C (r, r) lower, C C' = V.
        noise: s2, in units of the amplitude.
        amplitude: a, target units squared.
    """

    mean: Matrix
    factor: Matrix
    noise: float
    amplitude: float

    @classmethod
    def foreseen(
        cls, features: Features, coarse: Features, statistics: Statistics, evidence: Evidence
    ) -> Self:
        """What may be believed of new landmarks before any sum over rows is taken on them.

        The mean is what the posterior on other landmarks, under the same metric, says of f at
        these: with phi_c of the coarse features and weights of mean mu_c, L^-1 phi_c(Z) mu_c.
        The covariance is (I + G / s2)^-1, as if the landmarks themselves were the rows, each n / r
        times: their features are L, so that G = L'L n / r. (The coarse posterior's own covariance
        knows nothing of the directions that only the new landmarks have. With it the first steps
        go too far: after 32 moves of 150 landmarks the evidence is lower, on pol by .05 a row.)

        Args:
            features: phi, on the new landmarks.
            coarse: those that the posterior is known on.
            statistics: the federation's sums under them.
            evidence: their noise and amplitude.
        """
        belief = statistics.likelihood(evidence.noise).with_prior()
        values = coarse.at_place()(features.landmarks) @ belief.mean.reshape(belief.size, -1)
        L = features.cholesky
        precision = L.T @ L * (statistics.count / len(L) / evidence.noise)
        precision[np.diag_indices(len(L))] += 1.0
        inverse = _solved(cholesky(precision), np.eye(len(L)))
        factor = cholesky(inverse.T @ inverse)
        return cls(_solved(L, values), factor, evidence.noise, evidence.amplitude)

    @property
    def covariance(self) -> Matrix:
        """V (r, r)."""
        return self.factor @ self.factor.T

    def divergence(self, mean: Matrix) -> float:
        """KL(N(mean, a V) || N(0, a I)) of all targets, nats."""
        trace = np.square(self.factor).sum() - len(self.factor)
        volume = 2.0 * np.log(np.diag(self.factor)).sum()
        apart = np.square(mean).sum() / self.amplitude
        return float(0.5 * (apart + mean.shape[1] * (trace - volume)))


@dataclass(frozen=True)
class BoundSums:
    """What rows add to the uncollapsed bound and to its gradient; sums of disjoint rows add.

    Attributes:
        count: n.
        error: |Y - Phi mu|^2, of all targets (target units squared).
        leverage: tr V G.
        uncovered: t.
        mean: Phi'(Y - Phi mu) (r, q).
        landmarks: the gradient in the landmarks, where the metric puts them, but for what the rows
            don't touch: (r, d).
        metric: the gradient in T (d, d), or in its diagonal (d,); (0,) if it isn't asked for.
    """

    count: float
    error: float
    leverage: float
    uncovered: float
    mean: Matrix
    landmarks: Matrix
    metric: Matrix

    @classmethod
    def unpack(cls, vector: Vector, layout: Layout) -> Self:
        """From a total. Raises NumericalError: of another length, or not finite."""
        parts = layout.unpack(vector)
        return cls(
            parts["count"].item(),
            parts["error"].item(),
            parts["leverage"].item(),
            parts["uncovered"].item(),
            parts["mean"],
            parts["landmarks"],
            parts["metric"],
        )

    def value(self, belief: Belief, mean: Matrix) -> float:
        """F at a place where the belief's mean is ``mean`` (r, q), nats."""
        q, noise, amplitude = mean.shape[1], belief.noise, belief.amplitude
        spread = self.error / amplitude + q * (self.leverage + self.uncovered)
        density = self.count * q * np.log(2 * np.pi * amplitude * noise) + spread / noise
        return float(-0.5 * density) - belief.divergence(mean)

    def slope(self, belief: Belief, mean: Matrix) -> Matrix:
        """F's gradient in the belief's mean, (r, q)."""
        return (self.mean / belief.noise - mean) / belief.amplitude

    def noise(self, belief: Belief, mean: Matrix) -> float:
        """The s2 that is best with its amplitude, for the same means and V."""
        q, noise, amplitude = mean.shape[1], belief.noise, belief.amplitude
        for _ in range(_ROUNDS):
            noise = self.error / (amplitude * q) + self.leverage + self.uncovered
            noise /= self.count
            amplitude = (self.error / noise + np.square(mean).sum()) / (self.count * q)
        return float(noise)


def sums_told(landmarks: int, inputs: int, outputs: int, kind: MetricKind | None) -> Layout:
    """What is summed: r, d and q, and what of the metric is moved."""
    shapes = {None: (0,), MetricKind.DIAGONAL: (inputs,), MetricKind.FULL: (inputs, inputs)}
    return Layout(
        {
            **dict.fromkeys(("count", "error", "leverage", "uncovered"), ()),
            "mean": (landmarks, outputs),
            "landmarks": (landmarks, inputs),
            "metric": shapes[kind],
        }
    )


def local_bound(
    rows: Rows,
    features: Features,
    belief: Belief,
    mean: Matrix,
    kind: MetricKind | None,
    *,
    fewest: int = 1,
) -> BoundSums:
    """What a node's rows add, in one pass.

    Args:
        rows: the node's, chunks (X (n, d), y (n,) or Y (n, q)).
        features: phi, with a square metric unless ``kind`` is None.
        belief: its V, s2 and a.
        mean: mu (r, q), in place of the belief's own.
        kind: what of the gradient in T is asked for.
        fewest: of how many rows alike a landmark's gradient must be, at least; otherwise it is
            zero. Copies among the rows of a chunk count as one.
    """
    (total,) = accumulate(rows, lambda: [_Sum(features, belief, mean, kind)], len(mean))
    return total.sums(fewest)


class _Sum:
    """The running sums."""

    def __init__(
        self, features: Features, belief: Belief, mean: Matrix, kind: MetricKind | None
    ) -> None:
        (size, outputs), inputs = mean.shape, features.landmarks.shape[1]
        self._features, self._belief, self._mean, self._kind = features, belief, mean, kind
        L, scale = features.cholesky, belief.amplitude * belief.noise
        self._spare = outputs * (np.eye(size) - belief.covariance) / belief.noise
        self._by_features = _solved(L, self._spare, transposed=True).T
        self._by_residual = _solved(L, mean, transposed=True) / scale
        self._by_power = -0.5 * outputs / belief.noise
        self._gram, self._numbers = SymmetricSum(size), np.zeros(3)  # count, error, sum k(x, x)
        self._correlation = np.zeros((size, outputs))
        self._landmarks, self._metric = np.zeros((size, inputs)), np.zeros((inputs, inputs))
        self._weights, self._largest = np.zeros((2, size))

    def add(self, X: Matrix, Y: Vector, scratch: Scratch) -> None:
        (memory,) = scratch.blocks(1, len(X), len(self._mean))
        features, kernel = self._features, self._features.kernel
        Phi, placed, Z = features(X, memory), features.place(X), features.landmarks
        residual = Y.reshape(len(X), -1) - Phi @ self._mean
        power = features.prior_variance(X).sum()
        self._numbers += len(X), np.square(residual).sum(), power
        self._gram.add(Phi)
        self._correlation += Phi.T @ residual
        W = Phi @ self._by_features + residual @ self._by_residual.T
        self._landmarks += kernel.pair_gradient(Z, placed, W.T)
        self._weigh(X, np.abs(W * (Phi @ features.cholesky.T)))
        if self._kind is not None:
            gradient = kernel.pair_gradient(placed, Z, W)
            gradient += self._by_power * kernel.diagonal_gradient(placed)
            self._metric += gradient.T @ X

    def _weigh(self, X: Matrix, weights: Matrix) -> None:
        """Add the weights (n, r) of rows X (n, d) at the landmarks."""
        _, row = np.unique(row_hashes(X), return_inverse=True)
        own = np.zeros((row.max(initial=-1) + 1, weights.shape[1]))
        np.add.at(own, row, weights)
        self._weights += own.sum(axis=0)
        self._largest = np.maximum(self._largest, own.max(axis=0, initial=0.0))

    def merge(self, other: Self) -> None:
        self._weights += other._weights
        self._largest = np.maximum(self._largest, other._largest)
        self._numbers += other._numbers
        self._gram.merge(other._gram)
        self._correlation += other._correlation
        self._landmarks += other._landmarks
        self._metric += other._metric

    def sums(self, fewest: int) -> BoundSums:
        """With what the landmarks' kernel matrix adds, where ``fewest`` rows have a weight."""
        G, features, belief = self._gram.matrix(), self._features, self._belief
        count, error, power = self._numbers.tolist()
        products = self._correlation @ self._mean.T / (belief.amplitude * belief.noise)
        products += G @ self._spare  # Phi'(dF/dPhi)
        by_landmarks = _through_cholesky(features.cholesky, products)
        Z = features.landmarks
        own = 2.0 * features.kernel.pair_gradient(Z, Z, by_landmarks)
        given = fewest * self._largest <= self._weights * (1.0 + _ROUNDING)
        return BoundSums(
            count,
            error,
            float(np.vdot(belief.covariance, G)),
            max(power - float(np.trace(G)), 0.0),
            self._correlation,
            np.where(given[:, None], self._landmarks + own, 0.0),
            self._asked(),
        )

    def _asked(self) -> Matrix:
        if self._kind is None:
            return np.zeros(0)
        return self._metric if self._kind is MetricKind.FULL else np.diag(self._metric).copy()


def _through_cholesky(L: Matrix, products: Matrix) -> Matrix:
    """dF/dK_ZZ (r, r), symmetric, from Phi'(dF/dPhi) (r, r)."""
    by_factor = np.tril(-_solved(L, products.T, transposed=True))
    inner = np.tril(L.T @ by_factor)
    inner[np.diag_indices(len(L))] *= 0.5
    half = _solved(L, _solved(L, inner, transposed=True).T, transposed=True)
    gradient: Matrix = 0.5 * (half + half.T)
    return gradient


def _solved(L: Matrix, columns: Matrix, *, transposed: bool = False) -> Matrix:
    """L^-1 or L^-T times some columns (r, ...)."""
    triangle = L.T if transposed else L
    solved: Matrix = solve_triangular(triangle, columns, lower=not transposed, check_finite=False)
    return solved

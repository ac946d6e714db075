"""Classification: Laplace's approximation by Newton's method, one sum over the federation a step.

Model: contrasts g(x) = U'phi(x) (q = C - 1 of them, ``classes.contrast``), U ~ N(0, a I),
p = softmax(offsets + Q g). At the current U, the log likelihood is replaced by its second-order
expansion, and that is a Gaussian message over vec U again:

    Lambda = H = sum over rows of (Q' (diag p - p p') Q) (x) phi phi',     eta = H vec U + gradient

so a Newton step is the posterior mean under the product of all messages and the prior, and

    log Z(a) = l - gradient'vec U - 1/2 vec U' H vec U + 1/2 eta' (H + I/a)^-1 eta - 1/2 log|I + a H|

is the evidence of that expansion: Laplace's, at the mode (Rasmussen & Williams 2006, eq. 3.32). One
eigendecomposition of H gives it for every a, so the amplitude is chosen on the way, for nothing.
vec U runs over contrasts first, then features. Which features those are is fixed by the Cholesky
factor of K_ZZ, which all nodes share, so U itself may be shared.
"""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from scipy.special import log_softmax

from edge_node.errors import NumericalError
from edge_node.inference.arrays import Matrix, Rows, Vector
from edge_node.inference.classes import contrast, one_hot
from edge_node.inference.evidence import maximum
from edge_node.inference.features import Features
from edge_node.inference.gaussian import pack_symmetric, packed_size, unpack_symmetric
from edge_node.inference.statistics import Statistics, SymmetricSum, blocks

__all__ = ["NewtonState", "NewtonStatistics", "NewtonStep", "newton_statistics", "newton_step"]

AMPLITUDE_RANGE = (1e-4, 1e4)
"""Prior variances of a contrast considered. The ceiling (100 logits of sd) is for separable data."""

EVIDENCE_TOLERANCE = 1e-3
"""Nats. Once the best amplitude would gain less, it stays, and Newton's method converges
quadratically to the mode for it."""

DECREMENT_TOLERANCE = 1e-8
"""A Newton decrement (squared length of the step in posterior sd) below which the step reaches the
mode: its error is of the order of the decrement."""

HALVINGS = 20
"""After so many, the step is shorter than rounding."""


@dataclass(frozen=True)
class NewtonStatistics:
    """The second-order expansion of some rows' log likelihood at U; those of disjoint rows add.

    Attributes:
        log_likelihood: l, in nats.
        gradient: dl/dU (r, q).
        curvature: blocks H_jk (q (q + 1) / 2, r, r) for j <= k, each symmetric.
    """

    log_likelihood: float
    gradient: Matrix
    curvature: Matrix

    def __add__(self, other: Self) -> Self:
        """The expansion for both sets of rows."""
        return type(self)(
            self.log_likelihood + other.log_likelihood,
            self.gradient + other.gradient,
            self.curvature + other.curvature,
        )

    def hessian(self) -> Matrix:
        """H (q r, q r), positive semi-definite."""
        size, outputs = self.gradient.shape
        H = np.empty((outputs, size, outputs, size))
        for block, (j, k) in zip(self.curvature, _pairs(outputs), strict=True):
            H[j, :, k, :] = H[k, :, j, :] = block
        return H.reshape(outputs * size, outputs * size)

    def pack(self) -> Vector:
        """As one vector for ``network.sum``."""
        triangles = [pack_symmetric(block) for block in self.curvature]
        return np.concatenate([[self.log_likelihood], self.gradient.ravel(), *triangles])

    @classmethod
    def unpack(cls, vector: Vector, size: int, outputs: int) -> Self:
        """The inverse of ``pack`` for r = ``size`` features. Raises NumericalError."""
        triangle, pairs = packed_size(size), len(_pairs(outputs))
        expected = 1 + size * outputs + pairs * triangle
        if vector.shape != (expected,):
            raise NumericalError(
                "packed Newton statistics have the wrong length",
                expected=f"{expected} numbers for {size} features, {outputs} contrasts",
                found=str(vector.shape),
            )
        gradient = vector[1 : 1 + size * outputs].reshape(size, outputs).copy()
        triangles = vector[1 + size * outputs :].reshape(pairs, triangle)
        curvature = np.stack([unpack_symmetric(part, size) for part in triangles])
        return cls(float(vector[0]), gradient, curvature)

    @classmethod
    def from_labels(cls, statistics: Statistics, offsets: Vector) -> Self:
        """The expansion at U = 0, from label regression (``classes.LabelRows``): no sweep needed.

        There p is the class proportions in every row: the gradient is the regression's eta, and
        H = (Q' (diag p - p p') Q) (x) Phi'Phi.
        """
        proportions = np.exp(offsets)
        weights = _weights(proportions[None, :])
        return cls(
            float(statistics.count * proportions @ offsets),
            statistics.message.shift,
            weights.T[:, :, None] * statistics.message.precision,
        )


@dataclass(frozen=True)
class NewtonStep:
    """Where the expansion's posterior is.

    Attributes:
        weights: its mean U (r, q), for ``amplitude``.
        amplitude: a.
        log_evidence: log Z(a), nats.
        decrement: squared length of the step, in posterior standard deviations.
        settled: the amplitude is as good as the best one, within ``EVIDENCE_TOLERANCE``.
    """

    weights: Matrix
    amplitude: float
    log_evidence: float
    decrement: float
    settled: bool

    @property
    def converged(self) -> bool:
        """``weights`` is the mode, and the expansion's curvature that at the mode."""
        return self.settled and self.decrement < DECREMENT_TOLERANCE


def newton_statistics(
    rows: Rows, features: Features, weights: Matrix, offsets: Vector
) -> NewtonStatistics:
    """The expansion of this node's log likelihood at U = ``weights``, in one pass.

    Args:
        rows: chunks (X (n, d), y (n,) class indices).
        features: phi, r of them.
        weights: U (r, q), q = C - 1.
        offsets: fixed means of the classes' logits (C,).

    Raises:
        NumericalError: a target is not a class index.
    """
    size, outputs = weights.shape
    Q = contrast(len(offsets))
    log_likelihood, gradient = 0.0, np.zeros_like(weights)
    diagonal = [SymmetricSum(size) for _ in range(outputs)]
    mixed = {pair: np.zeros((size, size)) for pair in _pairs(outputs) if pair[0] != pair[1]}
    for X, y in blocks(rows):
        Phi = features(X)
        log_p = log_softmax(offsets + Phi @ weights @ Q.T, axis=1)
        p, target = np.exp(log_p), one_hot(y, len(offsets))
        log_likelihood += float(np.vdot(target, log_p))
        gradient += Phi.T @ ((target - p) @ Q)
        for (j, k), w in zip(_pairs(outputs), _weights(p).T, strict=True):
            if j == k:
                diagonal[j].add(Phi * np.sqrt(np.maximum(w, 0.0))[:, None])
            else:
                mixed[j, k] += Phi.T @ (Phi * w[:, None])
    curvature = [diagonal[j].matrix() if j == k else mixed[j, k] for j, k in _pairs(outputs)]
    return NewtonStatistics(log_likelihood, gradient, np.stack(curvature))


def newton_step(
    statistics: NewtonStatistics, weights: Matrix, amplitude: float, prior_scale: float
) -> NewtonStep:
    """The posterior of the expansion, with the amplitude its evidence prefers.

    Args:
        statistics: the whole federation's, at U = ``weights``.
        weights: U (r, q).
        amplitude: the current a; kept where no other gains ``EVIDENCE_TOLERANCE``.
        prior_scale: the mean of k(x, x), the unit of the range searched.

    Raises:
        NumericalError: the statistics are not finite.
    """
    if not np.isfinite(statistics.pack()).all():
        raise NumericalError("the summed Newton statistics hold values that are not finite")
    H, u, gradient = statistics.hessian(), _flat(weights), _flat(statistics.gradient)
    eigenvalues, V = np.linalg.eigh(H)
    w = np.maximum(eigenvalues, 0.0)
    c = w * (V.T @ u) + V.T @ gradient  # V' eta

    def log_evidence(a: float) -> float:
        return float(0.5 * (c**2 * a / (1 + a * w)).sum() - 0.5 * np.log1p(a * w).sum())

    def slope(a: float) -> float:
        return float(0.5 * (c**2 * a / (1 + a * w) ** 2).sum() - 0.5 * (w / (w + 1 / a)).sum())

    lower, upper = (bound / prior_scale for bound in AMPLITUDE_RANGE)
    best = maximum(log_evidence, slope, lower, upper)
    settled = log_evidence(best) - log_evidence(amplitude) < EVIDENCE_TOLERANCE
    a = amplitude if settled else best
    projected = c / (w + 1 / a)
    step = projected - V.T @ u
    constant = statistics.log_likelihood - gradient @ u - 0.5 * (w * (V.T @ u) ** 2).sum()
    return NewtonStep(
        (V @ projected).reshape(weights.shape[::-1]).T,
        a,
        float(constant) + log_evidence(a),
        float((step**2 * (w + 1 / a)).sum()),
        settled,
    )


@dataclass(frozen=True)
class NewtonState:
    """Where Newton's method is: taken on by one total a step, ``advance`` a pure function of it.

    The root advances and shares ``pack()``; nobody else needs an eigendecomposition.

    Attributes:
        weights: U (r, q), where the next sweep expands; the mode, once ``converged``.
        amplitude: a, for ``weights``.
        prior_scale: the mean of k(x, x).
        log_evidence: of the newest expansion, nats.
        accepted: the U of the newest expansion (r, q).
        accepted_log_likelihood: l there.
        halvings: how often the step from ``accepted`` to ``weights`` was halved.
        converged: ``weights`` is the mode for ``amplitude``.
    """

    weights: Matrix
    amplitude: float
    prior_scale: float
    log_evidence: float
    accepted: Matrix
    accepted_log_likelihood: float
    halvings: int = 0
    converged: bool = False

    @classmethod
    def start(cls, size: int, outputs: int, prior_scale: float) -> Self:
        """U = 0: the classes' proportions everywhere. ``prior_scale`` is the mean of k(x, x)."""
        zero = np.zeros((size, outputs))
        return cls(zero, 1 / prior_scale, prior_scale, -np.inf, zero, -np.inf)

    def advance(self, statistics: NewtonStatistics) -> Self:
        """The next state, given the federation's statistics at ``weights``.

        If the posterior density at ``weights`` is lower than at ``accepted``, the step was too
        long: halve it. Newton's direction ascends, so that ends.
        """
        before = self._log_posterior(self.accepted_log_likelihood, self.accepted)
        now = self._log_posterior(statistics.log_likelihood, self.weights)
        if now < before - 1e-9 * abs(before) and self.halvings < HALVINGS:
            middle = 0.5 * (self.weights + self.accepted)
            return replace(self, weights=middle, halvings=self.halvings + 1)
        step = newton_step(statistics, self.weights, self.amplitude, self.prior_scale)
        return type(self)(
            step.weights,
            step.amplitude,
            self.prior_scale,
            step.log_evidence,
            self.weights,
            statistics.log_likelihood,
            0,
            step.converged,
        )

    def _log_posterior(self, log_likelihood: float, weights: Matrix) -> float:
        return log_likelihood - 0.5 * float(np.vdot(weights, weights)) / self.amplitude

    def pack(self) -> Vector:
        """As one vector, to be shared by the root."""
        head = [self.amplitude, self.prior_scale, self.log_evidence, self.accepted_log_likelihood]
        flags = [float(self.halvings), float(self.converged)]
        return np.concatenate([head, flags, self.weights.ravel(), self.accepted.ravel()])

    @classmethod
    def unpack(cls, vector: Vector, size: int, outputs: int) -> Self:
        """The inverse of ``pack``. Raises NumericalError."""
        if vector.shape != (6 + 2 * size * outputs,):
            raise NumericalError(
                "a packed Newton state has the wrong length",
                expected=str(6 + 2 * size * outputs),
                found=str(vector.shape),
            )
        amplitude, scale, log_evidence, log_likelihood, halvings, converged = vector[:6].tolist()
        weights, accepted = vector[6:].reshape(2, size, outputs).copy()
        return cls(
            weights,
            amplitude,
            scale,
            log_evidence,
            accepted,
            log_likelihood,
            round(halvings),
            bool(converged),
        )


def _pairs(outputs: int) -> list[tuple[int, int]]:
    """The blocks (j, k), j <= k, in the order in which they travel."""
    return [(j, k) for j in range(outputs) for k in range(j, outputs)]


def _weights(p: Matrix) -> Matrix:
    """The distinct entries of Q' (diag p - p p') Q for each row of p (n, C): (n, q (q + 1) / 2)."""
    Q = contrast(p.shape[1])
    mean = p @ Q
    columns = [p @ (Q[:, j] * Q[:, k]) - mean[:, j] * mean[:, k] for j, k in _pairs(Q.shape[1])]
    return np.stack(columns, axis=1)


def _flat(U: Matrix) -> Vector:
    """vec U: contrasts first, then features."""
    return U.T.ravel()

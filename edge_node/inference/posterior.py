"""The posterior that every node ends up with: predictions with an uncertainty, at any inputs.

Regression (Titsias 2009, eq. 6; DESIGN section 1), with G = Phi'Phi and b = Phi'y summed over the
federation and B = G + s2 I:

    mean     = phi' B^-1 b
    variance = a [(k(x, x) - phi'phi) + s2 phi' B^-1 phi]

Both parts of the variance are computed as nonnegative numbers: never negative, by construction.
The first is what landmarks don't cover, the second what the data left open. Classification adds the
same two parts to each contrast of the latent function and averages the softmax over it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve, solve_triangular

from edge_node.errors import DataError, NumericalError
from edge_node.inference.arrays import Matrix, Vector
from edge_node.inference.classes import average_softmax, contrast
from edge_node.inference.evidence import Evidence
from edge_node.inference.features import Features
from edge_node.inference.gaussian import cholesky
from edge_node.inference.laplace import NewtonState, NewtonStatistics
from edge_node.inference.statistics import Statistics

__all__ = ["ClassPosterior", "Posterior", "solve", "solve_classes"]

Arrays = Mapping[str, NDArray[Any]]

BATCH_ROWS = 1024
"""Rows predicted at a time, so that memory doesn't grow with their number."""


@dataclass(frozen=True)
class Posterior:
    """A Gaussian-process posterior for regression.

    Attributes:
        features: phi, r of them.
        weights: B^-1 b (r,).
        factor: L (r, r) lower, L L' = B = G + s2 I.
        amplitude: a.
        noise: s2.
        log_evidence: the collapsed bound, nats.
    """

    features: Features
    weights: Vector
    factor: Matrix
    amplitude: float
    noise: float
    log_evidence: float

    @property
    def noise_variance(self) -> float:
        """a s2, the variance of a new observation around f, in target units squared."""
        return self.amplitude * self.noise

    def predict(self, X: Matrix) -> tuple[Vector, Vector]:
        """Mean (n,) and variance (n,) of the function f at X (n, d); noise is not included.

        Raises:
            DataError: X is not finite.
        """
        mean, variance = np.empty(len(X)), np.empty(len(X))
        for part in _batches(X):
            Phi, uncovered = _covered(self.features, X[part])
            white = _whiten(self.factor, Phi.T)
            mean[part] = Phi @ self.weights
            variance[part] = self.amplitude * (uncovered + self.noise * np.square(white).sum(0))
        return mean, variance

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Everything but the features, for ``numpy.savez``."""
        numbers = np.array([self.amplitude, self.noise, self.log_evidence])
        return {"weights": self.weights, "factor": self.factor, "numbers": numbers}

    @classmethod
    def from_arrays(cls, arrays: Arrays, features: Features) -> Self:
        """The inverse of ``to_arrays``."""
        amplitude, noise, log_evidence = arrays["numbers"].tolist()
        return cls(features, arrays["weights"], arrays["factor"], amplitude, noise, log_evidence)


def solve(statistics: Statistics, features: Features, evidence: Evidence) -> Posterior:
    """The regression posterior, from the federation's statistics and the noise chosen for them.

    Raises:
        NumericalError: G + s2 I is not positive definite.
    """
    message = statistics.message
    B = message.precision + evidence.noise * np.eye(message.size)
    factor = cholesky(B, what="posterior precision")
    weights = cho_solve((factor, True), message.shift, check_finite=False)
    return Posterior(
        features, weights, factor, evidence.amplitude, evidence.noise, evidence.log_evidence
    )


@dataclass(frozen=True)
class ClassPosterior:
    """Laplace's approximation of a Gaussian-process classifier's posterior.

    Attributes:
        features: phi, r of them.
        weights: the mode U (r, q), q = C - 1 contrasts.
        factor: L (q r, q r) lower, L L' = H + I / a.
        offsets: fixed means of the logits (C,).
        amplitude: a.
        log_evidence: Laplace's, nats.
    """

    features: Features
    weights: Matrix
    factor: Matrix
    offsets: Vector
    amplitude: float
    log_evidence: float

    def latent(self, X: Matrix) -> tuple[Matrix, Matrix]:
        """Mean (n, q) and covariance (n, q, q) of the contrasts at X (n, d).

        Raises:
            DataError: X is not finite.
        """
        Phi, uncovered = _covered(self.features, X)
        rows, outputs = len(X), self.weights.shape[1]
        size = len(self.weights)
        white = np.zeros((outputs, outputs * size, rows))
        for j in range(outputs):
            white[j, j * size : (j + 1) * size] = Phi.T
            white[j] = _whiten(self.factor, white[j])
        covariance = np.einsum("jin,kin->njk", white, white, optimize=True)
        covariance += self.amplitude * uncovered[:, None, None] * np.eye(outputs)
        return Phi @ self.weights, covariance

    def predict_proba(self, X: Matrix) -> Matrix:
        """Class probabilities (n, C) at X (n, d), averaged over the posterior; rows sum to one.

        Raises:
            DataError: X is not finite.
        """
        probabilities = np.empty((len(X), len(self.offsets)))
        Q = contrast(len(self.offsets))
        for part in _batches(X):
            mean, covariance = self.latent(X[part])
            probabilities[part] = average_softmax(self.offsets + mean @ Q.T, covariance)
        return probabilities

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Everything but the features, for ``numpy.savez``."""
        return {
            "weights": self.weights,
            "factor": self.factor,
            "offsets": self.offsets,
            "numbers": np.array([self.amplitude, self.log_evidence]),
        }

    @classmethod
    def from_arrays(cls, arrays: Arrays, features: Features) -> Self:
        """The inverse of ``to_arrays``."""
        amplitude, log_evidence = arrays["numbers"].tolist()
        parts = (arrays[name] for name in ("weights", "factor", "offsets"))
        return cls(features, *parts, amplitude, log_evidence)


def solve_classes(
    statistics: NewtonStatistics, state: NewtonState, features: Features, offsets: Vector
) -> ClassPosterior:
    """The classification posterior, from the last Newton sweep and the state it led to.

    Raises:
        NumericalError: no Newton step was taken, or H + I / a is not positive definite.
    """
    if not np.isfinite(state.log_evidence):
        raise NumericalError("no Newton step was taken", remedy="Advance the state first")
    H = statistics.hessian()
    factor = cholesky(H + np.eye(len(H)) / state.amplitude, what="posterior precision")
    return ClassPosterior(
        features, state.weights, factor, offsets, state.amplitude, state.log_evidence
    )


def _batches(X: Matrix) -> Iterator[slice]:
    for start in range(0, len(X), BATCH_ROWS):
        yield slice(start, start + BATCH_ROWS)


def _covered(features: Features, X: Matrix) -> tuple[Matrix, Vector]:
    """Phi (n, r) and k(x, x) - phi'phi (n,), not negative (rounding is cut off)."""
    if not np.isfinite(X).all():
        raise DataError("an encoded input is not finite", expected="finite numbers", where="X")
    Phi = features(X)
    return Phi, np.maximum(features.prior_variance(X) - np.square(Phi).sum(axis=1), 0.0)


def _whiten(factor: Matrix, columns: Matrix) -> Matrix:
    """L^-1 columns."""
    white: Matrix = solve_triangular(factor, columns, lower=True, check_finite=False)
    return white

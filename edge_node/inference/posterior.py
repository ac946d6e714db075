"""The posterior that every node ends up with: predictions with an uncertainty, at any inputs.

Regression (Titsias 2009, eq. 6; DESIGN section 1), with G = Phi'Phi and b = Phi'y summed over the
federation and B = G + s2 I:

    mean     = phi' B^-1 b
    variance = a [(k(x, x) - phi'phi) + s2 phi' B^-1 phi]

Both parts of the variance are computed as nonnegative numbers: never negative, by construction.
The first is what landmarks don't cover, the second what the data left open. In classification the
latent function's variance has the same two parts, and the softmax is averaged over it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve

from edge_node.errors import DataError
from edge_node.inference.approximation import Approximation
from edge_node.inference.arrays import Matrix, Vector
from edge_node.inference.blas import solve_rows
from edge_node.inference.evidence import Evidence
from edge_node.inference.features import Features
from edge_node.inference.gaussian import Gaussian, cholesky
from edge_node.inference.kernels import kernel_from_json, kernel_to_json
from edge_node.inference.likelihood import average
from edge_node.inference.prediction import FastPredictor
from edge_node.inference.statistics import Statistics
from edge_node.inference.streaming import in_parts

__all__ = ["ClassPosterior", "Posterior", "solve"]

Arrays = Mapping[str, NDArray[Any]]


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
        """The variance a s2 of a new observation around f, in target units squared."""
        return self.amplitude * self.noise

    def predict(self, X: Matrix) -> tuple[Vector, Vector]:
        """Mean (n,) and variance (n,) of the function f at X (n, d); noise is not included.

        Raises:
            DataError: X is not finite.
        """
        _check(X)
        predict = self._exactly if self._fast is None else partial(self._quickly, self._fast)
        mean, variance = in_parts(predict, X)
        return mean, self.amplitude * variance

    def _quickly(self, fast: FastPredictor, X: Matrix) -> tuple[Vector, Vector]:
        """Mean and variance for a = 1."""
        mean, variance, kept = fast(X)
        if not kept.all():
            mean[~kept], variance[~kept] = self._exactly(X[~kept])
        return mean, variance

    def _exactly(self, X: Matrix) -> tuple[Vector, Vector]:
        """The same, with a variance that is a sum of two squares."""
        Phi, uncovered = _covered(self.features, X)
        mean = Phi @ self.weights
        solve_rows(self.factor, Phi)
        return mean, uncovered + self.noise * np.vecdot(Phi, Phi)

    @cached_property
    def _fast(self) -> FastPredictor | None:
        """Where it keeps its digits."""
        return FastPredictor.of(self.features, self.weights, self.factor, self.noise)

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Everything, for ``numpy.savez``: no pickles."""
        return {
            **_features_to_arrays(self.features),
            "weights": self.weights,
            "factor": self.factor,
            "numbers": np.array([self.amplitude, self.noise, self.log_evidence]),
        }

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> Self:
        """The inverse of ``to_arrays``. Raises KeyError or ValueError for anything else."""
        features = _features_from_arrays(arrays)
        return cls(features, arrays["weights"], arrays["factor"], *arrays["numbers"].tolist())


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
    """A Gaussian-process classifier's variational posterior.

    Attributes:
        features: phi, r of them.
        approximation: q(U) over the weights of q = C - 1 contrasts.
        offsets: fixed means of the logits (C,).
        log_evidence: the bound, nats.
        allowance: so much of k(x, x) - phi'phi the approximation has accounted for already, as
            noise of the labels (`edge_node.inference.noisy_classes`).
    """

    features: Features
    approximation: Approximation
    offsets: Vector
    log_evidence: float
    allowance: float = 0.0

    def latent(self, X: Matrix) -> tuple[Matrix, Matrix]:
        """Mean (n, q) and covariance (n, q, q) of the contrasts at X (n, d).

        Raises:
            DataError: X is not finite.
        """
        _check(X)
        Phi, uncovered = _covered(self.features, X)
        return self.approximation.latent(Phi, self.unaccounted(uncovered))

    def unaccounted(self, uncovered: Vector) -> Vector:
        """What ``uncovered``, k(x, x) - phi'phi (n,), has beyond the allowance; not negative."""
        return np.maximum(uncovered - self.allowance, 0.0)

    def predict_proba(self, X: Matrix) -> Matrix:
        """Class probabilities (n, C) at X (n, d), averaged over the posterior; rows sum to one.

        Raises:
            DataError: X is not finite.
        """

        def probabilities(X: Matrix) -> tuple[Matrix]:
            return (average(self.offsets, *self.latent(X)).probabilities,)

        return in_parts(probabilities, X)[0]

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Everything, for ``numpy.savez``: no pickles."""
        message = self.approximation.message
        return {
            **_features_to_arrays(self.features),
            "precision": message.precision,
            "shift": message.shift,
            "offsets": self.offsets,
            "numbers": np.array([self.approximation.amplitude, self.log_evidence, self.allowance]),
        }

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> Self:
        """The inverse of ``to_arrays``. Raises KeyError or ValueError for anything else."""
        amplitude, log_evidence, *allowance = arrays["numbers"].tolist()  # none in older files
        message = Gaussian(arrays["precision"], arrays["shift"])
        approximation = Approximation(message, amplitude, len(arrays["offsets"]) - 1)
        features, offsets = _features_from_arrays(arrays), arrays["offsets"]
        return cls(features, approximation, offsets, log_evidence, *allowance)


def _features_to_arrays(features: Features) -> dict[str, NDArray[Any]]:
    """The kernel, the landmarks and their factor."""
    metric = {} if features.metric is None else {"metric": features.metric}
    return {
        **metric,
        "kernel": np.array(kernel_to_json(features.kernel)),
        "landmarks": features.landmarks,
        "cholesky": features.cholesky,
    }


def _features_from_arrays(arrays: Arrays) -> Features:
    kernel = kernel_from_json(arrays["kernel"].item())
    return Features(kernel, arrays["landmarks"], arrays["cholesky"], arrays.get("metric"))


def _check(X: Matrix) -> None:
    if not np.isfinite(X).all():
        raise DataError("an encoded input is not finite", expected="finite numbers", where="X")


def _covered(features: Features, X: Matrix) -> tuple[Matrix, Vector]:
    """Phi (n, r) and k(x, x) - phi'phi (n,), not negative (rounding is cut off)."""
    Phi = features(X)
    return Phi, np.maximum(features.prior_variance(X) - np.vecdot(Phi, Phi), 0.0)

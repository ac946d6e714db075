"""The posterior that every node ends up with: predictions with an uncertainty, at any inputs.

Regression (Titsias 2009, eq. 6; DESIGN section 1), with G = Phi'Phi and b = Phi'y summed over the
federation and B = G + s2 I:

    mean     = phi' B^-1 b
    variance = a [(k(x, x) - phi'phi) + s2 phi' B^-1 phi]

Both parts of the variance are computed as nonnegative numbers: never negative, by construction.
The first is what landmarks don't cover, the second what the data left open.
"""

from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve

from edge_node.arrays import Matrix, Vector
from edge_node.inference.features.nystrom import Arrays, Features, check_finite
from edge_node.inference.messages.evidence import Evidence
from edge_node.inference.messages.gaussian import cholesky
from edge_node.inference.messages.statistics import Statistics
from edge_node.inference.numerics.blas import solve_rows
from edge_node.inference.numerics.streaming import in_parts
from edge_node.inference.regression.prediction import FastPredictor

__all__ = ["Posterior", "solve"]


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
        check_finite(X)
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
        Phi, uncovered = self.features.covered(X)
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
            **self.features.to_arrays(),
            "weights": self.weights,
            "factor": self.factor,
            "numbers": np.array([self.amplitude, self.noise, self.log_evidence]),
        }

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> Self:
        """The inverse of ``to_arrays``. Raises KeyError or ValueError for anything else."""
        features = Features.from_arrays(arrays)
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

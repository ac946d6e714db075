"""A classifier's posterior: probabilities at any inputs, averaged over what is not known.

The contrasts' variance has the two parts of a regression's (`inference.regression.posterior`):
what landmarks don't cover, and what the data left open. The softmax is averaged over both.
"""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from edge_node.arrays import Matrix, Vector
from edge_node.inference.classification.approximation import Approximation
from edge_node.inference.classification.likelihood import average
from edge_node.inference.features.nystrom import Arrays, Features, check_finite
from edge_node.inference.numerics.eigenbasis import Eigenbasis
from edge_node.inference.numerics.streaming import in_parts

__all__ = ["ClassPosterior"]


@dataclass(frozen=True)
class ClassPosterior:
    """A Gaussian-process classifier's variational posterior.

    Attributes:
        features: phi, r of them.
        approximation: q(U) over the weights of q = C - 1 contrasts.
        offsets: fixed means of the logits (C,).
        log_evidence: the bound, nats.
        allowance: how much of k(x, x) - phi'phi the approximation has already accounted for, as
            noise of the labels (`edge_node.inference.private.noisy_classification`).
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
        check_finite(X)
        Phi, uncovered = self.features.covered(X)
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
        q = self.approximation
        return {
            **self.features.to_arrays(),
            "mean": q.mean,
            "curvature": q.curvature,
            "gram_values": q.gram.values,
            "gram_vectors": q.gram.vectors,
            "offsets": self.offsets,
            "numbers": np.array([q.amplitude, self.log_evidence, self.allowance]),
        }

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> Self:
        """The inverse of ``to_arrays``. Raises KeyError or ValueError for anything else."""
        amplitude, log_evidence, allowance = arrays["numbers"].tolist()
        gram = Eigenbasis(arrays["gram_values"], arrays["gram_vectors"])
        approximation = Approximation(arrays["mean"], arrays["curvature"], gram, amplitude)
        features, offsets = Features.from_arrays(arrays), arrays["offsets"]
        return cls(features, approximation, offsets, log_evidence, allowance)

"""The posterior of one latent function, and the likelihood through which it is seen.

As a regression's, its variance has two parts: what landmarks don't cover, and what the rows left
open. What is predicted is the likelihood, averaged over both.
"""

from dataclasses import dataclass
from typing import Any, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from edge_node.arrays import Matrix, Vector
from edge_node.inference.classification.approximation import Approximation
from edge_node.inference.features.nystrom import Arrays, Features, check_finite
from edge_node.inference.likelihoods.counts import Counts
from edge_node.inference.likelihoods.ordinal import Ordinal
from edge_node.inference.likelihoods.survival import Times
from edge_node.inference.numerics.eigenbasis import Eigenbasis
from edge_node.inference.numerics.streaming import in_parts

__all__ = ["AnyLikelihood", "LatentPosterior"]

AnyLikelihood: TypeAlias = Counts | Ordinal | Times

_KINDS: dict[str, type[AnyLikelihood]] = {"counts": Counts, "ordinal": Ordinal, "times": Times}


@dataclass(frozen=True)
class LatentPosterior:
    """A Gaussian process's variational posterior under a likelihood of one latent function.

    Attributes:
        features: phi, r of them.
        approximation: q(U) over the weights (r, 1), and the likelihood's parameters.
        likelihood: of a row.
        log_evidence: the bound, nats.
    """

    features: Features
    approximation: Approximation
    likelihood: AnyLikelihood
    log_evidence: float

    @property
    def parameters(self) -> Vector:
        """The likelihood's theta (h,)."""
        return self.approximation.parameters

    def latent(self, X: Matrix) -> tuple[Vector, Vector]:
        """Mean (n,) and variance (n,) of the latent function at X (n, d).

        Raises:
            DataError: X is not finite.
        """
        check_finite(X)

        def moments(X: Matrix) -> tuple[Vector, Vector]:
            mean, covariance = self.approximation.latent(*self.features.covered(X))
            return mean[:, 0], covariance[:, 0, 0]

        mean, variance = in_parts(moments, X)
        return mean, variance

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Everything, for ``numpy.savez``: no pickles."""
        q, likelihood = self.approximation, self.likelihood.to_dict()
        return {
            **self.features.to_arrays(),
            "mean": q.mean,
            "curvature": q.curvature,
            "gram_values": q.gram.values,
            "gram_vectors": q.gram.vectors,
            "parameters": q.parameters,
            "numbers": np.array([q.amplitude, self.log_evidence]),
            **{f"likelihood_{name}": np.array(value) for name, value in likelihood.items()},
        }

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> Self:
        """The inverse of ``to_arrays``. Raises KeyError or ValueError for anything else."""
        amplitude, log_evidence = arrays["numbers"].tolist()
        gram = Eigenbasis(arrays["gram_values"], arrays["gram_vectors"])
        approximation = Approximation(
            arrays["mean"], arrays["curvature"], gram, amplitude, arrays["parameters"]
        )
        facts = {
            name.removeprefix("likelihood_"): value.tolist()
            for name, value in arrays.items()
            if name.startswith("likelihood_")
        }
        likelihood = _KINDS[facts["kind"]].from_dict(facts)
        return cls(Features.from_arrays(arrays), approximation, likelihood, log_evidence)

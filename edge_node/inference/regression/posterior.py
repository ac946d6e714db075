"""The regression posterior that every node ends up with: predictions with an uncertainty, anywhere.

With u ~ N(0, a I) the weights of the features phi, and (Lambda, eta) the product of all rows'
messages in units that include the noise (docs/model.md),

    u | rows    ~ N(mu, a (I + Lambda)^-1),      mu = (I + Lambda)^-1 eta,
    mean(x)     = phi'mu
    variance(x) = a [(k(x, x) - phi'phi) + phi'(I + Lambda)^-1 phi].

Both parts of the variance are computed as nonnegative numbers, so it is never negative. The first
is what the landmarks don't cover, the second what the rows leave open.

Which model this is the posterior of depends on the messages. With those of ``conditional``
(Lambda = Phi'R^-1 Phi, R the diagonal of what the landmarks don't cover, plus s2) it is the fully
independent training conditional, FITC (Snelson & Ghahramani 2006; Quinonero-Candela & Rasmussen
2005, eq. 24): the global posterior. With those of ``refinement`` (R with whole blocks of a site's
rows) it is the part of PIC that all sites share. Those of `inference.private` come of noisy sums.
"""

from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from edge_node.arrays import Matrix, Vector
from edge_node.inference.features.nystrom import Arrays, Features, check_finite
from edge_node.inference.messages.evidence import Evidence
from edge_node.inference.messages.gaussian import Gaussian
from edge_node.inference.numerics.blas import solve_rows
from edge_node.inference.numerics.streaming import in_parts
from edge_node.inference.regression.calibration import Calibration, HeldOutScores
from edge_node.inference.regression.prediction import FastPredictor
from edge_node.inference.regression.student import RowPrecisions, noise_factor

__all__ = ["Posterior"]


@dataclass(frozen=True)
class Posterior:
    """A Gaussian-process posterior for regression.

    Attributes:
        features: phi, r of them.
        mean: mu (r,).
        factor: L (r, r) lower, L L' = I + Lambda.
        amplitude: a, the prior variance's scale (target units squared).
        noise: s2, the noise variance in units of the amplitude.
        log_evidence: of the model that the messages are made for, nats.
        calibration: what held-out rows say of intervals; its factor is in the amplitude already.
        precisions: of the rows that it was learnt from, by which their noise is divided, where
            targets are Student-t; None: they are Gaussian.
    """

    features: Features
    mean: Vector
    factor: Matrix
    amplitude: float
    noise: float
    log_evidence: float
    calibration: Calibration = field(default_factory=Calibration.none)
    precisions: RowPrecisions | None = None

    @classmethod
    def of(
        cls,
        message: Gaussian,
        features: Features,
        evidence: Evidence,
        precisions: RowPrecisions | None = None,
    ) -> Self:
        """From the product of all rows' messages for ``evidence.noise``.

        Args:
            message: Lambda (r, r) and eta (r,), in units that include the noise.
            features: phi, r of them.
            evidence: noise, amplitude and log evidence, as they were chosen for the message.
            precisions: of the rows, as the message was made with them.

        Raises:
            NumericalError: I + Lambda is not positive definite.
        """
        belief = message.with_prior()
        return cls(
            features,
            belief.mean,
            belief.factor,
            evidence.amplitude,
            evidence.noise,
            evidence.log_evidence,
            precisions=precisions,
        )

    def at_place(self) -> Self:
        """The same, for inputs that are where the metric puts them."""
        precisions = None if self.precisions is None else self.precisions.at_place()
        return replace(self, features=self.features.at_place(), precisions=precisions)

    def calibrated(self, calibration: Calibration) -> Self:
        """With the spread that held-out rows show, where this one's is the model's own."""
        amplitude = self.amplitude * calibration.factor
        return replace(self, amplitude=amplitude, calibration=calibration)

    @property
    def noise_variance(self) -> float:
        """The variance of a new observation around f, in target units squared: a s2, or that of
        Student's t with this scale.
        """
        return self.amplitude * self.noise * noise_factor(self.precisions)

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
        """Mean and variance for a = 1, exactly where the fast way loses digits."""
        mean, variance, kept = fast(X)
        if not kept.all():
            mean[~kept], variance[~kept] = self._exactly(X[~kept])
        return mean, variance

    def _exactly(self, X: Matrix) -> tuple[Vector, Vector]:
        """The same, with a variance that is a sum of two squares."""
        Phi, uncovered = self.features.covered(X)
        mean = Phi @ self.mean
        solve_rows(self.factor, Phi)
        return mean, uncovered + np.vecdot(Phi, Phi)

    @cached_property
    def _fast(self) -> FastPredictor | None:
        """The fast way, where it keeps its digits; else None."""
        return FastPredictor.of(self.features, self.mean, self.factor)

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Everything, for ``numpy.savez``: no pickles."""
        return {**self.features.to_arrays(), **self.weights_to_arrays()}

    def weights_to_arrays(self) -> dict[str, NDArray[Any]]:
        """Everything but the features, where another posterior has the same."""
        return {
            "mean": self.mean,
            "factor": self.factor,
            "numbers": np.array([self.amplitude, self.noise, self.log_evidence]),
            "scores": self.calibration.scores.pack(),
            **({} if self.precisions is None else self.precisions.to_arrays()),
        }

    @classmethod
    def from_arrays(cls, arrays: Arrays, features: Features | None = None) -> Self:
        """The inverse of ``to_arrays``, or of ``weights_to_arrays`` for given features.

        Raises KeyError or ValueError for anything else.
        """
        features = features or Features.from_arrays(arrays)
        calibration = Calibration(HeldOutScores.unpack(arrays["scores"]))
        if not calibration.scores.count > 0:
            raise ValueError("a calibration by no scores")
        amplitude, noise, log_evidence = arrays["numbers"].tolist()
        return cls(
            features,
            arrays["mean"],
            arrays["factor"],
            amplitude,
            noise,
            log_evidence,
            calibration,
            RowPrecisions.from_arrays(arrays),
        )

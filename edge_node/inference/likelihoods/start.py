"""Where the steps start: the Gaussian fit that chose the features, read as one of the latent."""

from typing import Protocol

import numpy as np

from edge_node.arrays import Vector
from edge_node.inference.classification.approximation import Approximation
from edge_node.inference.classification.expected import Likelihood
from edge_node.inference.classification.variational import VariationalState, amplitudes_of
from edge_node.inference.messages.evidence import Evidence
from edge_node.inference.messages.statistics import Statistics
from edge_node.inference.numerics.eigenbasis import Eigenbasis

__all__ = ["StartingLikelihood", "start_of"]


class StartingLikelihood(Likelihood, Protocol):
    """A likelihood whose targets have a Gaussian fit."""

    def latent_scale(self, noise_deviation: float) -> float:
        """In what units of the fit's targets the latent function is, given the fit's noise sd."""
        ...

    def start(self, explained: float, noise_deviation: float) -> Vector:
        """Theta (h,) before the first sweep, given the variance that the fit explains, and its
        noise sd.
        """
        ...


def start_of(
    statistics: Statistics, evidence: Evidence, likelihood: StartingLikelihood
) -> VariationalState:
    """Before the first sweep: the posterior of a Gaussian fit, without a sweep.

    Args:
        statistics: the federation's, on targets as regression has them, (n,).
        evidence: their noise s2 and amplitude.
        likelihood: of the steps.
    """
    noise = float(np.sqrt(evidence.noise_variance))
    unit = likelihood.latent_scale(noise)
    message = statistics.likelihood(evidence.noise).with_prior()
    gram = Eigenbasis.of(statistics.message.precision)
    lower, upper = amplitudes_of(statistics)
    fitted = float(message.mean @ statistics.message.precision @ message.mean) / statistics.count
    first = Approximation(
        message.mean[:, None] / unit,
        np.array([[(unit / noise) ** 2]]),
        gram,
        float(np.clip(evidence.amplitude / unit**2, lower, upper)),
        np.clip(likelihood.start(fitted, noise), *likelihood.limits),
    )
    return VariationalState(first, first, -np.inf, (lower, upper), limits=likelihood.limits)

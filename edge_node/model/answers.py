"""What a posterior under a likelihood of its own answers: counts, times, ordered classes."""

from collections.abc import Sequence

import numpy as np

from edge_node.arrays import Matrix, Vector
from edge_node.inference.likelihoods.counts import Counts
from edge_node.inference.likelihoods.ordinal import Ordinal
from edge_node.inference.likelihoods.posterior import LatentPosterior
from edge_node.inference.likelihoods.survival import Times
from edge_node.inference.numerics.streaming import in_parts
from edge_node.model.predictions import TimePredictions

__all__ = [
    "class_probabilities",
    "count_moments_and_bounds",
    "time_predictions",
]


def count_moments_and_bounds(
    posterior: LatentPosterior, inputs: Matrix, level: float
) -> tuple[Vector, Vector, Vector, Vector]:
    """Mean, sd, and the least and greatest count of a new row, (n,) each, at inputs (n, d)."""
    likelihood, parameters = posterior.likelihood, posterior.parameters
    assert isinstance(likelihood, Counts)  # noqa: S101 - other tasks go elsewhere

    def answer(X: Matrix) -> tuple[Vector, Vector, Vector, Vector]:
        latent = posterior.latent(X)
        mean, variance = likelihood.moments(parameters, *latent)
        lower, upper = likelihood.quantiles(_ends(level), parameters, *latent).T
        return mean, np.sqrt(variance), lower, upper

    mean, sd, lower, upper = in_parts(answer, inputs)
    return mean, sd, lower, upper


def time_predictions(
    posterior: LatentPosterior,
    inputs: Matrix,
    level: float,
    times: Sequence[float],
    warnings: tuple[str, ...],
) -> TimePredictions:
    """Predictions at inputs (n, d), and survival at ``times``."""
    likelihood, parameters = posterior.likelihood, posterior.parameters
    assert isinstance(likelihood, Times)  # noqa: S101 - other tasks go elsewhere
    low, high = _ends(level)

    def answer(X: Matrix) -> tuple[Matrix, Matrix]:
        latent = posterior.latent(X)
        asked = np.tile(np.array(times, dtype=np.float64), (len(X), 1))
        return (
            likelihood.quantiles((low, 0.5, high), parameters, *latent),
            likelihood.survival(asked, parameters, *latent),
        )

    quantiles, survival = in_parts(answer, inputs)
    lower, median, upper = quantiles.T
    return TimePredictions(median, lower, upper, tuple(times), survival, warnings)


def class_probabilities(posterior: LatentPosterior, inputs: Matrix) -> Matrix:
    """Probabilities (n, C) of ordered classes at inputs (n, d)."""
    likelihood = posterior.likelihood
    assert isinstance(likelihood, Ordinal)  # noqa: S101 - other tasks go elsewhere
    return likelihood.probabilities(posterior.parameters, *posterior.latent(inputs))


def _ends(level: float) -> tuple[float, float]:
    """The quantiles between which a new observation lies with a probability."""
    return 0.5 * (1.0 - level), 0.5 * (1.0 + level)

"""What a posterior under a likelihood of its own answers: counts, times, ordered classes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_node.arrays import Matrix, Vector
from edge_node.inference.likelihoods.counts import Counts
from edge_node.inference.likelihoods.ordinal import Ordinal
from edge_node.inference.likelihoods.posterior import LatentPosterior
from edge_node.inference.likelihoods.survival import Times
from edge_node.inference.numerics.streaming import in_parts

__all__ = [
    "TimePredictions",
    "class_probabilities",
    "count_moments_and_bounds",
    "median_classes",
    "time_predictions",
]


@dataclass(frozen=True)
class TimePredictions:
    """Survival: arrays of shape (n,) in the target's unit.

    Attributes:
        median: the time before which the event is as likely as not.
        lower: bounds the time of the event, together with ``upper``, with the probability asked
            for.
        upper: the other bound.
        times: at which survival is asked.
        survival: (n, len(times)), the probability that the event is later.
        warnings: about the rows.
    """

    median: Vector
    lower: Vector
    upper: Vector
    times: tuple[float, ...]
    survival: Matrix
    warnings: tuple[str, ...] = ()

    def rows(self) -> list[dict[str, Any]]:
        """A dictionary for each row."""
        names = ["median", "lower", "upper", *(f"survival_{time:g}" for time in self.times)]
        columns = np.column_stack([self.median, self.lower, self.upper, self.survival])
        return [dict(zip(names, row, strict=True)) for row in columns.tolist()]


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


def median_classes(probabilities: Matrix) -> NDArray[np.intp]:
    """The first class (n,) up to which at least half the probability lies, of ordered ones."""
    cumulated = np.cumsum(probabilities, axis=1)
    medians: NDArray[np.intp] = np.argmax(cumulated >= 0.5 * cumulated[:, -1:], axis=1)
    return medians


def _ends(level: float) -> tuple[float, float]:
    """The quantiles between which a new observation lies with a probability."""
    return 0.5 * (1.0 - level), 0.5 * (1.0 + level)

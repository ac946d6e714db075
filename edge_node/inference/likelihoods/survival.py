"""Times to an event, some of them censored: an accelerated failure time model.

With e = (z - g - b) / sigma, z a standardised log time and sigma = exp(theta_2), a row in which the
event was seen adds the log density of z, and one that was lost from sight before it the log
probability of more (Kalbfleisch & Prentice 2002, sections 2.2 and 3.6):

    log-normal   seen: -e^2 / 2 - log(2 pi) / 2 - log sigma       not seen: log Phi(-e)
    Weibull      seen: e - exp(e) - log sigma                     not seen: -exp(e)

Parameters: theta = (b, log sigma). Both are log-concave in g. Bounds of the two compare, since both
are of densities of z.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from edge_node.arrays import Matrix, Rows, Vector
from edge_node.config import Distribution
from edge_node.inference.classification.expected import Expected
from edge_node.inference.likelihoods.quadrature import STEEPEST, Derivatives, averaged, nodes

__all__ = ["TimedRows", "Times"]

_SCALES = (1e-3, 1e2)
_LONGEST = 5.0  # standard deviations: a log time beyond them counts as being there
_EULER = 0.5772156649015329  # minus the mean of the logarithm of an exponential time
_HALF_LOG_2PI = 0.5 * np.log(2.0 * np.pi)


@dataclass(frozen=True)
class TimedRows:
    """Rows with their log times only: the targets that features are chosen by.

    A time whose event wasn't seen counts as what a standard normal number beyond it is on average:
    one that was lost early says next to nothing, so it counts as about the mean.

    Attributes:
        rows: chunks (X, y (n, 2)): standardised log times, and whether the event was seen.
    """

    rows: Rows

    def __iter__(self) -> Iterator[tuple[Matrix, Vector]]:
        from scipy.special import log_ndtr  # a tenth of a second, for no regression

        for X, y in self.rows:
            z = y[:, 0]
            beyond = np.exp(-0.5 * np.square(z) - _HALF_LOG_2PI - log_ndtr(-z))
            yield X, np.where(y[:, 1] > 0.0, z, beyond)


@dataclass(frozen=True)
class Times:
    """The likelihood of standardised log times, with censoring to the right.

    Attributes:
        distribution: log-normal or Weibull.
        centre: the mean of the log times over the federation's rows.
        scale: their standard deviation, positive.
    """

    distribution: Distribution
    centre: float
    scale: float

    outputs = 1

    @property
    def limits(self) -> tuple[Vector, Vector]:
        """The least and the greatest (b, log sigma)."""
        low, high = np.log(_SCALES)
        return np.array([-STEEPEST, low]), np.array([STEEPEST, high])

    def latent_scale(self, noise_deviation: float) -> float:
        """As `StartingLikelihood.latent_scale`: g is in the units of the fit's targets."""
        return 1.0

    def start(self, explained: float, noise_deviation: float) -> Vector:
        """As `StartingLikelihood.start`: the errors' mean and deviation are the fit's."""
        if self.distribution is Distribution.LOGNORMAL:
            return np.array([0.0, np.log(noise_deviation)])
        sigma = np.sqrt(6.0) / np.pi * noise_deviation
        return np.array([_EULER * sigma, np.log(sigma)])

    def expect(self, y: Vector, parameters: Vector, mean: Matrix, covariance: Matrix) -> Expected:
        """As `Likelihood.expect`, for targets (n, 2): standardised log times, and 1 where the
        event was seen.
        """
        z, seen = np.minimum(y[:, :1], _LONGEST), y[:, 1:]
        return averaged(lambda g: self.at(z, seen, parameters, g), mean, covariance)

    def at(self, z: Matrix, seen: Matrix, parameters: Vector, g: Matrix) -> Derivatives:
        """L and its derivatives, for log times z (n, 1), 1 where the event was seen (n, 1), and
        g (n, J).
        """
        b, log_sigma = parameters
        sigma = np.exp(log_sigma)
        e = (z - g - b) / sigma
        value, first, second = self._of_error(e, seen)  # and derivatives in e
        gradient, curvature = -first / sigma, -second / sigma**2
        bend_both = -(e * second + first) / sigma
        return Derivatives(
            value - seen * log_sigma,
            gradient,
            curvature,
            (gradient, -e * first - seen),
            (curvature, bend_both, -e * (first + e * second)),
        )

    def _of_error(self, e: Matrix, seen: Matrix) -> tuple[Matrix, Matrix, Matrix]:
        """The log likelihood for sigma = 1, and two derivatives in e (n, J)."""
        if self.distribution is Distribution.WEIBULL:
            hazard = np.exp(np.minimum(e, STEEPEST))
            return seen * e - hazard, seen - hazard, -hazard
        from scipy.special import log_ndtr  # a tenth of a second, for no regression

        beyond = log_ndtr(-e)
        hazard = np.exp(-0.5 * np.square(e) - _HALF_LOG_2PI - beyond)
        event = seen > 0.0
        return (
            np.where(event, -0.5 * np.square(e) - _HALF_LOG_2PI, beyond),
            np.where(event, -e, -hazard),
            np.where(event, -1.0, -hazard * (hazard - e)),
        )

    def survival(self, times: Matrix, parameters: Vector, mean: Vector, variance: Vector) -> Matrix:
        """P(no event before a time) (n, K), at positive times (n, K)."""
        with np.errstate(divide="ignore"):
            z = (np.log(times) - self.centre) / self.scale
        return self._beyond(z, parameters, mean, variance)

    def _beyond(self, z: Matrix, parameters: Vector, mean: Vector, variance: Vector) -> Matrix:
        """P(a new standardised log time is beyond z) (n, K)."""
        from scipy.special import ndtr

        b, log_sigma = parameters
        sigma = np.exp(log_sigma)
        centred = z - mean[:, None] - b
        if self.distribution is Distribution.LOGNORMAL:
            beyond: Matrix = ndtr(-centred / np.sqrt(variance[:, None] + sigma**2))
            return beyond
        places, weights = nodes()
        spread = np.sqrt(variance)[:, None, None] * places
        e = np.minimum((centred[:, :, None] - spread) / sigma, STEEPEST)
        averages: Matrix = np.exp(-np.exp(e)) @ weights
        return averages

    def quantiles(
        self, levels: tuple[float, ...], parameters: Vector, mean: Vector, variance: Vector
    ) -> Matrix:
        """Times (n, K) before which the event is with each probability, averaged over the
        posterior.
        """
        b, log_sigma = parameters
        sigma, wanted = float(np.exp(log_sigma)), np.array(levels)
        reach = 40.0 * np.sqrt(variance + sigma**2)
        low = (mean + b - reach)[:, None] + np.zeros(len(wanted))
        high = (mean + b + reach)[:, None] + np.zeros(len(wanted))
        for _ in range(60):
            middle = 0.5 * (low + high)
            before = 1.0 - self._beyond(middle, parameters, mean, variance) < wanted
            low, high = np.where(before, middle, low), np.where(before, high, middle)
        times: Matrix = np.exp(self.centre + self.scale * 0.5 * (low + high))
        return times

    def to_dict(self) -> dict[str, Any]:
        """For a model's archive."""
        return {
            "kind": "times",
            "distribution": str(self.distribution),
            "centre": self.centre,
            "scale": self.scale,
        }

    @classmethod
    def from_dict(cls, value: dict[str, Any]) -> Self:
        """The inverse of ``to_dict``."""
        return cls(
            Distribution(value["distribution"]), float(value["centre"]), float(value["scale"])
        )

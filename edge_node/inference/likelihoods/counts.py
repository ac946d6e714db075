"""Counts: negative binomial with a log link. Its limit of no dispersion is Poisson's.

With mu = exp(location + slope g + b) the mean and alpha = exp(theta_2) the dispersion, the variance
is mu + alpha mu^2 (NB2; Hilbe 2011, section 8.2), and r = 1 / alpha,

    l        = lgamma(y + r) - lgamma(r) - lgamma(y + 1) + y log(alpha mu)
               - (y + r) log(1 + alpha mu)
    dl/deta  = (y - mu) / (1 + alpha mu),        -d2l/deta2 = mu (1 + alpha y) / (1 + alpha mu)^2

for eta = log mu. Parameters: theta = (b, log alpha), b in units of eta.

Targets arrive as regression has them: z = (log(y + 1/2) - centre) / scale. The latent function g is
in these units. Where counts are small, log(y + 1/2) moves less than eta does: location and slope
allow for that (the delta method, at Poisson's expectation of log(y + 1/2)).
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from edge_node.arrays import Matrix, Vector
from edge_node.inference.classification.expected import Expected
from edge_node.inference.likelihoods.quadrature import STEEPEST, Derivatives, averaged, nodes

__all__ = ["Counts"]

_DISPERSIONS = (1e-4, 1e2)
"""The dispersions considered; the lower one is Poisson's to a count of some hundreds."""

_FIRST_DISPERSION = 0.1
_FARTHEST = 10.0  # standard deviations: a count beyond them counts as being there
_DOUBLINGS = 20  # of the bound below which a quantile is looked for
_LARGE = 50.0  # a mean from which log(y + 1/2) is about log mu


@dataclass(frozen=True)
class Counts:
    """The negative binomial likelihood of counts.

    Attributes:
        centre: the mean of log(y + 1/2) over the federation's rows.
        scale: its standard deviation, positive.
    """

    centre: float
    scale: float

    outputs = 1

    @property
    def limits(self) -> tuple[Vector, Vector]:
        """The least and the greatest (b, log alpha)."""
        low, high = np.log(_DISPERSIONS)
        return np.array([-STEEPEST, low]), np.array([STEEPEST, high])

    def latent_scale(self, noise_deviation: float) -> float:
        """As `StartingLikelihood.latent_scale`: g is in the units of the fit's targets."""
        return 1.0

    def start(self, explained: float, noise_deviation: float) -> Vector:
        """As `StartingLikelihood.start`."""
        return np.array([0.0, np.log(_FIRST_DISPERSION)])

    @cached_property
    def link(self) -> tuple[float, float]:
        """Location and slope: eta = location + slope g + b."""
        if np.exp(self.centre) >= _LARGE:
            return self.centre, self.scale
        low, high = -STEEPEST, float(np.log(2.0 * _LARGE))
        for _ in range(60):
            middle = 0.5 * (low + high)
            low, high = (middle, high) if _log_moment(middle)[0] < self.centre else (low, middle)
        return low, self.scale / _log_moment(low)[1]

    @cached_property
    def largest(self) -> float:
        """The largest count that counts as itself: beyond it, a row would be a sum's largest part.

        Ten standard deviations above the mean, of a Poisson distribution whose logarithmic mean is
        Gaussian.
        """
        variance = min(self.scale, STEEPEST / 2) ** 2
        mean = np.exp(min(self.centre + 0.5 * variance, 2.0 * STEEPEST))
        return float(mean + _FARTHEST * np.sqrt(mean**2 * np.expm1(variance) + mean + 1.0))

    def counts(self, z: Vector) -> Vector:
        """The counts y (n,) that regression has as z (n,)."""
        y = np.rint(np.exp(self.centre + self.scale * z) - 0.5)
        return np.clip(y, 0.0, np.rint(self.largest))

    def expect(self, y: Vector, parameters: Vector, mean: Matrix, covariance: Matrix) -> Expected:
        """As `Likelihood.expect`, for targets (n,) as regression has them."""
        counted = self.counts(y)[:, None]
        return averaged(lambda g: self.at(counted, parameters, g), mean, covariance)

    def at(self, y: Matrix, parameters: Vector, g: Matrix) -> Derivatives:
        """L and its derivatives, for counts y (n, 1) and g (n, J)."""
        from scipy.special import gammaln, polygamma, psi  # a tenth of a second, for no regression

        (location, slope), (b, log_alpha) = self.link, parameters
        alpha, r = np.exp(log_alpha), np.exp(-log_alpha)
        eta = np.clip(location + slope * g + b, -STEEPEST, STEEPEST)
        mu = np.exp(eta)
        wide = 1.0 + alpha * mu  # the variance, in units of mu
        log_wide = np.log1p(alpha * mu)
        of_rows = gammaln(y + r) - gammaln(r) - gammaln(y + 1.0)
        digammas = r * (psi(y + r) - psi(r))
        trigammas = r**2 * (polygamma(1, y + r) - polygamma(1, r))
        gradient, curvature = (y - mu) / wide, mu * (1.0 + alpha * y) / wide**2
        spread = (1.0 + alpha * y) * mu / wide
        by_alpha = y - digammas + r * log_wide - spread
        bend_alpha = (
            r * log_wide - digammas - trigammas - mu / wide + alpha * mu * (y - spread) / wide
        )
        bend_both = alpha * mu * (y - mu) / wide**2
        return Derivatives(
            of_rows + y * (log_alpha + eta) - (y + r) * log_wide,
            slope * gradient,
            slope**2 * curvature,
            (gradient, by_alpha),
            (curvature, bend_both, bend_alpha),
        )

    def moments(self, parameters: Vector, mean: Vector, variance: Vector) -> tuple[Vector, Vector]:
        """Mean (n,) and variance (n,) of a new count, for g ~ N(mean, variance), (n,) each."""
        (location, slope), (b, log_alpha) = self.link, parameters
        eta = np.minimum(location + slope * mean + b, STEEPEST)
        spread = np.minimum(slope**2 * variance, STEEPEST)
        mu = np.exp(np.minimum(eta + 0.5 * spread, STEEPEST))
        squares = mu**2 * np.exp(spread)
        return mu, mu + np.exp(log_alpha) * squares + mu**2 * np.expm1(spread)

    def cdf(self, k: Matrix, parameters: Vector, mean: Vector, variance: Vector) -> Matrix:
        """P(y <= k) of a new count (n, K), at whole numbers k (n, K), not below -1."""
        from scipy.special import betainc

        (location, slope), (b, log_alpha) = self.link, parameters
        places, weights = nodes()
        g = mean[:, None] + np.sqrt(variance)[:, None] * places
        mu = np.exp(np.clip(location + slope * g + b, -STEEPEST, STEEPEST))
        chance = 1.0 / (1.0 + np.exp(log_alpha) * mu)  # NB2: P(y <= k) = I_chance(r, k + 1)
        found = betainc(
            np.exp(-log_alpha), np.maximum(k, 0.0)[:, :, None] + 1.0, chance[:, None, :]
        )
        return np.where(k < 0.0, 0.0, found @ weights)

    def quantiles(
        self, levels: tuple[float, ...], parameters: Vector, mean: Vector, variance: Vector
    ) -> Matrix:
        """The least whole number (n, K) that a new count doesn't exceed with each probability."""
        expected, spread = self.moments(parameters, mean, variance)
        wanted = np.array(levels)
        low = np.full((len(mean), len(wanted)), -1.0)  # P(y <= low) < level
        high = np.ceil(expected + 12.0 * np.sqrt(spread) + 4.0)[:, None] + np.zeros(len(wanted))
        for _ in range(_DOUBLINGS):  # a tail may be longer
            short = self.cdf(high, parameters, mean, variance) < wanted
            if not short.any():
                break
            low, high = np.where(short, high, low), np.where(short, 2.0 * high, high)
        for _ in range(64):
            open_ = high - low > 1.0
            if not open_.any():
                break
            middle = np.floor(0.5 * (low + high))
            enough = self.cdf(middle, parameters, mean, variance) >= wanted
            low, high = (
                np.where(open_ & ~enough, middle, low),
                np.where(open_ & enough, middle, high),
            )
        return high

    def to_dict(self) -> dict[str, Any]:
        """For a model's archive."""
        return {"kind": "counts", "centre": self.centre, "scale": self.scale}

    @classmethod
    def from_dict(cls, value: dict[str, Any]) -> Self:
        """The inverse of ``to_dict``."""
        return cls(float(value["centre"]), float(value["scale"]))


def _log_moment(log_mu: float) -> tuple[float, float]:
    """E log(y + 1/2) for y ~ Poisson(mu), and its derivative in log mu."""
    from scipy.special import gammaln

    mu = float(np.exp(log_mu))
    k: NDArray[np.float64] = np.arange(int(mu + 12.0 * np.sqrt(mu + 1.0)) + 12.0)
    chance = np.exp(k * log_mu - mu - gammaln(k + 1.0))
    steps = np.log((k + 1.5) / (k + 0.5))
    return float(chance @ np.log(k + 0.5)), mu * float(chance @ steps)

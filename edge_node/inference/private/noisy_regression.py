"""The posterior given noisy sums, which accounts for their noise.

Instead of G = Phi'Phi and b = Phi'y we are given G~ = G + E and b~ = b + e, with independent
Gaussian noise of known size. Taken for G and b, they give a posterior that is far too sure,
or none. (Bernstein & Sheldon 2019 integrate the noise out by sampling; here that is done in closed
form.) From b = G u + Phi'(noise of the targets),

    b~ = G~ u - E u + Phi'(noise) + e,      b~ | u ~ N(G~ u, s G~ + tau^2 I)   approximately,
    tau^2 = sigma_b^2 + sigma_o^2 a (r + 1),

the last term being the mean of (E u)(E u)' under the prior u ~ N(0, a I). E's entries deviate by
sigma_o off the diagonal and by sqrt(2) sigma_o on it, so E has no preferred basis. In the
eigenbasis of G~ everything is a number. A direction of eigenvalue w has the message of precision
w^2 / (s w + tau^2): that of ordinary regression, w / s, without noise, and nothing where noise is
all there is.

G~'s own eigenvalues are not G's. Noise alone fills the range up to 2 sigma_o sqrt(r) (Wigner's
semicircle); directions within it are left to the prior. Above it, an eigenvalue w of G appears as
w~ = w + sigma_o^2 r / w (Benaych-Georges & Nadakuditi 2011, theorem 2.1), and is shrunk to the
square root of w~^2 - 4 sigma_o^2 r (the best for the Frobenius norm: Gavish & Donoho 2017).

Noise and amplitude are judged by how likely they make b~ and the noisy y'y. With a total noise
s = a (mean uncovered part + s2), what landmarks leave uncovered is neither lost nor counted twice.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import product

import numpy as np
from scipy.special import expit, log_expit, logsumexp, softmax

from edge_node.arrays import Matrix, Vector
from edge_node.inference.features.nystrom import Features
from edge_node.inference.messages.evidence import NOISE_RANGE, Evidence
from edge_node.inference.messages.gaussian import Gaussian
from edge_node.inference.private.release import NoisySums
from edge_node.inference.regression.posterior import Posterior

__all__ = ["NoisySpectrum", "noisy_evidence", "noisy_posterior"]

_LEAST_VARIANCE = 1e-10
"""The least variance of targets that is considered, in units of their bound squared."""

_GRID_POINTS = 25
_ZOOMS = 6  # each makes the grid up to 8 times as fine
_NEGLIGIBLE = 16.0  # nats below the maximum


@dataclass(frozen=True)
class NoisySpectrum:
    """Noisy sums in the eigenbasis of G~, without the directions that noise fills.

    Attributes:
        sums: the noisy sums.
        eigenvalues: w (k,), positive, shrunk towards what they are without noise.
        vectors: V (r, k), orthonormal.
        projections: V'b~ (k, q).
        rest: the trace of G outside these directions, not negative.
    """

    sums: NoisySums
    eigenvalues: Vector
    vectors: Matrix
    projections: Matrix
    rest: float

    @classmethod
    def of(cls, sums: NoisySums) -> "NoisySpectrum":
        """Decompose G~."""
        values, vectors = np.linalg.eigh(sums.gram)
        edge = 2.0 * np.sqrt(len(values) * _entry_variance(sums))
        kept = values > max(edge, len(values) * np.finfo(float).eps * values[-1])
        w, V = np.sqrt(values[kept] ** 2 - edge**2), vectors[:, kept]
        rest = max(float(np.trace(sums.gram) - w.sum()), 0.0)
        return cls(sums, w, V, V.T @ sums.shift, rest)

    @property
    def size(self) -> int:
        """r, the number of features."""
        return len(self.vectors)

    @cached_property
    def uncovered(self) -> float:
        """The mean over rows of the prior variance that landmarks don't cover."""
        return max(self.sums.uncovered, 0.0) / self.sums.count

    def variance(self, amplitude: float) -> float:
        """tau^2, the variance of a projection of b~ around that of G~ u."""
        crossing = _entry_variance(self.sums) * amplitude * (self.size + 1)
        return self.sums.deviations.shift**2 + crossing

    def message(self, noise_variance: float, amplitude: float) -> Gaussian:
        """What the sums say of u: Lambda (r, r) and eta (r, q), for a total noise s and a."""
        w = self.eigenvalues
        gain = w / (noise_variance * w + self.variance(amplitude))
        precision = (self.vectors * (w * gain)) @ self.vectors.T
        shift = self.vectors @ (gain[:, None] * self.projections)
        return Gaussian((precision + precision.T) / 2.0, shift)

    def likelihood(self, noise_variance: float, amplitude: float) -> float:
        """Log of N(V'b~; 0, a W^2 + s W + tau^2 I), nats, summed over columns."""
        w = self.eigenvalues
        total = w * (amplitude * w + noise_variance) + self.variance(amplitude)
        squares = np.square(self.projections).sum(axis=1) / total
        numbers = self.projections.shape[1]
        return float(-0.5 * (numbers * np.log(2.0 * np.pi * total) + squares).sum())

    def power_likelihood(self, noise_variance: float, amplitude: float) -> float:
        """The log likelihood of the noisy tr Y'Y given b~, in nats.

        Each kept direction explains b'b / w of the power, known as far as tau^2 allows. The other
        n - k directions hold s each, and a times the rest of G. The sum counts as Gaussian.
        """
        w, s, tau2 = self.eigenvalues, noise_variance, self.variance(amplitude)
        sums, q = self.sums, self.projections.shape[1]
        scale = amplitude * w + s
        signal = w * scale
        known = scale * signal * np.square(self.projections).sum(axis=1) / (signal + tau2) ** 2
        open_ = scale * tau2 / (signal + tau2)
        others, rest = q * (sums.count - len(w)), q * amplitude * self.rest
        mean = (known + q * open_).sum() + s * others + rest
        variance = (
            (4.0 * known * open_ + 2.0 * q * open_**2).sum()
            + 2.0 * s**2 * max(others, 1.0)
            + 2.0 * rest**2 / (q * max(self.size - len(w), 1))
            + sums.deviations.target_power**2
            + (q * s * sums.deviations.rows) ** 2
        )
        excess = (sums.target_power - mean) ** 2 / variance
        return float(-0.5 * (np.log(2.0 * np.pi * variance) + excess))


def noisy_evidence(sums: NoisySums) -> Evidence:
    """The noise and amplitude of regression: their posterior means, given the noisy sums.

    The prior takes the target's variance as uniform between zero and its bound, and the signal's
    share of it as uniform between none and all. The most likely values would say little where the
    sums are noisy: the likeliest variance may well be zero.

    Raises:
        NumericalError: noise hides that there are any rows.
    """
    scale = sums.mean_power
    spectrum = NoisySpectrum.of(sums)

    def parts(log_variance: float, logit: float) -> tuple[float, float]:
        signal = float(np.exp(log_variance) * expit(logit))
        return signal, float(np.exp(log_variance) * expit(-logit))

    def log_density(log_variance: float, logit: float) -> float:
        signal, noise = parts(log_variance, logit)
        a, s = signal / scale, noise + signal * spectrum.uncovered / scale
        prior = log_variance + log_expit(logit) + log_expit(-logit) - np.log(sums.largest_power)
        return float(prior) + spectrum.likelihood(s, a) + spectrum.power_likelihood(s, a)

    variances = np.log(sums.largest_power) + np.log([_LEAST_VARIANCE, 1.0])
    table = _tabulate(log_density, variances, -np.log(NOISE_RANGE[::-1]))
    signal, noise = table.mean(parts)
    return Evidence(table.log_integral, scale * noise / signal, signal / scale)


def noisy_posterior(sums: NoisySums, features: Features, evidence: Evidence) -> Posterior:
    """The regression posterior, of the noisy sums' message in units of the amplitude.

    Raises:
        NumericalError: I + a Lambda is not positive definite.
    """
    spectrum, a = NoisySpectrum.of(sums), evidence.amplitude
    message = spectrum.message(a * (spectrum.uncovered + evidence.noise), a)
    scaled = Gaussian(a * message.precision, a * message.shift[:, 0])
    return Posterior.of(scaled, features, evidence)


def _entry_variance(sums: NoisySums) -> float:
    """sigma_o^2, of an entry of G~ off the diagonal."""
    return sums.deviations.gram**2 / 2.0


@dataclass(frozen=True)
class _Table:
    """A density over two numbers, on a grid that covers it.

    Attributes:
        points: (n, 2).
        log_densities: (n,).
        cell: the area of a grid cell.
    """

    points: Matrix
    log_densities: Vector
    cell: float

    @property
    def log_integral(self) -> float:
        return float(logsumexp(self.log_densities) + np.log(self.cell))

    def mean(self, function: Callable[[float, float], tuple[float, float]]) -> tuple[float, float]:
        """The mean of a function of the two numbers."""
        weights = softmax(self.log_densities)
        first, second = weights @ np.array([function(*point) for point in self.points.tolist()])
        return float(first), float(second)


def _tabulate(density: Callable[[float, float], float], first: Vector, second: Vector) -> _Table:
    """The log density on a grid within bounds; the grid closes in on where the density is."""
    box = np.stack([first, second])
    for _ in range(_ZOOMS):
        axes = np.linspace(box[:, 0], box[:, 1], _GRID_POINTS).T
        points = np.array(list(product(*axes)))
        densities = np.array([density(*point) for point in points.tolist()])
        step = (box[:, 1] - box[:, 0]) / (_GRID_POINTS - 1)
        near = points[densities > densities.max() - _NEGLIGIBLE]
        cell = float(np.prod(step))
        around = np.stack([near.min(axis=0) - step, near.max(axis=0) + step], axis=1)
        box = np.stack(
            [np.maximum(around[:, 0], box[:, 0]), np.minimum(around[:, 1], box[:, 1])], 1
        )
    return _Table(points, densities, cell)

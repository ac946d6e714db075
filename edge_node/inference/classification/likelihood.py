"""The softmax likelihood averaged over a Gaussian latent function.

With g ~ N(mean, covariance) the contrasts of one row and p = softmax(offsets + Q g):

    E log p_y,     E p (in its gradient),     E Q' (diag p - p p') Q (minus its curvature)

Two classes: closed form. The logistic function is a mixture of eight normal distribution functions
to 3e-9 (Monahan & Stefanski 1992), whose integrals against a Gaussian are known, so all three are
exact derivatives of one function, whatever the variance. More classes: the mean over 256 fixed
quasi-random points (Sobol), symmetric, accurate to about 1e-3; no random state: all nodes answer
alike.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np

from edge_node.arrays import Matrix, Vector
from edge_node.inference.classification.classes import contrast, one_hot
from edge_node.inference.classification.expected import NO_PARAMETERS, Expected, pairs

__all__ = ["Expectations", "Softmax", "average", "pairs", "softmax_curvature"]

_WEIGHTS = np.array(
    [
        0.003246343272134,
        0.051517477033972,
        0.195077912673858,
        0.315569823632818,
        0.274149576158423,
        0.131076880695470,
        0.027912418727972,
        0.001449567805354,
    ]
)
_SLOPES = np.array(
    [
        1.365340806296348,
        1.059523971016916,
        0.830791313765644,
        0.650732166639391,
        0.508135425366489,
        0.396313345166341,
        0.308904252267995,
        0.238212616409306,
    ]
)
_POINTS_LOG2 = 7  # and as many mirrored
_ROWS_AT_ONCE = 8192  # of all points: half a megabyte for eight classes


@dataclass(frozen=True)
class Expectations:
    """Averages over the latent Gaussian, one row each.

    Attributes:
        log_probabilities: E log p (n, C).
        probabilities: E p (n, C); rows sum to one.
        curvature: distinct entries of E Q' (diag p - p p') Q (n, q (q + 1) / 2), as in ``pairs``.
    """

    log_probabilities: Matrix
    probabilities: Matrix
    curvature: Matrix


@dataclass(frozen=True)
class Softmax:
    """The likelihood of classes, for the steps; it has no parameters to learn.

    Attributes:
        offsets: fixed means of the logits (C,).
    """

    offsets: Vector

    @property
    def outputs(self) -> int:
        """Q = C - 1, the number of contrasts."""
        return len(self.offsets) - 1

    @property
    def limits(self) -> tuple[Vector, Vector]:
        """Of no parameters."""
        return NO_PARAMETERS, NO_PARAMETERS

    def expect(self, y: Vector, parameters: Vector, mean: Matrix, covariance: Matrix) -> Expected:
        """As `Likelihood.expect`, for class indices y (n,). Raises NumericalError for others."""
        classes = len(self.offsets)
        target, averages = one_hot(y, classes), average(self.offsets, mean, covariance)
        return Expected(
            np.vecdot(target, averages.log_probabilities),
            (target - averages.probabilities) @ contrast(classes),
            averages.curvature,
            NO_PARAMETERS,
            NO_PARAMETERS,
        )


def average(offsets: Vector, mean: Matrix, covariance: Matrix) -> Expectations:
    """Average over g ~ N(mean, covariance).

    Args:
        offsets: fixed means of the logits (C,).
        mean: of the contrasts (n, q), q = C - 1.
        covariance: of the contrasts (n, q, q), positive semi-definite.
    """
    if len(offsets) == 2:
        difference = offsets[1] - offsets[0] + np.sqrt(2.0) * mean[:, 0]
        return _average_logistic(difference, 2.0 * covariance[:, 0, 0])
    Q, q = contrast(len(offsets)), mean.shape[1]
    values, vectors = np.linalg.eigh(covariance)
    root = (vectors * np.sqrt(np.maximum(values, 0.0))[:, None, :]) @ vectors.transpose(0, 2, 1)
    logits, spread = offsets + mean @ Q.T, Q @ root
    points = _normal_points(q)
    log_p, p = np.zeros_like(logits), np.zeros_like(logits)
    products = np.zeros((len(mean), q, q))
    for some in np.array_split(points, _parts(len(mean), len(points))):
        each = logits + (spread @ some.T).transpose(2, 0, 1)
        log_p += _to_log_softmax(each).sum(axis=0)
        p += np.exp(each, out=each).sum(axis=0)
        turned = (each @ Q).transpose(1, 0, 2)
        products += turned.transpose(0, 2, 1) @ turned
    log_p, p, products = (total / len(points) for total in (log_p, p, products))
    j, k = np.array(pairs(q)).T
    return Expectations(log_p, p, p @ (Q[:, j] * Q[:, k]) - products[:, j, k])


def _parts(rows: int, points: int) -> int:
    """In how many parts the points are taken, so that few rows aren't a loop over points."""
    return min(points, -(-rows * points // _ROWS_AT_ONCE) or 1)


def _to_log_softmax(logits: Matrix) -> Matrix:
    """Log probabilities along the last axis, in place."""
    logits -= logits.max(axis=-1, keepdims=True)
    logits -= np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    return logits


def softmax_curvature(p: Matrix) -> Matrix:
    """Distinct entries of Q' (diag p - p p') Q for each row of p (n, C): (n, q (q + 1) / 2)."""
    Q = contrast(p.shape[1])
    mean = p @ Q
    j, k = np.array(pairs(Q.shape[1])).T
    curvature: Matrix = p @ (Q[:, j] * Q[:, k]) - mean[:, j] * mean[:, k]
    return curvature


def _average_logistic(mean: Vector, variance: Vector) -> Expectations:
    """Averages over a difference of logits f ~ N(mean, variance), both (n,).

    With s the logistic function, z = kappa mean, and N and Phi the normal density and distribution,
    E s(f) = sum w Phi(z), E s'(f) = sum w kappa N(z) and
    E log s(f) = -sum w [N(z) - z Phi(-z)] / kappa.
    """
    from scipy.special import ndtr  # a tenth of a second, and for no regression

    kappa = _SLOPES / np.sqrt(1.0 + _SLOPES**2 * variance[:, None])
    z = kappa * mean[:, None]
    density = np.exp(-0.5 * z**2) / np.sqrt(2.0 * np.pi)
    below, above = ndtr(-z), ndtr(z)
    p = np.stack([below @ _WEIGHTS, above @ _WEIGHTS], axis=1)
    tail = (density / kappa) @ _WEIGHTS
    log_p = -np.stack([mean * p[:, 1] + tail, -mean * p[:, 0] + tail], axis=1)
    curvature = 2.0 * (density * kappa) @ _WEIGHTS
    return Expectations(log_p, p / p.sum(axis=1, keepdims=True), curvature[:, None])


@cache
def _normal_points(dimension: int) -> Matrix:
    """Quasi-random standard normal points (2^8, dimension), in mirrored pairs."""
    from scipy.special import ndtri
    from scipy.stats import qmc  # half a second, and only for three classes or more

    points = qmc.Sobol(dimension, scramble=False).random_base2(_POINTS_LOG2)
    normal = ndtri(points + 0.5 / 2**_POINTS_LOG2)
    mirrored: Matrix = np.concatenate([normal, -normal])
    return mirrored

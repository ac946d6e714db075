"""The textbook's way to the same posterior: natural-gradient steps with the whole curvature.

Khan & Lin 2017: each step sums H = sum of E_q[Q' (diag p - p p') Q] (x) phi phi' over the rows,
(q r)^2 / 2 numbers, and multiplies the prior by the Gaussian message of precision H. The Gaussian
that it ends at maximises the bound over *all* Gaussians. Dense, for small problems.
"""

from dataclasses import dataclass

import numpy as np

from edge_node.arrays import Matrix, Vector
from edge_node.inference.classification.classes import contrast, one_hot
from edge_node.inference.classification.likelihood import average, pairs
from edge_node.inference.features.nystrom import Features


@dataclass(frozen=True)
class DensePosterior:
    """N(mean, covariance) over vec U, contrasts first; its bound; the numbers that steps told."""

    features: Features
    offsets: Vector
    amplitude: float
    mean: Vector
    covariance: Matrix
    bound: float = -np.inf
    told: int = 0

    def latent(self, X: Matrix):
        """The contrasts' mean (n, q) and covariance (n, q, q) at X."""
        Phi, uncovered = self.features.covered(X)
        q = len(self.offsets) - 1
        blocks = self.covariance.reshape(q, Phi.shape[1], q, Phi.shape[1])
        covariance = np.einsum("ni,jikl,nl->njk", Phi, blocks, Phi)
        covariance += self.amplitude * uncovered[:, None, None] * np.eye(q)
        return Phi @ self.mean.reshape(q, -1).T, covariance

    def predict_proba(self, X: Matrix) -> Matrix:
        """Class probabilities (n, C)."""
        return average(self.offsets, *self.latent(X)).probabilities


def natural_gradient(
    rows: tuple[Matrix, Vector],
    features: Features,
    offsets: Vector,
    amplitude: float,
    *,
    steps: int,
) -> DensePosterior:
    """The best Gaussian for a given amplitude. A step that loses is halved."""
    X, y = rows
    Phi, q = features(X), len(offsets) - 1
    size = q * Phi.shape[1]
    here = np.zeros(size), np.zeros((size, size))  # shift and precision of the rows' message
    best, length = _posterior(features, offsets, amplitude, *here), 1.0
    target, told = one_hot(y, len(offsets)), 0
    trial = here
    for _ in range(steps):
        q_trial = _posterior(features, offsets, amplitude, *trial)
        expected = average(offsets, *q_trial.latent(X))
        bound = float(np.vdot(target, expected.log_probabilities)) - _divergence(q_trial)
        told += size * (size + 1) // 2 + size + 2
        if bound > best.bound:
            best = DensePosterior(**{**vars(q_trial), "bound": bound})
            here, length = trial, min(1.0, 2.0 * length)
            H = _curvature(Phi, expected.curvature, q)
            slope = Phi.T @ ((target - expected.probabilities) @ contrast(len(offsets)))
            aim = H @ best.mean + slope.T.ravel(), H
        else:
            length /= 2.0
        trial = tuple(h + length * (a - h) for h, a in zip(here, aim, strict=True))
    return DensePosterior(**{**vars(best), "told": told})


def _posterior(features, offsets, amplitude, shift, precision) -> DensePosterior:
    covariance = np.linalg.inv(precision + np.eye(len(shift)) / amplitude)
    return DensePosterior(features, offsets, amplitude, covariance @ shift, covariance)


def _divergence(q: DensePosterior) -> float:
    size, a = len(q.mean), q.amplitude
    volume = size * np.log(a) - np.linalg.slogdet(q.covariance)[1]
    return float(0.5 * ((q.mean @ q.mean + np.trace(q.covariance)) / a - size + volume))


def _curvature(Phi: Matrix, entries: Matrix, q: int) -> Matrix:
    H = np.empty((q, Phi.shape[1], q, Phi.shape[1]))
    for w, (j, k) in zip(entries.T, pairs(q), strict=True):
        H[j, :, k, :] = H[k, :, j, :] = (Phi * w[:, None]).T @ Phi
    return H.reshape(q * Phi.shape[1], -1)

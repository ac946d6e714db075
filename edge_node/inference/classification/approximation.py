"""The Gaussian q(U) that approximates a classifier's posterior, and the latent function under it.

A contrast at x is g(x) = U'phi(x) + a residual of variance a (k(x, x) - phi'phi), which the data
don't determine. Among Gaussians we take those whose precision is W (x) G + I / a, with
G = Phi'Phi of all rows, known from label regression, and one matrix W (q, q): the curvature that a
row's likelihood has on average. Any other curvature would have to be summed, r^2 / 2 numbers for
each pair of contrasts, and those are better kept.
"""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from edge_node.arrays import Matrix, Vector
from edge_node.inference.classification.expected import NO_PARAMETERS
from edge_node.inference.numerics.eigenbasis import Eigenbasis

__all__ = ["Approximation"]


@dataclass(frozen=True)
class Approximation:
    """q(U) = N(mean, (W (x) G + I / a)^-1), for the prior N(0, a I).

    Attributes:
        mean: U (r, q).
        curvature: W (q, q), symmetric, positive semi-definite.
        gram: G (r, r).
        amplitude: a.
        parameters: theta (h,), the likelihood's, that go with it.
    """

    mean: Matrix
    curvature: Matrix
    gram: Eigenbasis
    amplitude: float
    parameters: Vector = field(default_factory=NO_PARAMETERS.copy)

    @property
    def outputs(self) -> int:
        """q, the number of contrasts."""
        return len(self.curvature)

    @cached_property
    def contrasts(self) -> Eigenbasis:
        """W's eigenbasis."""
        return Eigenbasis.of(self.curvature)

    @cached_property
    def gains(self) -> Matrix:
        """How much more precise than the prior q is (r, q), in the eigenbases of G and W."""
        return self.amplitude * np.outer(self.gram.values, self.contrasts.values)

    @cached_property
    def variances(self) -> Matrix:
        """The covariance (r, q), which is diagonal in the eigenbases of G and W."""
        variances: Matrix = self.amplitude / (1.0 + self.gains)
        return variances

    @cached_property
    def divergence(self) -> float:
        """KL(q(U) || N(0, a I)), nats."""
        squares = np.square(self.mean).sum() / self.amplitude
        volume = np.log1p(self.gains) - self.gains / (1.0 + self.gains)
        return float(0.5 * (squares + volume.sum()))

    def latent(self, Phi: Matrix, uncovered: Vector) -> tuple[Matrix, Matrix]:
        """Mean (n, q) and covariance (n, q, q) of the contrasts, the residual's variance included.

        Args:
            Phi: features (n, r).
            uncovered: k(x, x) - phi'phi (n,), not negative.
        """
        spread = np.square(Phi @ self.gram.vectors) @ self.variances
        spread += self.amplitude * uncovered[:, None]
        R = self.contrasts.vectors
        return Phi @ self.mean, (R * spread[:, None, :]) @ R.T

    def leverages(self, Phi: Matrix) -> Vector:
        """Each row's share (n,) in what determines the covariance's size; over all rows of G, one.

        With w the mean eigenvalue of W, they are phi'S G S phi, S = (w G + I / a)^-1. For one
        contrast, F is stationary in W exactly where W is the mean of the rows' curvatures under
        these weights.
        """
        w, g = float(np.trace(self.curvature)) / self.outputs, self.gram.values
        weights = g / (w * g + 1.0 / self.amplitude) ** 2
        weights /= max(float(weights @ g), np.finfo(float).tiny)
        leverages: Vector = np.square(Phi @ self.gram.vectors) @ weights
        return leverages

    def drawn(self, normal: Matrix) -> Matrix:
        """Draws of U (r, q, draws), from standard normal numbers of the same shape."""
        spread = np.sqrt(self.variances)[:, :, None] * normal
        turned = np.einsum("ri,ijd,kj->rkd", self.gram.vectors, spread, self.contrasts.vectors)
        draws: Matrix = self.mean[:, :, None] + turned
        return draws

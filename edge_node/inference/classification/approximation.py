"""The Gaussian q(U) that approximates a classifier's posterior, and the latent function under it.

vec U runs over contrasts first, then features. A contrast at x is g(x) = U'phi(x) + a residual of
variance a (k(x, x) - phi'phi), which the data don't determine.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.linalg import solve_triangular

from edge_node.arrays import Matrix, Vector
from edge_node.inference.classification.likelihood import pairs
from edge_node.inference.messages.gaussian import Gaussian

__all__ = ["Approximation"]


@dataclass(frozen=True)
class Approximation:
    """A Gaussian q(U): the rows' message times the prior N(0, a I).

    Attributes:
        message: Lambda (q r, q r) and eta (q r,) over vec U.
        amplitude: a.
        outputs: q.
    """

    message: Gaussian
    amplitude: float
    outputs: int

    @cached_property
    def factor(self) -> Matrix:
        """L (q r, q r) lower, L L' = Lambda + I / a."""
        return self.message.with_prior(self.amplitude).factor

    @cached_property
    def whitening(self) -> Matrix:
        """L^-1 (q r, q r), lower."""
        identity = np.eye(self.message.size)
        inverse: Matrix = solve_triangular(self.factor, identity, lower=True, check_finite=False)
        return inverse

    @cached_property
    def weights(self) -> Matrix:
        """The mean U (r, q)."""
        flat = self.whitening.T @ (self.whitening @ self.message.shift)
        return flat.reshape(self.outputs, -1).T

    @cached_property
    def divergence(self) -> float:
        """KL(q(U) || N(0, a I)), nats."""
        size, a = self.message.size, self.amplitude
        squares = np.square(self.weights).sum() + np.square(self.whitening).sum()
        volume = size * np.log(a) + 2.0 * np.log(np.diag(self.factor)).sum()
        return float(0.5 * (squares / a - size + volume))

    def latent(self, Phi: Matrix, uncovered: Vector) -> tuple[Matrix, Matrix]:
        """Mean (n, q) and covariance (n, q, q) of the contrasts, the residual's variance included.

        Args:
            Phi: features (n, r).
            uncovered: k(x, x) - phi'phi (n,), not negative.
        """
        size, q = Phi.shape[1], self.outputs
        white = [
            self.whitening[j * size :, j * size : (j + 1) * size] @ Phi.T for j in range(q)
        ]  # the j-th starts at row j r: above that, L^-1 is zero
        covariance = np.empty((len(Phi), q, q))
        for j, k in pairs(q):
            shared = np.einsum("in,in->n", white[j][(k - j) * size :], white[k])
            covariance[:, j, k] = covariance[:, k, j] = shared
        covariance += self.amplitude * uncovered[:, None, None] * np.eye(q)
        return Phi @ self.weights, covariance

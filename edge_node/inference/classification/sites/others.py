"""What all rows but some of a site's own say of a classifier's weights.

The shared approximation has the mean M, the curvature W and the amplitude a, and G = Phi'Phi. At
the best M the gradient of all rows' likelihood is M / a. Some rows' own part of it is
Gamma_B = Phi_B' E [(onehot(y) - p)' Q], and of G it is G_B = Phi_B'Phi_B. So the others leave

    precision  W (x) (G - G_B) + I / a,      shift  (G - G_B) M W + M / a - Gamma_B.

In W's eigenbasis the contrasts are independent.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np

from edge_node.arrays import Matrix, Vector
from edge_node.inference.classification.posterior import ClassPosterior
from edge_node.inference.classification.sites.dense import Marginals
from edge_node.inference.numerics.eigenbasis import Eigenbasis

__all__ = ["Others", "coordinates"]


@dataclass(frozen=True)
class Others:
    """The Gaussian that the other rows leave of U, each contrast in W's eigenbasis by itself.

    Attributes:
        mean: (r, q).
        variances: (r, q), along the columns of ``vectors``.
        vectors: V (r, r).
    """

    mean: Matrix
    variances: Matrix
    vectors: Matrix

    @classmethod
    def of(cls, posterior: ClassPosterior, Phi: Matrix, gradient: Matrix) -> Self:
        """Without rows of features Phi (n, r).

        Args:
            posterior: the shared one.
            Phi: those rows' features; the posterior is made of all of them.
            gradient: of their likelihood (n, q), in W's eigenbasis, under the shared posterior.
        """
        return cls.without(posterior, Phi.T @ Phi, Phi.T @ gradient)

    @classmethod
    def without(cls, posterior: ClassPosterior, own_gram: Matrix, pull: Matrix) -> Self:
        """Without rows of which the sums are known, G_B (r, r) and Gamma_B (r, q)."""
        q = posterior.approximation
        R, w, a = q.contrasts.vectors, q.contrasts.values, q.amplitude
        V = q.gram.vectors
        gram = (V * q.gram.values) @ V.T - own_gram
        left = Eigenbasis.of(gram)
        mean = q.mean @ R
        shift = gram @ mean * w + mean / a - pull
        variances = a / (1.0 + a * np.outer(left.values, w))
        V = left.vectors
        return cls(V @ (variances * (V.T @ shift)), variances, V)

    def turned(self, Phi: Matrix) -> Matrix:
        """Features (n, r) in the basis of the variances."""
        turned: Matrix = Phi @ self.vectors
        return turned


def coordinates(posterior: ClassPosterior, Phi: Matrix, uncovered: Vector) -> Marginals:
    """The shared posterior's contrasts in W's eigenbasis, in which they are independent.

    Args:
        posterior: the shared one.
        Phi: features (n, r).
        uncovered: k(x, x) - phi'phi (n,), not negative.
    """
    q = posterior.approximation
    spread = np.square(Phi @ q.gram.vectors) @ q.variances
    variance = spread + q.amplitude * posterior.unaccounted(uncovered)[:, None]
    return Marginals(Phi @ q.mean @ q.contrasts.vectors, variance)

"""A block of a site's rows under a posterior, solved: the algebra of `refinement`.

With Phi_B a block's features, R = K_BB - Phi_B Phi_B' + s2 I is what they and the noise leave of
its rows' covariance. All that the block says and answers takes R^-1, so R is factorised once.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy.linalg import cho_solve, lapack, solve_triangular

from edge_node.arrays import Matrix, Vector
from edge_node.inference.features.blocks import Block
from edge_node.inference.features.nystrom import Features
from edge_node.inference.messages.gaussian import Gaussian, cholesky
from edge_node.inference.regression.conditional import ConditionalStatistics
from edge_node.inference.regression.posterior import Posterior

__all__ = ["BlockResidual", "SolvedBlock"]

_LEAST_PRECISION = 1e-12
"""What rounding may leave of a row's precision without the others'."""


@dataclass(frozen=True)
class BlockResidual:
    """A block's features Phi_B (n, r) and the covariance (n, n) that they leave."""

    Phi: Matrix
    covariance: Matrix

    @classmethod
    def of(cls, block: Block, features: Features) -> Self:
        """From the block's rows."""
        here = features.at_place()
        Phi = here(block.inputs)
        return cls(Phi, features.kernel(block.inputs, block.inputs) - Phi @ Phi.T)

    def factor(self, noise: float) -> Matrix:
        """L (n, n) lower, L L' = R."""
        R = self.covariance + noise * np.eye(len(self.Phi))
        return cholesky(R, what="a block's residual covariance")

    def statistics(self, y: Vector, noise: float) -> ConditionalStatistics:
        """Of targets y (n,), for s2 = ``noise``."""
        L = self.factor(noise)
        white = _whiten(L, np.column_stack([self.Phi, y]))
        Phi, target = white[:, :-1], white[:, -1]
        return ConditionalStatistics(
            len(y),
            float(target @ target),
            2.0 * float(np.log(np.diag(L)).sum()),
            float(np.trace(self.covariance)),
            Gaussian(Phi.T @ Phi, Phi.T @ target),
        )


@dataclass(frozen=True)
class SolvedBlock:
    """A block under a posterior: what predictions need, and no more (R itself isn't kept).

    Attributes:
        block: the rows.
        posterior: mu and I + Lambda.
        Phi: Phi_B (n, r).
        factor: L (n, n) lower, L L' = R.
        white: L^-1 Phi_B (n, r).
        residual: R^-1 (y_B - Phi_B mu), (n,).
    """

    block: Block
    posterior: Posterior
    Phi: Matrix
    factor: Matrix
    white: Matrix
    residual: Vector

    @classmethod
    def of(cls, block: Block, posterior: Posterior) -> Self:
        """Solve a block under a posterior. Raises NumericalError."""
        own = BlockResidual.of(block, posterior.features)
        L = own.factor(posterior.noise)
        errors = block.targets - own.Phi @ posterior.mean
        residual = cho_solve((L, True), errors, check_finite=False)
        return cls(block, posterior, own.Phi, L, _whiten(L, own.Phi), residual)

    def predict(self, X: Matrix) -> tuple[Vector, Vector]:
        """Mean (n,) and variance (n,) of f at X (n, d)."""
        posterior, features = self.posterior, self.posterior.features.at_place()
        placed = posterior.features.place(X)
        phi = features(placed)
        r = features.kernel(self.block.inputs, placed) - self.Phi @ phi.T
        explained = _whiten(self.factor, r)
        open_ = _whiten(posterior.factor, phi.T - self.white.T @ explained)
        left = features.prior_variance(placed) - np.square(phi).sum(axis=1)
        left = np.maximum(left - np.square(explained).sum(axis=0), 0.0)
        mean = phi @ posterior.mean + r.T @ self.residual
        variance = left + np.square(open_).sum(axis=0)
        return mean, posterior.amplitude * variance

    def leave_one_out(self) -> tuple[Vector, Vector]:
        """Error y - mean (n,) and variance (n,), noise included, of each row without itself.

        With C / a the covariance of the block's targets given all other rows, and e their errors,
        a row has the error (C^-1 e)_i / (C^-1)_ii and the variance a / (C^-1)_ii (Rasmussen &
        Williams 2006, eq. 5.12). Here C^-1 = R^-1 - W (I + Lambda)^-1 W', W = R^-1 Phi_B, and
        C^-1 e = R^-1 (y_B - Phi_B mu).
        """
        inverse, _ = lapack.dtrtri(self.factor, lower=1)
        W = inverse.T @ self.white
        known = np.square(_whiten(self.posterior.factor, W.T)).sum(axis=0)
        alone = np.square(inverse).sum(axis=0)
        precision = np.maximum(alone - known, _LEAST_PRECISION * alone)
        return self.residual / precision, self.posterior.amplitude / precision


def _whiten(factor: Matrix, columns: Matrix) -> Matrix:
    """L^-1 columns."""
    white: Matrix = solve_triangular(factor, columns, lower=True, check_finite=False)
    return white

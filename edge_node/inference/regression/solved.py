"""A block of a site's rows under a posterior, solved: the algebra of `refinement`.

With Phi_B a block's features, R = K_BB - Phi_B Phi_B' + s2 I is what they and the noise leave of
its rows' covariance. All that the block says and answers takes R^-1, so R is factorised once.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from scipy.linalg import cho_solve, lapack, solve_triangular

from edge_node.arrays import Matrix, Vector
from edge_node.inference.features.blocks import Block
from edge_node.inference.features.nystrom import Features
from edge_node.inference.messages.gaussian import Gaussian, cholesky
from edge_node.inference.numerics.distances import Indices
from edge_node.inference.numerics.streaming import BLOCK_ROWS
from edge_node.inference.regression.conditional import ConditionalStatistics
from edge_node.inference.regression.posterior import Posterior
from edge_node.inference.regression.student import expected_precisions

__all__ = ["BlockResidual", "SolvedBlock", "predict_by_owner"]

_LEAST_PRECISION = 1e-12
"""What rounding may leave of a row's precision without the others'."""


@dataclass(frozen=True)
class BlockResidual:
    """A block's features Phi_B (n, r), those that leave its residual process (n, r), and the
    covariance (n, n) of that.
    """

    Phi: Matrix
    Psi: Matrix
    covariance: Matrix

    @classmethod
    def of(cls, block: Block, features: Features, residual: Features | None = None) -> Self:
        """From the block's rows; the residual is what ``residual``, another kernel's features of
        the same landmarks, leave. None: what ``features`` do.
        """
        left, Phi = residual or features, features.at_place()(block.inputs)
        Psi = Phi if left.kernel == features.kernel else left.at_place()(block.inputs)
        return cls(Phi, Psi, left.kernel(block.inputs, block.inputs) - Psi @ Psi.T)

    def factor(self, noise: Vector) -> Matrix:
        """L (n, n) lower, L L' = R, for each row's noise (n,)."""
        R = self.covariance + np.diag(noise)
        return cholesky(R, what="a block's residual covariance")

    def statistics(self, y: Vector, noise: Vector, costs: float = 0.0) -> ConditionalStatistics:
        """Of targets y (n,), for each row's noise (n,) and what these noises cost the evidence."""
        L = self.factor(noise)
        white = _whiten(L, np.column_stack([self.Phi, y]))
        Phi, target = white[:, :-1], white[:, -1]
        return ConditionalStatistics(
            len(y),
            float(target @ target),
            2.0 * float(np.log(np.diag(L)).sum()) + costs,
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
        left: the features that leave the residual process.
        Psi: those of the block's rows (n, r).
    """

    block: Block
    posterior: Posterior
    Phi: Matrix
    factor: Matrix
    white: Matrix
    residual: Vector
    left: Features
    Psi: Matrix

    @classmethod
    def of(cls, block: Block, posterior: Posterior, residual: Features | None = None) -> Self:
        """Solve a block under a posterior. Raises NumericalError."""
        own = BlockResidual.of(block, posterior.features, residual)
        L = own.factor(posterior.noise * block.noise_shares)
        errors = block.targets - own.Phi @ posterior.mean
        solved = cho_solve((L, True), errors, check_finite=False)
        left = residual or posterior.features
        return cls(block, posterior, own.Phi, L, _whiten(L, own.Phi), solved, left, own.Psi)

    def predict(self, X: Matrix) -> tuple[Vector, Vector]:
        """Mean (n,) and variance (n,) of f at X (n, d)."""
        posterior, features = self.posterior, self.posterior.features.at_place()
        placed = posterior.features.place(X)
        phi = features(placed)
        left = self.left.at_place()
        psi = phi if left.kernel == features.kernel else left(placed)
        r = left.kernel(self.block.inputs, placed) - self.Psi @ psi.T
        explained = _whiten(self.factor, r)
        open_ = _whiten(posterior.factor, phi.T - self.white.T @ explained)
        open_left = left.prior_variance(placed) - np.square(psi).sum(axis=1)
        open_left = np.maximum(open_left - np.square(explained).sum(axis=0), 0.0)
        mean = phi @ posterior.mean + r.T @ self.residual
        variance = open_left + np.square(open_).sum(axis=0)
        return mean, posterior.amplitude * variance

    def leave_one_out(self) -> tuple[Vector, Vector]:
        """Error y - mean (n,) and variance (n,), noise included, of each row without itself.

        With C / a the covariance of the block's targets given all other rows, and e their errors,
        a row has the error (C^-1 e)_i / (C^-1)_ii and the variance a / (C^-1)_ii (Rasmussen &
        Williams 2006, eq. 5.12). Here C^-1 = R^-1 - W (I + Lambda)^-1 W', W = R^-1 Phi_B, and
        C^-1 e = R^-1 (y_B - Phi_B mu).
        """
        precision = self._precision
        every = np.arange(len(precision))
        return self.residual / precision, self._of_new_targets(1.0 / precision, every)

    def leave_out(
        self, rows: Indices, posterior: Posterior, inverse: Matrix | None = None
    ) -> tuple[Vector, Vector]:
        """The same of some rows H without all of them, under a posterior that knows none of them.

        With P = R^-1 and S = (P_HH)^-1, what the block's other rows K say of these has the
        coefficients -S P_HK and leaves S open. So with e = y - Phi mu,

            errors = S [P e]_H,   Q = S [P Phi]_H,   variances = a diag[S + Q (I + Lambda)^-1 Q']

        Args:
            rows: H, in the block's own numbers (h,), one or more.
            posterior: mu and I + Lambda of others; the rest of it is this one's.
            inverse: L^-1 (`inverse_factor`), for several calls.
        """
        columns = (self.inverse_factor() if inverse is None else inverse)[:, rows]
        L = cholesky(columns.T @ columns, what="a block's rows' precision")
        PPhi = columns.T @ self.white
        solved = self.residual[rows] - PPhi @ (posterior.mean - self.posterior.mean)
        S, Q = cho_solve((L, True), np.eye(len(L))), cho_solve((L, True), PPhi)
        variance = np.diag(S) + np.square(_whiten(posterior.factor, Q.T)).sum(axis=0)
        return S @ solved, self._of_new_targets(variance, rows)

    def inverse_factor(self) -> Matrix:
        """L^-1 (n, n), lower."""
        inverse: Matrix = lapack.dtrtri(self.factor, lower=1)[0]
        return inverse

    def _of_new_targets(self, variance: Vector, rows: Indices) -> Vector:
        """Of targets at rows (h,), from theirs, for a = 1, with the rows' own noise."""
        posterior = self.posterior
        if posterior.precisions is None:
            return posterior.amplitude * variance
        own = posterior.noise * self.block.noise_shares[rows]
        open_ = np.maximum(variance - own, 0.0)
        return posterior.amplitude * open_ + posterior.noise_variance

    @property
    def weighted(self) -> Block:
        """The block, with each row's noise as what this posterior leaves of its target asks for.

        With e_i = y_i - f(x_i), E[e^2] / a = (s2 / w)^2 [(C^-1 e)_i^2 / a - (C^-1)_ii] + s2 / w.
        """
        noise, share = self.posterior.noise, self.block.noise_shares
        excess = np.square(self.residual) / self.posterior.amplitude - self._precision
        squares = share + noise * np.square(share) * excess
        return replace(self.block, shares=1.0 / expected_precisions(squares))

    @property
    def _precision(self) -> Vector:
        """The diagonal of C^-1 (n,), for a = 1."""
        inverse = self.inverse_factor()
        W = inverse.T @ self.white
        known = np.square(_whiten(self.posterior.factor, W.T)).sum(axis=0)
        alone = np.square(inverse).sum(axis=0)
        precision: Vector = np.maximum(alone - known, _LEAST_PRECISION * alone)
        return precision


def _whiten(factor: Matrix, columns: Matrix) -> Matrix:
    """L^-1 columns."""
    white: Matrix = solve_triangular(factor, columns, lower=True, check_finite=False)
    return white


def predict_by_owner(
    X: Matrix, owner: Indices, solve: Callable[[int], SolvedBlock]
) -> tuple[Vector, Vector]:
    """Mean and variance (n,) of f at X (n, d), each by the block of its owner (n,), which
    ``solve`` gives by its number; NaN where that is -1.
    """
    mean, variance = np.full(len(X), np.nan), np.full(len(X), np.nan)
    for number in np.unique(owner[owner >= 0]).tolist():
        rows = np.flatnonzero(owner == number)
        for some in np.array_split(rows, -(-len(rows) // BLOCK_ROWS)):
            mean[some], variance[some] = solve(number).predict(X[some])
    return mean, variance

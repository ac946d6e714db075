"""A site's own rows on top of the posterior that all share (PIC).

What the landmarks don't cover, k(x, z) - phi(x)'phi(z), is itself a Gaussian process. Here rows of
one block B of a site depend on each other through it, and rows of different blocks don't: the
partially independent conditional (Snelson & Ghahramani 2007; Chen et al. 2013). With

    R = K_BB - Phi_B Phi_B' + s2 I,       y ~ N(0, a (Phi Phi' + blockdiag R)),

a block's rows still are one Gaussian message,

    Lambda_B = Phi_B' R^-1 Phi_B,   eta_B = Phi_B' R^-1 y_B,

with the evidence of ``conditional``, which is the case of blocks of one row. Messages are summed
over all sites, so that each site's answer uses all rows; R stays where the rows are. With
mu and I + Lambda the product's, as in ``posterior``, and x in block B,

    r = k(X_B, x) - Phi_B phi,      q = phi - Phi_B' R^-1 r
    mean     = phi'mu + r'R^-1 (y_B - Phi_B mu)
    variance = a [k(x, x) - phi'phi - r'R^-1 r + q'(I + Lambda)^-1 q].

The refined posterior has a noise of its own, chosen by its own evidence. It is smaller, because
less is left unexplained.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve, solve_triangular

from edge_node.arrays import Matrix, Rows, Vector
from edge_node.inference.features.nystrom import Arrays, Features
from edge_node.inference.messages.gaussian import Gaussian, cholesky
from edge_node.inference.numerics.streaming import BLOCK_ROWS
from edge_node.inference.regression.blocks import Block, nearest_block
from edge_node.inference.regression.conditional import ConditionalStatistics, local_conditional
from edge_node.inference.regression.posterior import Posterior

__all__ = ["Refinement", "local_refinement"]

_MOST_SOLVED = 8  # blocks, of 64 MB each at 2,000 rows, that are kept solved
_solving = Lock()  # a daemon's queries come from several threads; one of them solves a block


def local_refinement(
    blocks: Sequence[Block], others: Rows, features: Features, noises: Sequence[float]
) -> list[ConditionalStatistics]:
    """The statistics of this node's rows for each s2 of ``noises``.

    Args:
        blocks: the rows that depend on each other.
        others: chunks (X (n, d), y (n,)) of rows that are independent, given u.
        features: phi, r of them.
        noises: positive, in units of the amplitude.
    """
    totals = local_conditional(others, features, noises)
    for block in blocks:
        own = _Residual.of(block, features)
        totals = [
            total + own.statistics(block.targets, noise)
            for total, noise in zip(totals, noises, strict=True)
        ]
    return totals


@dataclass(frozen=True)
class _Residual:
    """A block's features Phi_B (n, r) and the covariance (n, n) that they leave."""

    Phi: Matrix
    covariance: Matrix

    @classmethod
    def of(cls, block: Block, features: Features) -> Self:
        here = features.at_place()
        Phi = here(block.inputs)
        return cls(Phi, features.kernel(block.inputs, block.inputs) - Phi @ Phi.T)

    def factor(self, noise: float) -> Matrix:
        """L (n, n) lower, L L' = R."""
        R = self.covariance + noise * np.eye(len(self.Phi))
        return cholesky(R, what="a block's residual covariance")

    def statistics(self, y: Vector, noise: float) -> ConditionalStatistics:
        L = self.factor(noise)
        white = _whiten(L, np.column_stack([self.Phi, y]))
        Phi, target = white[:, :-1], white[:, -1]
        return ConditionalStatistics(
            len(y),
            float(target @ target),
            2.0 * float(np.log(np.diag(L)).sum()),
            Gaussian(Phi.T @ Phi, Phi.T @ target),
        )


@dataclass(frozen=True)
class _SolvedBlock:
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
        own = _Residual.of(block, posterior.features)
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


def _whiten(factor: Matrix, columns: Matrix) -> Matrix:
    """L^-1 columns."""
    white: Matrix = solve_triangular(factor, columns, lower=True, check_finite=False)
    return white


@dataclass(frozen=True)
class Refinement:
    """A site's refined posterior: all sites' messages, and this site's blocks.

    Attributes:
        posterior: mu, I + Lambda, noise, amplitude and evidence of all sites' messages.
        blocks: this site's rows. They never leave.
    """

    posterior: Posterior
    blocks: tuple[Block, ...]
    _solved: dict[int, _SolvedBlock] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    @property
    def noise_variance(self) -> float:
        """The variance a s2 of a new observation around f, in target units squared."""
        return self.posterior.noise_variance

    def block_of(self, X: Matrix) -> NDArray[np.intp]:
        """The block (n,) that answers for each row of X (n, d); -1 where all are too far."""
        if not self.blocks:
            return np.full(len(X), -1, dtype=np.intp)
        return nearest_block(self.posterior.features.place(X), self.blocks)

    def predict(self, X: Matrix) -> tuple[Vector, Vector, NDArray[np.bool_]]:
        """Mean (n,) and variance (n,) of f at X (n, d), and whether a block answers for the row.

        Noise is not included. Where no block answers, both are NaN: the caller asks the posterior
        that all share.
        """
        mean, variance = np.full(len(X), np.nan), np.full(len(X), np.nan)
        owner = self.block_of(X)
        for index in np.unique(owner[owner >= 0]).tolist():
            for rows in _batches(np.flatnonzero(owner == index)):
                mean[rows], variance[rows] = self._solve(index).predict(X[rows])
        return mean, variance, owner >= 0

    def _solve(self, index: int) -> _SolvedBlock:
        """The block at ``index``, solved when it is first asked; the last ones asked are kept."""
        with _solving:
            solved = self._solved.pop(index, None)
            if solved is None:
                solved = _SolvedBlock.of(self.blocks[index], self.posterior)
            self._solved[index] = solved
            if len(self._solved) > _MOST_SOLVED:
                del self._solved[next(iter(self._solved))]
            return solved

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Everything but the features, which are the shared posterior's."""
        sizes = [len(block.targets) for block in self.blocks]
        width = self.posterior.features.landmarks.shape[1]
        return {
            **self.posterior.weights_to_arrays(),
            "sizes": np.array(sizes, dtype=np.int64),
            "inputs": np.concatenate([np.empty((0, width)), *(b.inputs for b in self.blocks)]),
            "targets": np.concatenate([np.empty(0), *(b.targets for b in self.blocks)]),
        }

    @classmethod
    def from_arrays(cls, arrays: Arrays, features: Features) -> Self:
        """The inverse of ``to_arrays``. Raises KeyError or ValueError for anything else."""
        ends = np.cumsum(arrays["sizes"])[:-1]
        parts = zip(
            np.split(arrays["inputs"], ends), np.split(arrays["targets"], ends), strict=True
        )
        blocks = tuple(Block(X, y) for X, y in parts) if len(arrays["sizes"]) else ()
        return cls(Posterior.from_arrays(arrays, features), blocks)


def _batches(rows: NDArray[np.intp]) -> list[NDArray[np.intp]]:
    return np.array_split(rows, -(-len(rows) // BLOCK_ROWS))

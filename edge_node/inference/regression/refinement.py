"""A site's own rows on top of the posterior that all share (PIC).

What the landmarks don't cover, k(x, z) - phi(x)'phi(z), is itself a Gaussian process. Here rows of
one block B of a site depend on each other through it, and rows of different blocks don't: the
partially independent conditional (Snelson & Ghahramani 2007; Chen et al. 2013). With

    R = K_BB - Phi_B Phi_B' + s2 I,       y ~ N(0, a (Phi Phi' + blockdiag R)),

a block's rows still are one Gaussian message,

    Lambda_B = Phi_B' R^-1 Phi_B,   eta_B = Phi_B' R^-1 y_B,

with the evidence of ``conditional``, which is the case of blocks of one row. A site needs nobody
for it: it takes its own rows' message out of the total that all share and puts this one in. The
other sites' rows stay as they are in the total, each by itself. R stays where the rows are. With
mu and I + Lambda the new product's, as in ``posterior``, and x in block B,

    r = k(X_B, x) - Phi_B phi,      q = phi - Phi_B' R^-1 r
    mean     = phi'mu + r'R^-1 (y_B - Phi_B mu)
    variance = a [k(x, x) - phi'phi - r'R^-1 r + q'(I + Lambda)^-1 q].

A site also has a noise s2 and an amplitude a of its own, chosen by the evidence of its rows given
all others. With mu_0 and I + Lambda_0 the other sites' product,

    Q            = y'R^-1 y + mu_0'(I + Lambda_0) mu_0 - mu'(I + Lambda) mu
    log evidence = -1/2 [n log(2 pi a) + log|R| + log|I + Lambda| - log|I + Lambda_0| + Q / a].

Measured on pol (16 sites, r = 480, no metric): RMSE .178 and NLL -.50, against .184 and -.34 where
all sites' blocks enter one sum of their own, with one noise for all.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve, solve_triangular

from edge_node.arrays import Matrix, Rows, Vector
from edge_node.errors import NumericalError
from edge_node.inference.features.nystrom import Arrays, Features
from edge_node.inference.messages.evidence import LEAST_RESIDUAL, NOISE_RANGE, Evidence
from edge_node.inference.messages.gaussian import Gaussian, cholesky
from edge_node.inference.numerics.streaming import BLOCK_ROWS
from edge_node.inference.regression.blocks import Block, LaterRows, nearest_block
from edge_node.inference.regression.conditional import ConditionalStatistics, local_conditional
from edge_node.inference.regression.posterior import Posterior

__all__ = ["Refinement", "local_refinement", "refine"]

_COARSE = tuple(8.0 ** (1 - i) for i in range(5))  # of the global posterior's noise: 8 to 1/512
_FINE = (8**-0.5, 8**0.5)  # of the best so far
_PRIOR_ROWS = 20
_MOST_SOLVED = 8  # blocks, of 64 MB each at 2,000 rows, that are kept solved
_solving = Lock()  # a daemon's queries come from several threads; one of them solves a block


def refine(
    posterior: Posterior, total: ConditionalStatistics, blocks: Sequence[Block], rows: Rows
) -> "Refinement":
    """A site's refinement.

    Args:
        posterior: the global one.
        total: the statistics of all sites' rows that it is made of.
        blocks: the site's first rows, one or more.
        rows: all of the site's, chunks (X (n, d), y (n,)).

    Raises:
        NumericalError: no noise gives a proper model.
    """
    features = posterior.features
    (alone,) = local_conditional(rows, features, [posterior.noise])
    others = _Others.of(total.without(alone).message, posterior)
    plain, _ = others.judged(alone, posterior.noise, amplitude=posterior.amplitude)
    later = LaterRows(rows, sum(len(block.targets) for block in blocks))
    floor = NOISE_RANGE[0] * float(features.kernel.diagonal(blocks[0].inputs).mean())
    tried: dict[float, Posterior] = {}
    factors: Sequence[float] = _COARSE
    centre = posterior.noise
    for _ in range(2):
        noises = [max(centre * factor, floor) for factor in factors]
        found = local_refinement(blocks, later, features, noises)
        for noise, statistics in zip(noises, found, strict=True):
            with suppress(NumericalError):
                tried[noise] = others.with_site(statistics, noise, less=plain.log_evidence)
        if not tried:
            raise NumericalError("no noise explains this site's targets", where="evidence")
        centre = max(tried, key=lambda noise: tried[noise].log_evidence)
        factors = _FINE
    return Refinement(tried[centre], tuple(blocks))


@dataclass(frozen=True)
class _Others:
    """What the other sites' rows say, for a site that joins them.

    Attributes:
        belief: I + Lambda_0 and its shift.
        posterior: the global one.
    """

    belief: Gaussian
    posterior: Posterior

    @classmethod
    def of(cls, message: Gaussian, posterior: Posterior) -> Self:
        return cls(message.with_prior(), posterior)

    def judged(
        self, own: ConditionalStatistics, noise: float, *, amplitude: float | None = None
    ) -> tuple[Evidence, Gaussian]:
        """The evidence of own rows given the others', and the product of all messages.

        An amplitude that isn't given is the best one, with the shared one as if seen in
        ``_PRIOR_ROWS`` more rows, so that a site of a few rows doesn't trust them too far.
        """
        belief = self.belief * own.message
        power = self.belief.shift @ self.belief.mean - belief.shift @ belief.mean
        residual = max(own.quadratic + float(power), LEAST_RESIDUAL * own.quadratic)
        if amplitude is None:
            shared = self.posterior.amplitude
            amplitude = (residual + _PRIOR_ROWS * shared) / (own.count + _PRIOR_ROWS)
        volume = 2 * float(np.log(np.diag(belief.factor) / np.diag(self.belief.factor)).sum())
        fit = own.count * np.log(2 * np.pi * amplitude) + residual / amplitude
        log_evidence = float(-0.5 * (fit + volume + own.log_determinant))
        return Evidence(log_evidence, noise, amplitude), belief

    def with_site(self, own: ConditionalStatistics, noise: float, *, less: float) -> Posterior:
        """The posterior with the site's own message.

        Args:
            own: the site's statistics for ``noise``.
            noise: s2.
            less: the evidence that the site's rows have in the global posterior. The global log
                evidence, less this, plus that of ``own``, is that of all rows: what compares this
                posterior with the global one.
        """
        evidence, belief = self.judged(own, noise)
        return Posterior(
            self.posterior.features,
            belief.mean,
            belief.factor,
            evidence.amplitude,
            noise,
            self.posterior.log_evidence - less + evidence.log_evidence,
        )


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
            float(np.trace(self.covariance)),
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

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

The residual process is the site's own, so its kernel may be another than that of phi: with psi that
kernel's features of the same landmarks, k(x, z) - psi(x)'psi(z) takes the place of what phi leaves.
Few landmarks say what varies slowly, and a smooth kernel says it best; between the rows of a block
a function may vary as it didn't between landmarks (docs/model.md, "Site refinement").

A site also has a noise s2 and an amplitude a of its own (``joining``).

Measured on pol (16 sites, r = 480, no metric): RMSE .178 and NLL -.50, against .184 and -.34 where
all sites' blocks enter one sum of their own, with one noise for all.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from edge_node.arrays import Matrix, Rows, Vector
from edge_node.errors import NumericalError
from edge_node.inference.features.blocks import Block, BlockTree, RowRange, first_blocks
from edge_node.inference.features.nystrom import Arrays, Features
from edge_node.inference.kernels.kernel import Kernel, kernel_from_json, kernel_to_json
from edge_node.inference.numerics.recent import Recent
from edge_node.inference.regression.calibration import Calibration
from edge_node.inference.regression.conditional import ConditionalStatistics, local_conditional
from edge_node.inference.regression.joining import (
    AROUND,
    COARSE,
    FINE,
    WEIGHTING_ROUNDS,
    Others,
    other_kernel,
    with_kernel,
)
from edge_node.inference.regression.posterior import Posterior
from edge_node.inference.regression.solved import BlockResidual, SolvedBlock, predict_by_owner
from edge_node.inference.regression.student import RowPrecisions, mixture_costs

__all__ = ["OwnRows", "Refinement", "local_refinement", "refine", "refine_alike"]

_MOST_SOLVED = 8  # blocks, of 64 MB each at 2,000 rows, that are kept solved


@dataclass(frozen=True)
class OwnRows:
    """A site's rows, the first of them in blocks.

    Attributes:
        rows: all, chunks (X (n, d), y (n,)).
        blocks: the first ones.
    """

    rows: Rows
    blocks: tuple[Block, ...]

    @classmethod
    def of(
        cls,
        rows: Rows,
        features: Features,
        most: int,
        size: int,
        *,
        precisions: RowPrecisions | None = None,
    ) -> Self:
        """The first ``most`` rows in blocks of at most ``size``, with their precisions."""
        placed = ((features.place(X), y) for X, y in rows)
        blocks = first_blocks(placed, most, size)
        if precisions is not None:
            here = precisions.at_place()
            blocks = [
                replace(each, shares=1.0 / here(each.inputs, each.targets)) for each in blocks
            ]
        return cls(rows, tuple(blocks))

    @classmethod
    def together(
        cls, rows: Rows, features: Features, *, precisions: RowPrecisions | None = None
    ) -> Self:
        """All rows in one block; none if there are no rows."""
        count = sum(len(y) for _, y in rows)
        return cls.of(rows, features, count, max(count, 1), precisions=precisions)

    @property
    def others(self) -> RowRange:
        """Those in no block."""
        return RowRange(self.rows, sum(len(block.targets) for block in self.blocks))


def refine(
    posterior: Posterior,
    total: ConditionalStatistics,
    own: OwnRows,
    kernel: Kernel | None = None,
) -> "Refinement":
    """A site's refinement.

    Args:
        posterior: the global one.
        total: the statistics of all sites' rows that it is made of.
        own: the site's, with one block or more.
        kernel: another one that the residual process may have, if the evidence of fifty rows or
            more prefers it.

    Raises:
        NumericalError: no noise gives a proper model.
    """
    features, precisions = posterior.features, posterior.precisions
    (alone,) = local_conditional(own.rows, features, [posterior.noise], precisions)
    others = Others.of(total.without(alone), alone, posterior)

    def best(
        blocks: Sequence[Block], left: Features, centre: float, *grids: Sequence[float]
    ) -> Posterior:
        def statistics(noises: Sequence[float]) -> Sequence[ConditionalStatistics]:
            return local_refinement(blocks, own.others, features, noises, precisions, left=left)

        return others.likeliest(statistics, centre, *grids)

    def likeliest(left: Features) -> tuple[Posterior, Features]:
        return best(own.blocks, left, posterior.noise, COARSE, FINE), left

    found = [likeliest(features)]
    if other_kernel(kernel, features, sum(len(block.targets) for block in own.blocks)):
        with suppress(NumericalError):  # the shared kernel's residual is there
            found.append(likeliest(with_kernel(features, kernel)))
    refined, left = max(found, key=lambda each: each[0].log_evidence)
    blocks = own.blocks
    for _ in range(0 if precisions is None else WEIGHTING_ROUNDS):
        blocks = tuple(SolvedBlock.of(block, refined, left).weighted for block in blocks)
        refined = best(blocks, left, refined.noise, AROUND)
    return Refinement(refined, blocks, left)


def refine_alike(
    refinement: "Refinement", others: ConditionalStatistics, own: OwnRows
) -> "Refinement":
    """As ``refinement``, with its noise and amplitude, from other rows of its site.

    Args:
        refinement: the site's.
        others: the statistics of the other sites' rows, for the global noise.
        own: the rows.

    Raises:
        NumericalError: the result is not a proper model.
    """
    like = refinement.posterior
    (statistics,) = local_refinement(
        own.blocks, own.others, like.features, [like.noise], like.precisions, left=refinement.left
    )
    belief = (others.message * statistics.message).with_prior()
    moved = replace(like, mean=belief.mean, factor=belief.factor)
    return Refinement(moved, own.blocks, refinement.left)


def local_refinement(
    blocks: Sequence[Block],
    others: Rows,
    features: Features,
    noises: Sequence[float],
    precisions: RowPrecisions | None = None,
    *,
    left: Features | None = None,
) -> list[ConditionalStatistics]:
    """The statistics of this node's rows for each s2 of ``noises``.

    Args:
        blocks: the rows that depend on each other.
        others: chunks (X (n, d), y (n,)) of rows that are independent, given u.
        features: phi, r of them.
        noises: positive, in units of the amplitude.
        precisions: of the others; blocks hold their rows'.
        left: the features that leave the blocks' residual process; None: phi.
    """
    totals = local_conditional(others, features, noises, precisions)
    for block in blocks:
        own = BlockResidual.of(block, features, left)
        costs = 0.0 if block.shares is None else float(mixture_costs(block.shares).sum())
        totals = [
            total + own.statistics(block.targets, noise * block.noise_shares, costs)
            for total, noise in zip(totals, noises, strict=True)
        ]
    return totals


@dataclass(frozen=True)
class Refinement:
    """A site's refined posterior: all sites' messages, and this site's blocks.

    Attributes:
        posterior: mu, I + Lambda, noise, amplitude and evidence of all sites' messages.
        blocks: this site's rows. They never leave.
        left: the features that leave the blocks' residual process; None: the posterior's.
    """

    posterior: Posterior
    blocks: tuple[Block, ...]
    left: Features | None = None
    _solved: Recent[SolvedBlock] = field(
        default_factory=lambda: Recent(_MOST_SOLVED), init=False, repr=False, compare=False
    )

    kind: ClassVar[str] = "blocks"

    def calibrated(self, calibration: Calibration) -> Self:
        """With the spread that held-out rows show, where this one's is the model's own."""
        return replace(self, posterior=self.posterior.calibrated(calibration))

    @property
    def noise_variance(self) -> float:
        """The variance of a new observation around f, in target units squared."""
        return self.posterior.noise_variance

    def block_of(self, X: Matrix) -> NDArray[np.intp]:
        """The block (n,) that answers for each row of X (n, d); -1 where all are too far."""
        if not self.blocks:
            return np.full(len(X), -1, dtype=np.intp)
        return self._tree.block_of(self.posterior.features.place(X))

    @cached_property
    def _tree(self) -> BlockTree:
        return BlockTree.of(self.blocks)

    def predict(self, X: Matrix) -> tuple[Vector, Vector, NDArray[np.bool_]]:
        """Mean (n,) and variance (n,) of f at X (n, d), and whether a block answers for the row.

        Noise is not included. Where no block answers, both are NaN: the caller asks the posterior
        that all share.
        """
        owner = self.block_of(X)
        mean, variance = predict_by_owner(X, owner, self._solve)
        return mean, variance, owner >= 0

    def _solve(self, index: int) -> SolvedBlock:
        """The block at ``index``, solved when it is first asked; the last ones asked are kept."""
        block = self.blocks[index]
        return self._solved(index, lambda: SolvedBlock.of(block, self.posterior, self.left))

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Everything but the features, which are the shared posterior's."""
        sizes = [len(block.targets) for block in self.blocks]
        width = self.posterior.features.landmarks.shape[1]
        return {
            **self.posterior.weights_to_arrays(),
            "kind": np.array(self.kind),
            "sizes": np.array(sizes, dtype=np.int64),
            "inputs": np.concatenate([np.empty((0, width)), *(b.inputs for b in self.blocks)]),
            "targets": np.concatenate([np.empty(0), *(b.targets for b in self.blocks)]),
            "shares": np.concatenate([np.empty(0), *(b.noise_shares for b in self.blocks)]),
            "kernel": np.array(kernel_to_json((self.left or self.posterior.features).kernel)),
        }

    @classmethod
    def from_arrays(cls, arrays: Arrays, features: Features) -> Self:
        """The inverse of ``to_arrays``. Raises KeyError or ValueError for anything else."""
        ends = np.cumsum(arrays["sizes"])[:-1]
        names = "inputs", "targets", "shares"
        parts = zip(*(np.split(arrays[name], ends) for name in names), strict=True)
        blocks = tuple(Block(*part) for part in parts) if len(arrays["sizes"]) else ()
        kernel = kernel_from_json(arrays["kernel"].item())
        left = None if kernel == features.kernel else with_kernel(features, kernel)
        return cls(Posterior.from_arrays(arrays, features), blocks, left)

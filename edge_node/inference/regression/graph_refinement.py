"""A site's own rows on top of the posterior that all share, without blocks.

As ``refinement``, but with all of the site's rows in one sparse model (``vecchia``): each row
depends on its nearest rows, wherever they lie, so that no neighbours are cut apart, and what it
takes grows with the rows and not with the square of a block's. Of the graph nothing is kept: it is
made of the rows again whenever a message is.

A prediction may know more of the rows around a place than a row's term of the message, for it is
made once and not for each row. So it takes the thousand rows around (``features.regions``), and
nearby places take the same ones: they are a block, solved once (``solved``). With fewer than a
thousand rows it is exact but for the message. On kin40k (4 sites, 2,000 rows each) the RMSE is .251
so, .293 with a place's 60 nearest rows, and .254 with blocks of 2,000.

The noise and, if another one explains the rows better, the residual's kernel are chosen by the
evidence of blocks of the rows, as if the site had these (``refinement``), and then one pass over
all rows makes the message. They are what predictions are like. A row's term knows of 60 rows and
takes for noise what it doesn't see: on kin40k its evidence asks for three times the noise.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from edge_node.arrays import Matrix, Vector
from edge_node.errors import NumericalError
from edge_node.inference.features.blocks import Block, halved
from edge_node.inference.features.kernel_graph import KernelGraph, Neighbourhoods
from edge_node.inference.features.nystrom import Arrays, Features
from edge_node.inference.features.regions import Regions
from edge_node.inference.kernels.kernel import Kernel, kernel_from_json, kernel_to_json
from edge_node.inference.numerics.distances import Indices
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
from edge_node.inference.regression.refinement import OwnRows, local_refinement
from edge_node.inference.regression.solved import SolvedBlock, predict_by_owner
from edge_node.inference.regression.student import expected_precisions
from edge_node.inference.regression.vecchia import SiteRows, local_vecchia

__all__ = ["GraphRefinement", "refine_by_graph", "refine_by_graph_alike"]

_JUDGED_ROWS = 1000  # of a block that noise and kernel are chosen by
_MOST_JUDGED = 8  # such blocks
_MOST_SOLVED = 8  # regions, of 24 MB each with 1,000 landmarks, that are kept solved


def refine_by_graph(
    posterior: Posterior,
    total: ConditionalStatistics,
    own: OwnRows,
    neighbours: int,
    kernel: Kernel | None = None,
) -> "GraphRefinement":
    """A site's refinement.

    Args:
        posterior: the global one.
        total: the statistics of all sites' rows that it is made of.
        own: the site's rows, together in one block.
        neighbours: of a row, at most.
        kernel: another one that the residual process may have, if the evidence prefers it.

    Raises:
        NumericalError: no noise gives a proper model.
    """
    features, precisions = posterior.features, posterior.precisions
    (alone,) = local_conditional(own.rows, features, [posterior.noise], precisions)
    others = Others.of(total.without(alone), alone, posterior)
    rows = own.blocks[0].shuffled()
    graph = KernelGraph.of(rows.inputs, neighbours)

    def likeliest(left: Features, centre: float, *grids: Sequence[float]) -> Posterior:
        judges = _judges(rows)

        def statistics(noises: Sequence[float]) -> list[ConditionalStatistics]:
            parts = local_refinement(judges, [], features, noises, left=left)
            return [each.standing_for(len(rows.targets)) for each in parts]

        return others.likeliest(statistics, centre, *grids)

    found = [(likeliest(features, posterior.noise, COARSE, FINE), features)]
    if other_kernel(kernel, features, len(rows.targets)):
        with suppress(NumericalError):  # the shared kernel's residual is there
            left = with_kernel(features, kernel)
            found.append((likeliest(left, posterior.noise, COARSE, FINE), left))
    judged, left = max(found, key=lambda each: each[0].log_evidence)

    def whole(noise: float) -> GraphRefinement:
        (statistics,) = local_vecchia(SiteRows.of(rows, features, left), graph, [noise])
        return GraphRefinement(others.with_site(statistics, noise), rows, neighbours, left)

    refined = whole(judged.noise)
    for _ in range(0 if precisions is None else WEIGHTING_ROUNDS):
        rows = refined.weighted
        refined = whole(likeliest(left, refined.posterior.noise, AROUND).noise)
    return refined


def _judges(rows: Block) -> list[Block]:
    """Blocks of a site's rows by which noise and kernel are judged, evenly spread over the site."""
    parts = list(halved(rows.inputs, np.arange(len(rows.targets)), _JUDGED_ROWS))
    return [rows.some(part) for part in parts[:: -(-len(parts) // _MOST_JUDGED)]]


def refine_by_graph_alike(
    refinement: "GraphRefinement", others: ConditionalStatistics, rows: Block
) -> "GraphRefinement":
    """As ``refinement``, with its noise and amplitude, from other rows of its site.

    Args:
        refinement: the site's.
        others: the statistics of the other sites' rows, for the global noise.
        rows: the rows.

    Raises:
        NumericalError: the result is not a proper model.
    """
    like, rows = refinement.posterior, rows.shuffled()
    graph = KernelGraph.of(rows.inputs, refinement.neighbours)
    site = SiteRows.of(rows, like.features, refinement.left)
    (statistics,) = local_vecchia(site, graph, [like.noise])
    belief = (others.message * statistics.message).with_prior()
    moved = replace(like, mean=belief.mean, factor=belief.factor)
    return replace(refinement, posterior=moved, rows=rows)


@dataclass(frozen=True)
class GraphRefinement:
    """A site's refined posterior: all sites' messages, and this site's rows.

    Attributes:
        posterior: mu, I + Lambda, noise, amplitude and evidence of all sites' messages.
        rows: this site's, one or more. They never leave.
        neighbours: of a place, at most.
        left: the features that leave the residual process; None: the posterior's.
    """

    posterior: Posterior
    rows: Block
    neighbours: int
    left: Features | None = None
    _solved: Recent[SolvedBlock] = field(
        default_factory=lambda: Recent(_MOST_SOLVED), init=False, repr=False, compare=False
    )

    kind: ClassVar[str] = "graph"

    def calibrated(self, calibration: Calibration) -> Self:
        """With the spread that held-out rows show, where this one's is the model's own."""
        return replace(self, posterior=self.posterior.calibrated(calibration))

    def at_place(self) -> Self:
        """The same, for inputs that are where the metric puts them."""
        return replace(self, posterior=self.posterior.at_place())

    @property
    def noise_variance(self) -> float:
        """The variance of a new observation around f, in target units squared."""
        return self.posterior.noise_variance

    def predict(self, X: Matrix) -> tuple[Vector, Vector, NDArray[np.bool_]]:
        """Mean (n,) and variance (n,) of f at X (n, d), and whether the site answers for the row.

        Noise is not included. A row that is farther from its nearest rows than any row of the site
        is from its own isn't answered for; there, both are NaN: the caller asks the posterior that
        all share.
        """
        placed = self.posterior.features.place(X)
        near, answered = self._near(placed)
        owner = np.where(answered, self._regions.of_row[near[:, 0]], -1)
        mean, variance = predict_by_owner(X, owner, self._solve)
        return mean, variance, answered

    def answers(self, placed: Matrix) -> NDArray[np.bool_]:
        """Whether the site answers for rows (n,) where the metric puts them, (n, d)."""
        return self._near(placed)[1]

    def leave_out(self, sets: Sequence[tuple[Indices, Posterior]]) -> list[tuple[Vector, Vector]]:
        """Error (h,) and variance (h,), noise included, of each set of the site's rows (h,) without
        all of them, under a posterior that knows none of them.

        A region is solved once: it leaves out one set after the other.
        """
        errors, variances = np.full((2, len(sets), len(self.rows.targets)), np.nan)
        for region, own in enumerate(self._regions.rows):
            around = self._regions.surroundings(region)
            solved = self._around(around)
            inverse = solved.inverse_factor()
            for i, (rows, posterior) in enumerate(sets):
                out = np.flatnonzero(np.isin(around, rows))
                mine = np.isin(around[out], own)
                if mine.any():
                    error, variance = solved.leave_out(out, posterior, inverse)
                    errors[i, around[out[mine]]] = error[mine]
                    variances[i, around[out[mine]]] = variance[mine]
        return [(errors[i, rows], variances[i, rows]) for i, (rows, _) in enumerate(sets)]

    @property
    def weighted(self) -> Block:
        """The rows, with each one's noise as what this posterior leaves of its target asks for.

        That is E[(y - f(x))^2] in units of a s2, of f given all rows, the row itself included.
        """
        here = self.at_place()
        mean, variance = predict_by_owner(self.rows.inputs, self._regions.of_row, here._solve)
        squares = np.square(self.rows.targets - mean) + variance
        unit = self.posterior.amplitude * self.posterior.noise
        return replace(self.rows, shares=1.0 / expected_precisions(squares / unit))

    def _solve(self, region: int) -> SolvedBlock:
        """The region's surroundings, solved when first asked; the last ones asked are kept."""
        return self._solved(region, lambda: self._around(self._regions.surroundings(region)))

    def _around(self, rows: Indices) -> SolvedBlock:
        return SolvedBlock.of(self.rows.some(rows), self.posterior, self.left)

    @cached_property
    def _near(self) -> Neighbourhoods:
        return Neighbourhoods.of(self.rows.inputs, self.neighbours)

    @cached_property
    def _regions(self) -> Regions:
        return Regions.of(self.rows.inputs)

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Everything but the features, which are the shared posterior's."""
        return {
            **self.posterior.weights_to_arrays(),
            "kind": np.array(self.kind),
            "inputs": self.rows.inputs,
            "targets": self.rows.targets,
            "shares": self.rows.noise_shares,
            "neighbours": np.array(self.neighbours),
            "kernel": np.array(kernel_to_json((self.left or self.posterior.features).kernel)),
        }

    @classmethod
    def from_arrays(cls, arrays: Arrays, features: Features) -> Self:
        """The inverse of ``to_arrays``. Raises KeyError or ValueError for anything else."""
        rows = Block(arrays["inputs"], arrays["targets"], arrays["shares"])
        neighbours = int(arrays["neighbours"])
        if not len(rows.inputs) == len(rows.targets) == len(rows.noise_shares) > 0 < neighbours:
            raise ValueError("rows and neighbours that don't fit")
        kernel = kernel_from_json(arrays["kernel"].item())
        left = None if kernel == features.kernel else with_kernel(features, kernel)
        return cls(Posterior.from_arrays(arrays, features), rows, neighbours, left)

"""A site's own rows on top of the posterior that all share, without blocks.

As ``refinement``, but with all of the site's rows in one sparse model (``vecchia``): each row
depends on its nearest rows, wherever they lie, so that no neighbours are cut apart. What it takes
grows with the rows, not with the square of a block's. Predictions take a place's nearest rows, and
of the graph itself nothing is kept: it is made of the rows again whenever a message is.

The noise and, if another one explains the rows better, the residual's kernel are chosen by the
evidence of a random sample of the rows' terms, each the row's density given its neighbours. Then
one pass over all rows makes the message.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from edge_node.arrays import Matrix, Vector
from edge_node.errors import NumericalError
from edge_node.inference.features.blocks import Block, halved
from edge_node.inference.features.kernel_graph import KernelGraph, Neighbourhoods
from edge_node.inference.features.nystrom import Arrays, Features
from edge_node.inference.kernels.kernel import Kernel, kernel_from_json, kernel_to_json
from edge_node.inference.numerics.blas import solve_rows
from edge_node.inference.numerics.distances import Indices
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
from edge_node.inference.regression.refinement import OwnRows
from edge_node.inference.regression.student import expected_precisions
from edge_node.inference.regression.vecchia import SiteRows, local_vecchia

__all__ = ["GraphRefinement", "refine_by_graph", "refine_by_graph_alike"]

_JUDGED = 2000  # rows whose terms choose noise and kernel
_TOGETHER = 512  # rows that are predicted at a time
_MOST_KEPT = 1 << 23  # numbers of all rows' features that are kept for queries, 64 MB


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
    (rows,) = own.blocks
    graph = KernelGraph.of(rows.inputs, neighbours)
    sample = graph.order[:: -(-len(graph.order) // _JUDGED)]

    def likeliest(left: Features, centre: float, *grids: Sequence[float]) -> Posterior:
        site = SiteRows.of(rows, features, left)
        return others.likeliest(lambda s2: local_vecchia(site, graph, s2, sample), centre, *grids)

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
    like = refinement.posterior
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

    kind: ClassVar[str] = "graph"

    def calibrated(self, calibration: Calibration) -> Self:
        """With the spread that held-out rows show, where this one's is the model's own."""
        return replace(self, posterior=self.posterior.calibrated(calibration))

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
        mean, variance = np.full(len(X), np.nan), np.full(len(X), np.nan)
        placed = self.posterior.features.place(X)
        near, answered = self._near(placed)
        rows = np.flatnonzero(answered)
        mean[rows], variance[rows] = self._at(placed[rows], near[rows])
        return mean, variance, answered

    @property
    def weighted(self) -> Block:
        """The rows, with each one's noise as what this posterior leaves of its target asks for.

        E[e^2] of e = y - f(x), in units of a s2; a row is among its own neighbours here.
        """
        mean, variance = self._at(self.rows.inputs, self._near(self.rows.inputs)[0])
        squares = np.square(self.rows.targets - mean) + variance
        unit = self.posterior.amplitude * self.posterior.noise
        return replace(self.rows, shares=1.0 / expected_precisions(squares / unit))

    def _at(self, places: Matrix, near: Indices) -> tuple[Vector, Vector]:
        """Mean and variance (m,) at places (m, d) with neighbours (m, k), those together that lie
        near each other.
        """
        mean, variance = np.empty(len(places)), np.empty(len(places))
        for some in halved(places, np.arange(len(places)), _TOGETHER):
            mean[some], variance[some] = self._together(places[some], near[some])
        return mean, variance

    def _together(self, places: Matrix, near: Indices) -> tuple[Vector, Vector]:
        posterior, joined = self.posterior, self._site.joined(places, near)
        (found,) = joined.regressions([posterior.noise], np.zeros(len(places)))
        errors = self.rows.targets[joined.used] - joined.near @ posterior.mean
        of = np.column_stack([joined.near, errors])
        explained = joined.explained(found.coefficients, of)
        mean = joined.Phi @ posterior.mean + explained[:, -1]
        open_ = np.ascontiguousarray(joined.Phi - explained[:, :-1])
        solve_rows(posterior.factor, open_)
        return mean, posterior.amplitude * (found.variances + np.vecdot(open_, open_))

    @cached_property
    def _near(self) -> Neighbourhoods:
        return Neighbourhoods.of(self.rows.inputs, self.neighbours)

    @cached_property
    def _site(self) -> SiteRows:
        """The rows, with their features where these are small."""
        site = SiteRows.of(self.rows, self.posterior.features, self.left)
        small = len(self.rows.targets) * len(site.features.landmarks) <= _MOST_KEPT
        return site.with_features() if small else site

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Everything but the features, which are the shared posterior's."""
        return {
            **self.posterior.weights_to_arrays(),
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


def hold_out(rows: Block, held: Indices) -> tuple[Block, Block]:
    """Rows without those ``held``, and these."""
    kept = np.ones(len(rows.targets), dtype=bool)
    kept[held] = False
    without, held_out = (
        Block(rows.inputs[some], rows.targets[some], rows.noise_shares[some])
        for some in (kept, ~kept)
    )
    return without, held_out

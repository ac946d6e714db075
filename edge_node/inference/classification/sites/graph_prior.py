"""A classifier's prior for all of a site's rows, on the graph of their nearest neighbours.

What others leave of a contrast at a site's rows is N(Phi M, C) with (`others`, `refinement`)

    C = Phi S Phi' + a (K - Phi Phi') + b K + c.

Dense, its factor costs the cube of the rows. Vecchia's approximation regresses each row on its k
nearest among those before it in the kernel graph's order, so that the precision B'D^-1 B is sparse
(Vecchia 1988; `features.conditionals`). We take it of the latent contrasts, as Zilber & Katzfuss
(2021) do: the labels' Gaussian factors then stand on the diagonal and change at every
step, while regressions stay. And we take it of the whole C, of what all share included: neighbours
pass that on, so there is no variable that all rows are joined to.

The mean of prior times factors solves (B'D^-1 B + W)(g - m) = shift - W m, on a graph of one
variable and one factor a row, the observation 0 = x_i - b_i'x_N + N(0, D_i). Plain messages find it
at some sites and diverge at others, where rows are nearly copies: so does the double loop
(`messages.guarantees.double_loop`). Its inner is one pass up and one pass down the rows' order,

    (B' (D^-1 + W) B)^-1,

exact where W is small or B the identity (Kuendig & Sigrist 2024, "VADU"). Messages on the loaded
graph are the other one; of 13,246 rows of protein they took 428 outer steps, the two passes 37.

Variances are those of messages, whose precisions always settle on such graphs (Du, Ma, Wu, Kar &
Moura 2018). They are approximate: of 3,000 rows of kin40k, k = 30, .69 to 1.24 times the exact ones
of the same precision in 90 % of rows. The rows' factors, which are all that is kept, hardly notice:
the dense bound with them is .03 nats below the best one, of 644
(`tests/inference/classification/test_class_graph.py`). Each row's conditional on its neighbours'
factors alone was no rival: its variances are 1.3 to 6 times too large, since labels say little
each, and many together.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import SuperLU, splu

from edge_node.arrays import Matrix, Vector
from edge_node.inference.classification.sites.dense import Labels, Marginals, Sites
from edge_node.inference.features.conditionals import Conditionals
from edge_node.inference.features.kernel_graph import KernelGraph
from edge_node.inference.kernels.kernel import Kernel
from edge_node.inference.messages.guarantees.double_loop import double_loop
from edge_node.inference.messages.propagation.factors import Observations
from edge_node.inference.messages.propagation.graph import FactorGraph
from edge_node.inference.numerics.distances import Indices, Stack

__all__ = ["GraphPrior", "SiteCovariance", "fit_on_graph"]

_OWN = 1e-4
"""Each row's own share of its prior variance: copies of a row may differ by as much."""

_TOLERANCE = 1e-6
"""Of the mean's residual."""

_MOST_STEPS = 25
_STAYS = 3e-3  # nats: the mean change of a row's log likelihood in the last step


@dataclass(frozen=True)
class Passes:
    """Up and down the rows' order: (B'(D^-1 + W) B)^-1.

    Attributes:
        order: (n,), the first row first.
        factor: B in that order, which is lower triangular.
        variances: 1 / (1 / D + W) in that order (n,).
    """

    order: Indices
    factor: SuperLU
    variances: Vector

    def means(self, shift: Matrix, _: int) -> Matrix:
        """From shifts (n, 1, q) to means (n, 1, q)."""
        ordered: Matrix = shift[self.order, 0]
        up: Matrix = self.factor.solve(ordered, trans="T")  # type: ignore[call-overload] # SciPy's
        means = np.empty_like(shift)
        means[self.order, 0] = self.factor.solve(up * self.variances[:, None])
        return means


@dataclass(frozen=True)
class SiteCovariance:
    """C of each contrast, between places of which the features are known.

    Attributes:
        kernel: k.
        amplitude: a.
        deviation: b.
        constant: c.
        variances: of what others leave of U (r, q), along the features' axes.
    """

    kernel: Kernel
    amplitude: float
    deviation: float
    constant: float
    variances: Matrix

    def within(self, places: Stack, turned: Stack, contrast: int) -> Stack:
        """Between all of each of places (g, m, d), turned features (g, m, r): (g, m, m)."""
        weights = self.variances[:, contrast] - self.amplitude
        C = self.kernel.within(places)
        C *= self.amplitude + self.deviation
        C += (turned * weights) @ turned.transpose(0, 2, 1)
        C += self.constant
        return C

    def diagonal(self, places: Matrix, turned: Matrix) -> Matrix:
        """Of each of places (n, d): (n, q)."""
        own = (self.amplitude + self.deviation) * self.kernel.diagonal(places) + self.constant
        return own[:, None] + np.square(turned) @ (self.variances - self.amplitude)


@dataclass(frozen=True)
class GraphPrior:
    """N(mean_j, (B_j'D_j^-1 B_j)^-1) of the contrasts of n rows, each by itself.

    Attributes:
        mean: (n, q).
        graph: each row's neighbours.
        conditionals: b and D, one a contrast.
    """

    mean: Matrix
    graph: KernelGraph
    conditionals: tuple[Conditionals, ...]

    @classmethod
    def of(
        cls,
        mean: Matrix,
        covariance: SiteCovariance,
        places: Matrix,
        turned: Matrix,
        neighbours: int,
    ) -> Self:
        """Join each row to its nearest ones.

        Args:
            mean: of the contrasts (n, q).
            covariance: C.
            places: the rows (n, d), where the metric puts them.
            turned: their features (n, r).
            neighbours: k.
        """
        graph = KernelGraph.of(places, neighbours)
        own = _OWN * covariance.diagonal(places, turned)

        def regressed(contrast: int) -> Conditionals:
            def between(rows: Indices) -> Stack:
                return covariance.within(places[rows], turned[rows], contrast)

            return Conditionals.of(graph, between, own[:, contrast])

        return cls(mean, graph, tuple(regressed(j) for j in range(mean.shape[1])))

    def times(self, sites: Sites) -> Marginals:
        """What the rows' factors make of it. Raises PropagationError: the engine has no answer."""
        shift = sites.shift - sites.precision * self.mean
        moves, variance = np.empty_like(shift), np.empty_like(shift)
        for j in range(shift.shape[1]):
            W = sites.precision[:, j]
            graph = self.product(j, shift[:, j], W)
            found = double_loop(graph, inner=self._passes(j, W), tolerance=_TOLERANCE)
            moves[:, j], variance[:, j] = found.mean[:, 0, 0], found.covariance[:, 0, 0]
        return Marginals(self.mean + moves, variance)

    def product(self, contrast: int, shift: Vector, precision: Vector) -> FactorGraph:
        """The graph whose mean solves (B'D^-1 B + W) x = shift (n,), W the diagonal (n,)."""
        each, rows = self.conditionals[contrast], np.arange(len(shift))
        family = Observations(
            np.column_stack([rows, self.graph.neighbours]),
            np.column_stack([np.ones(len(rows)), -each.coefficients])[..., None, None],
            np.zeros((len(rows), 1, 1)),
            _numbers(each.variances),
        )
        return FactorGraph(_numbers(precision), _numbers(shift), (family,))

    def _passes(self, contrast: int, precision: Vector) -> Passes:
        each, order = self.conditionals[contrast], self.graph.order
        return Passes(
            order,
            self._factors[contrast],
            1.0 / (1.0 / each.variances[order] + precision[order]),
        )

    @cached_property
    def _factors(self) -> tuple[SuperLU, ...]:
        """B of each contrast: unit triangular, so that its factors are itself and the identity."""
        order, found = self.graph.order, []
        for each in self.conditionals:
            B = sparse.eye_array(len(order)) - each.matrix(self.graph.neighbours, len(order))
            ordered = sparse.csc_array(sparse.csr_array(B)[order][:, order])
            found.append(splu(ordered, permc_spec="NATURAL", diag_pivot_thresh=0.0))
        return tuple(found)


def fit_on_graph(prior: GraphPrior, labels: Labels, start: Marginals) -> Sites:
    """The rows' factors, by the steps of `dense.fit`.

    What the bound loses by volumes isn't known on a graph, so steps end when the rows' log
    likelihoods stay, and are halved when they move more than the step before.

    Args:
        prior: of the rows' contrasts.
        labels: the likelihood.
        start: where the likelihood is looked at first.

    Raises:
        PropagationError: the engine has no answer.
    """
    expected, share, moved = labels.averages(start), 1.0, np.inf
    sites = labels.sites(expected, start)
    for _ in range(_MOST_STEPS):
        marginals, seen = prior.times(sites), expected
        expected = labels.averages(marginals)
        gains = labels.targets * (expected.log_probabilities - seen.log_probabilities)
        before, moved = moved, float(np.abs(gains.sum(axis=1)).mean())
        if moved < _STAYS:
            break
        share = share / 2 if moved > before else share
        sites = sites.towards(labels.sites(expected, marginals), share)
    return sites


def _numbers(values: Vector) -> Stack:
    """As matrices (n, 1, 1)."""
    return values[:, None, None]

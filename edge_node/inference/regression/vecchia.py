"""A site's rows as one sparse model on top of the landmarks: the algebra of `graph_refinement`.

What the landmarks leave of a site's rows has the covariance R = K - Psi Psi' + s2 I. A kernel graph
joins each row i to neighbours N before it (``features.kernel_graph``), and in the place of R^-1 is

    B'D^-1 B,      B_ij = -b_ij,   b_i = R_NN^-1 r_Ni,   D_i = R_ii - r_iN b_i

(``features.conditionals``), so that each row's share of a Gaussian message is one term,

    psi_i = (phi_i - sum_j b_ij phi_j) / sqrt(D_i),     t_i = (y_i - sum_j b_ij y_j) / sqrt(D_i)
    Lambda = sum psi_i psi_i',   eta = sum psi_i t_i,   y'R^-1 y = sum t_i^2,   log|R| = sum log D_i

(Vecchia 1988; with landmarks Gyger, Furrer & Sigrist 2025, a Vecchia-inducing-points full-scale
approximation, in the form in which a row's noise is part of its conditional). No neighbours are
FITC, and all rows before are PIC with one block.

Rows are taken some thousand at a time that lie near each other, so that they have neighbours in
common. Features are computed for those alone, and the whole of Phi is never held.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Self

import numpy as np

from edge_node.arrays import Matrix, Vector
from edge_node.inference.features.blocks import Block, halved
from edge_node.inference.features.conditionals import (
    Conditionals,
    Covariances,
    regressions,
    residual_covariances,
)
from edge_node.inference.features.kernel_graph import KernelGraph, Neighbours
from edge_node.inference.features.nystrom import Features
from edge_node.inference.messages.gaussian import Gaussian
from edge_node.inference.numerics.distances import Indices
from edge_node.inference.numerics.streaming import one_thread
from edge_node.inference.numerics.symmetric import SymmetricSum
from edge_node.inference.regression.conditional import ConditionalStatistics
from edge_node.inference.regression.student import mixture_costs

__all__ = ["JoinedRows", "SiteRows", "local_vecchia"]

_FEATURES_AT_ONCE = 1 << 20
"""Numbers of rows that lie near each other: 8 MB. Their neighbours' are ten times as many, and the
more rows, the fewer for each: with 400 landmarks, 10 for each of 2,600 rows and 15 of 500."""


@dataclass(frozen=True)
class SiteRows:
    """A site's rows and the features under which they are joined.

    Attributes:
        rows: of the site, n of them, where the metric puts them.
        features: phi.
        left: the features psi that leave the residual process; phi's own or another kernel's.
    """

    rows: Block
    features: Features
    left: Features

    @classmethod
    def of(cls, rows: Block, features: Features, left: Features | None = None) -> Self:
        """Of rows that are where the metric puts them."""
        return cls(rows, features.at_place(), (left or features).at_place())

    def joined(self, places: Matrix, neighbours: Neighbours) -> "JoinedRows":
        """Rows at ``places`` (m, d) with their neighbours (m, k) among the site's; -1: none."""
        used = np.unique(neighbours).astype(np.intp)
        used = used[used >= 0]
        all_places = np.concatenate([self.rows.inputs[used], places])
        Phi, Psi = self._features(all_places)
        local = np.searchsorted(used, neighbours)
        local[neighbours < 0] = -1
        shares = self.rows.noise_shares[used]
        covariances = residual_covariances(self.left, all_places, Psi)
        return JoinedRows(used, local, Phi[: len(used)], Phi[len(used) :], covariances, shares)

    def _features(self, places: Matrix) -> tuple[Matrix, Matrix]:
        Phi = self.features(places)
        return Phi, Phi if self.left.kernel == self.features.kernel else self.left(places)


@dataclass(frozen=True)
class JoinedRows:
    """Some rows and their neighbours.

    Attributes:
        used: the site's rows (u,) that are neighbours.
        neighbours: (m, k) of each row, among the ``used`` ones; -1 for none.
        near: phi (u, r) of the used rows.
        Phi: phi (m, r) of the rows themselves.
        covariances: R without noise, of the used rows and then the rows themselves.
        shares: noise of the used rows (u,), in units of s2.
    """

    used: Indices
    neighbours: Indices
    near: Matrix
    Phi: Matrix
    covariances: Covariances
    shares: Vector

    def regressions(self, noises: Sequence[float], own_shares: Vector) -> list[Conditionals]:
        """The rows' regressions on their neighbours for each s2; ``own_shares`` (m,) of the noise
        are the rows' own.
        """
        own, shares = self._own, np.concatenate([self.shares, own_shares])
        each = [noise * shares for noise in noises]
        return regressions(self.covariances, own, self.neighbours, each)

    def prior_variance(self) -> Vector:
        """What the landmarks leave of each row's variance (m,)."""
        return np.maximum(self.covariances(self._own[:, None])[:, 0, 0], 0.0)

    @property
    def _own(self) -> Indices:
        """The rows' own numbers (m,), after those of the used ones."""
        return len(self.used) + np.arange(len(self.Phi))


def local_vecchia(
    site: SiteRows, graph: KernelGraph, noises: Sequence[float]
) -> list[ConditionalStatistics]:
    """The statistics of a site's rows for each s2 of ``noises``.

    Args:
        site: the rows.
        graph: their neighbours.
        noises: positive, in units of the amplitude.
    """
    count = len(graph.order)
    together = max(1, _FEATURES_AT_ONCE // len(site.features.landmarks))
    groups = list(halved(site.rows.inputs, np.arange(count), together))
    with one_thread() as threads, ThreadPoolExecutor(threads) as pool:
        dealt = [groups[i::threads] for i in range(min(threads, len(groups)))]
        parts = pool.map(lambda each: _of_groups(site, graph, noises, each), dealt)
        totals = [_total(each) for each in zip(*parts, strict=True)]
    costs = 0.0 if site.rows.shares is None else float(mixture_costs(site.rows.shares).sum())
    return [total.statistics(count, costs) for total in totals]


def _of_groups(
    site: SiteRows, graph: KernelGraph, noises: Sequence[float], groups: Sequence[Indices]
) -> list["_Terms"]:
    sums = [_Terms(len(site.features.landmarks)) for _ in noises]
    y, shares = site.rows.targets, site.rows.noise_shares
    for rows in groups:
        joined = site.joined(site.rows.inputs[rows], graph.neighbours[rows])
        uncovered = float(joined.prior_variance().sum())
        found = joined.regressions(noises, shares[rows])
        for each, part in zip(sums, found, strict=True):
            each.add(joined, part, y[rows], y[joined.used])
            each.uncovered += uncovered
    return sums


class _Terms:
    """The running sums of rows' terms for one s2."""

    def __init__(self, size: int) -> None:
        self._precision, self._shift = SymmetricSum(size), np.zeros(size)
        self._quadratic, self._log_determinant, self.uncovered = 0.0, 0.0, 0.0

    def add(self, joined: JoinedRows, found: Conditionals, y: Vector, near: Vector) -> None:
        """Add rows with targets y (m,) and neighbours' targets ``near`` (u,)."""
        root = np.sqrt(found.variances)
        b = found.matrix(joined.neighbours, len(joined.used))
        psi, t = (joined.Phi - b @ joined.near) / root[:, None], (y - b @ near) / root
        self._precision.add(psi)
        self._shift += psi.T @ t
        self._quadratic += float(t @ t)
        self._log_determinant += float(np.log(found.variances).sum())

    def merge(self, other: Self) -> None:
        self._precision.merge(other._precision)
        self._shift += other._shift
        self._quadratic += other._quadratic
        self._log_determinant += other._log_determinant
        self.uncovered += other.uncovered

    def statistics(self, count: int, costs: float) -> ConditionalStatistics:
        return ConditionalStatistics(
            count,
            self._quadratic,
            self._log_determinant + costs,
            self.uncovered,
            Gaussian(self._precision.matrix(), self._shift),
        )


def _total(parts: Sequence[_Terms]) -> _Terms:
    first, *others = parts
    for part in others:
        first.merge(part)
    return first

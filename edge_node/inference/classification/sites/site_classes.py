"""All of a site's rows, and the factors that stand for their labels.

Whatever is summed or kept of all rows is made a few thousand at a time.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from edge_node.arrays import Matrix, Vector
from edge_node.inference.classification.posterior import ClassPosterior
from edge_node.inference.classification.sites.dense import Labels, Marginals, Sites
from edge_node.inference.classification.sites.graph_prior import (
    GraphPrior,
    SiteCovariance,
    fit_on_graph,
)
from edge_node.inference.classification.sites.others import Others, coordinates
from edge_node.inference.classification.sites.refinement import shares_variance
from edge_node.inference.features.blocks import Block
from edge_node.inference.numerics.distances import Indices

__all__ = ["SiteClasses"]

_JOINED = 30
"""Rows that a row is joined to in its graph, at most. Twice as many take twice the time, and the
factors that are found with them predict as well."""

_ROWS_AT_ONCE = 4096  # whose features are computed


@dataclass(frozen=True)
class SiteClasses:
    """All of a site's rows, and what others say of them.

    Attributes:
        posterior: the shared one.
        rows: the site's; targets are class indices.
        told: which of them (n,) the shared posterior is made of.
    """

    posterior: ClassPosterior
    rows: Block
    told: NDArray[np.bool_]

    @cached_property
    def labels(self) -> Labels:
        """The rows' likelihood, in W's eigenbasis."""
        basis = self.posterior.approximation.contrasts.vectors
        return Labels.of(self.rows.targets, self.posterior.offsets, basis)

    @cached_property
    def others(self) -> Others:
        """What the rows of all others say of U."""
        mean = self.posterior.approximation.mean
        gram, pull = np.zeros((len(mean), len(mean))), np.zeros_like(mean)
        for rows in self._parts(np.flatnonzero(self.told)):
            Phi, uncovered = self._covered(rows)
            shared, labels = coordinates(self.posterior, Phi, uncovered), self.labels.of_rows(rows)
            gram += Phi.T @ Phi
            pull += Phi.T @ labels.gradient(labels.averages(shared))
        return Others.without(self.posterior, gram, pull)

    def turned(self, rows: Indices) -> Matrix:
        """Features (m, r) of some rows, in the basis of what others leave."""
        return self.others.turned(self._covered(rows)[0])

    def covariance(self, deviation: float) -> SiteCovariance:
        """What others leave between places, for a deviation of variance b k + c."""
        return SiteCovariance(
            self.posterior.features.kernel,
            self.posterior.approximation.amplitude,
            deviation,
            shares_variance(deviation),
            self.others.variances,
        )

    def fit(self, deviation: float, neighbours: int) -> Sites:
        """The rows' factors. Memory: n (r + some ten times k) numbers.

        Raises:
            PropagationError: a system of the whole site can't be solved.
        """
        turned, start = self._all()
        prior = GraphPrior.of(
            turned @ (self.others.vectors.T @ self.others.mean),
            self.covariance(deviation),
            self.rows.inputs,
            turned,
            min(neighbours, _JOINED),
        )
        return fit_on_graph(prior, self.labels, start)

    def _all(self) -> tuple[Matrix, Marginals]:
        """All rows' turned features (n, r), and their contrasts under the shared posterior."""
        turned, means, variances = [], [], []
        for rows in self._parts(np.arange(len(self.told))):
            Phi, uncovered = self._covered(rows)
            shared = coordinates(self.posterior, Phi, uncovered)
            turned.append(self.others.turned(Phi))
            means.append(shared.mean)
            variances.append(shared.variance)
        return np.concatenate(turned), Marginals(np.concatenate(means), np.concatenate(variances))

    def _covered(self, rows: Indices) -> tuple[Matrix, Vector]:
        return self.posterior.features.at_place().covered(self.rows.inputs[rows])

    @staticmethod
    def _parts(rows: Indices) -> Iterator[Indices]:
        return (rows[i : i + _ROWS_AT_ONCE] for i in range(0, len(rows), _ROWS_AT_ONCE))

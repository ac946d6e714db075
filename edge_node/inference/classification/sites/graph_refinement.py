"""A site's own rows on top of the classifier that all share, without blocks.

The model is that of `refinement`, and all of a site's rows are in one piece. All that others left
is a prior for them on their kernel graph (`graph_prior`); natural-gradient steps find each row's
Gaussian factor, which is its label as a number that was measured with noise: shift / precision,
with variance 1 / precision.

At a place, we condition on the factors of k rows, with the whole covariance between them. Which
ones decides more than how many. We take those whose residual, what landmarks leave of the kernel,
is most correlated with the place's, among four times as many that are nearest. Predictions so are
local in what all share, too. Test log loss, whether a target is above its
median, at a site of kin40k and of protein of which 3,000 rows are kept, k = 30:

    all rows at once, dense                            .187   .448
    k nearest rows' latent values, by B alone          .193   .451
    k nearest rows' factors                            .193   .444
    k most correlated rows' factors                    .178   .423

The last is even better than the dense posterior: the kernel is the federation's, and rows that are
far say less of a site's function than it thinks. The factors themselves come from the whole graph.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from edge_node.arrays import Matrix
from edge_node.inference.classification.posterior import ClassPosterior
from edge_node.inference.classification.sites.dense import Marginals, Sites
from edge_node.inference.classification.sites.graph_prior import SiteCovariance
from edge_node.inference.classification.sites.site_classes import SiteClasses
from edge_node.inference.features.blocks import Block, halved
from edge_node.inference.features.conditionals import regress
from edge_node.inference.features.kernel_graph import Neighbourhoods
from edge_node.inference.features.nystrom import Arrays, check_finite
from edge_node.inference.numerics.distances import Indices

__all__ = ["ClassGraphRefinement"]

_CANDIDATES = 4  # times k rows that are nearest, of which k are most correlated
_TOGETHER = 256  # places that are predicted at a time
_LEAST_LEFT = 1e-9  # of k(x, x), below which landmarks leave a row nothing to be correlated with


@dataclass(frozen=True)
class ClassGraphRefinement:
    """A site's refined classifier.

    Attributes:
        model: this site's rows, one or more. They never leave.
        sites: their factors.
        deviation: b, the variance of what the site has and others don't, per unit of k(x, x).
        neighbours: k.
    """

    model: SiteClasses
    sites: Sites
    deviation: float
    neighbours: int

    kind: ClassVar[str] = "graph"

    @classmethod
    def of(cls, model: SiteClasses, deviation: float, neighbours: int) -> Self:
        """Find the rows' factors. Raises PropagationError: a system can't be solved."""
        return cls(model, model.fit(deviation, neighbours), deviation, neighbours)

    def on(self, posterior: ClassPosterior) -> Self:
        """The same, on an equal shared posterior: in one process sites share its memory."""
        return replace(self, model=replace(self.model, posterior=posterior))

    def answers(self, X: Matrix) -> NDArray[np.bool_]:
        """Whether the site answers for each row of X (n, d): not where all of its rows are far."""
        return self._near(self.model.posterior.features.place(X))[1]

    def predict_proba(self, X: Matrix) -> Matrix:
        """Class probabilities (n, C) at X (n, d); where the site has no rows, the shared ones.

        Raises:
            DataError: X is not finite.
        """
        check_finite(X)
        posterior = self.model.posterior
        probabilities = np.empty((len(X), len(posterior.offsets)))
        placed = posterior.features.place(X)
        near, answered = self._near(placed)
        if not answered.all():
            probabilities[~answered] = posterior.predict_proba(X[~answered])
        for some in halved(placed, np.flatnonzero(answered), _TOGETHER):
            if len(some):
                marginals = self._at(placed[some], near[some])
                probabilities[some] = self.model.labels.averages(marginals).probabilities
        return probabilities

    def _at(self, places: Matrix, near: Indices) -> Marginals:
        """The contrasts at places (m, d), whose nearest rows are (m, c)."""
        used, local = np.unique(near, return_inverse=True)
        local = local.reshape(near.shape)
        features = self.model.posterior.features.at_place()
        own, theirs = self.model.turned(used), self.model.others.turned(features(places))
        chosen = self._most_correlated(places, theirs, used, own, local)
        rows, covariance = used[chosen], self._covariance
        all_places = np.concatenate([self.model.rows.inputs[rows], places[:, None]], axis=1)
        all_turned = np.concatenate([own[chosen], theirs[:, None]], axis=1)
        axes = self.model.others.vectors.T @ self.model.others.mean
        before, mean = own @ axes, theirs @ axes
        variance, known = np.empty_like(mean), np.ones(rows.shape, dtype=bool)
        ends = np.arange(rows.shape[1])
        for j in range(mean.shape[1]):
            C = covariance.within(all_places, all_turned, j)
            precision = self.sites.precision[rows, j]
            C[:, ends, ends] += 1.0 / precision
            found = regress(C, known)
            targets = self.sites.shift[rows, j] / precision - before[chosen, j]
            mean[:, j] += np.vecdot(found.coefficients, targets)
            variance[:, j] = found.variances
        return Marginals(mean, variance)

    def _most_correlated(
        self, places: Matrix, theirs: Matrix, used: Indices, own: Matrix, local: Indices
    ) -> Indices:
        """Which of the ``used`` rows (m, k) have the residuals most correlated with the places'.

        Args:
            places: (m, d).
            theirs: their features (m, r).
            used: rows (u,).
            own: their features (u, r).
            local: the nearest of them (m, c) to each place.
        """
        kernel, inputs = self.model.posterior.features.kernel, self.model.rows.inputs[used]
        wanted = min(self.neighbours, local.shape[1])
        if wanted == local.shape[1]:
            return local
        pairs = np.stack([np.repeat(places, local.shape[1], axis=0), inputs[local.ravel()]], axis=1)
        left = kernel.within(pairs)[:, 0, 1].reshape(local.shape)
        left -= (own[local] @ theirs[:, :, None])[..., 0]
        whole = kernel.diagonal(inputs)
        alone = np.maximum(whole - np.vecdot(own, own), _LEAST_LEFT * whole)
        best = np.argpartition(-left / np.sqrt(alone)[local], wanted - 1, axis=1)[:, :wanted]
        return np.take_along_axis(local, best, axis=1)

    @cached_property
    def _covariance(self) -> SiteCovariance:
        return self.model.covariance(self.deviation)

    @cached_property
    def _near(self) -> Neighbourhoods:
        return Neighbourhoods.of(self.model.rows.inputs, _CANDIDATES * self.neighbours)

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Everything but the shared posterior."""
        return {
            "kind": np.array(self.kind),
            "inputs": self.model.rows.inputs,
            "targets": self.model.rows.targets,
            "told": self.model.told,
            "shift": self.sites.shift,
            "precision": self.sites.precision,
            "deviation": np.array(self.deviation),
            "neighbours": np.array(self.neighbours),
        }

    @classmethod
    def from_arrays(cls, arrays: Arrays, posterior: ClassPosterior) -> Self:
        """The inverse of ``to_arrays``. Raises KeyError or ValueError for anything else."""
        rows, told = Block(arrays["inputs"], arrays["targets"]), arrays["told"]
        sites = Sites(arrays["shift"], arrays["precision"])
        neighbours, n = int(arrays["neighbours"]), len(rows.targets)
        shapes = {sites.shift.shape, sites.precision.shape}
        if shapes != {(n, len(posterior.offsets) - 1)} or not (neighbours > 0 and n > 0):
            raise ValueError("rows and factors that don't fit")
        if not (rows.inputs.ndim == 2 and len(rows.inputs) == n and told.shape == (n,)):
            raise ValueError("rows and their labels don't fit")
        deviation = float(arrays["deviation"])
        if not ((sites.precision > 0).all() and deviation >= 0):
            raise ValueError("a factor's precision is not positive, or a variance is negative")
        return cls(SiteClasses(posterior, rows, told), sites, deviation, neighbours)

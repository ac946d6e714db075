"""A site's own rows on top of the classifier that all share.

The contrasts at a site are those that all share, and a deviation of the site's own:

    g(x) = U'phi(x) + residual(x) + deviation(x),        deviation ~ GP(0, b k + c).

The residual has the covariance a (k(x, z) - phi(x)'phi(z)). It is kept whole within a block of rows
that lie close together (PIC; `inference.regression.refinement`). The deviation is what this site
has and others don't: sites are one level of a hierarchical Gaussian process (Schwaighofer, Tresp
& Yu 2005). With b = 0 there is no deviation, and they are alike; with a large b each stands alone.
The constant c lets a site that deviates have class shares of its own.

A block's rows are first taken out of the shared posterior (`others`), which leaves a prior for
them; `dense` finds their posterior. It takes no sum, and no row leaves. The rows of other blocks,
this site's own included, stay as they are in the shared posterior.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from edge_node.arrays import Matrix, Vector
from edge_node.inference.classification.posterior import ClassPosterior
from edge_node.inference.classification.sites.dense import (
    DensePosterior,
    Labels,
    Marginals,
    Prior,
    Sites,
    fit,
    scaled_factor,
    whiten,
)
from edge_node.inference.classification.sites.others import Others, coordinates
from edge_node.inference.features.blocks import Block, BlockTree
from edge_node.inference.features.nystrom import Arrays, check_finite
from edge_node.inference.numerics.recent import Recent
from edge_node.inference.numerics.streaming import BLOCK_ROWS

__all__ = ["BlockModel", "ClassRefinement", "shares_variance"]

_SHARES_VARIANCE = 1.0  # c, logits squared; ecoli's log loss at sites of few classes: .53, not .61

_MOST_SOLVED = 8  # blocks that are kept solved


@dataclass(frozen=True)
class BlockModel:
    """A block of a site's rows, and what all others say of it.

    Attributes:
        posterior: the shared one.
        block: the rows; targets are class indices.
        told: which of them (n,) the shared posterior is made of. Rows of a class of which the site
            has too few were told to nobody.
    """

    posterior: ClassPosterior
    block: Block
    told: NDArray[np.bool_]

    @cached_property
    def covered(self) -> tuple[Matrix, Vector]:
        """Phi_B (n, r), and k(x, x) - phi'phi (n,)."""
        return self.posterior.features.at_place().covered(self.block.inputs)

    @cached_property
    def kernel(self) -> Matrix:
        """K_BB (n, n)."""
        return self.posterior.features.kernel(self.block.inputs, self.block.inputs)

    @cached_property
    def labels(self) -> Labels:
        """The rows' likelihood, in W's eigenbasis."""
        basis = self.posterior.approximation.contrasts.vectors
        return Labels.of(self.block.targets, self.posterior.offsets, basis)

    @cached_property
    def shared(self) -> Marginals:
        """The rows' contrasts under the shared posterior."""
        return coordinates(self.posterior, *self.covered)

    @cached_property
    def gradient(self) -> Matrix:
        """Of the rows' likelihood (n, q), under the shared posterior."""
        return self.labels.gradient(self.labels.averages(self.shared))

    @cached_property
    def others(self) -> Others:
        """What the rows of all others say of U."""
        Phi, _ = self.covered
        return Others.of(self.posterior, Phi[self.told], self.gradient[self.told])

    def prior(self, deviation: float) -> Prior:
        """Of the rows' contrasts, for a deviation of variance b k + c."""
        Phi, a = self.covered[0], self.posterior.approximation.amplitude
        own = (a + deviation) * self.kernel - a * (Phi @ Phi.T) + shares_variance(deviation)
        turned = self.others.turned(Phi)
        covariances = ((turned * v) @ turned.T + own for v in self.others.variances.T)
        return Prior(Phi @ self.others.mean, tuple(covariances))

    def fit(self, deviation: float) -> tuple[Sites, DensePosterior]:
        """The rows' factors and posterior, for a deviation of variance b k + c."""
        return fit(self.prior(deviation), self.labels, self.shared)


def shares_variance(deviation: float) -> float:
    """c, for b = ``deviation``."""
    return _SHARES_VARIANCE if deviation > 0 else 0.0


@dataclass(frozen=True)
class _SolvedBlock:
    """A block under its posterior: what predictions need.

    Attributes:
        model: the rows, and what others say.
        deviation: b.
        weights: alpha (n, q).
        roots: D^1/2 (n, q).
        factors: q of L (n, n) lower, L L' = I + D^1/2 C D^1/2.
    """

    model: BlockModel
    deviation: float
    weights: Matrix
    roots: Matrix
    factors: tuple[Matrix, ...]

    @classmethod
    def of(cls, model: BlockModel, deviation: float, sites: Sites) -> Self:
        model = replace(model)  # what it caches goes when the block does
        prior = replace(model).prior(deviation)  # K_BB isn't kept
        weights = DensePosterior.of(prior, sites).weights
        columns = zip(prior.covariances, sites.precision.T, strict=True)
        factors = tuple(scaled_factor(C, D) for C, D in columns)
        return cls(model, deviation, weights, np.sqrt(sites.precision), factors)

    def predict_proba(self, X: Matrix) -> Matrix:
        """Class probabilities (n, C) at X (n, d), which are where the metric puts them."""
        posterior, others = self.model.posterior, self.model.others
        features, a = posterior.features.at_place(), posterior.approximation.amplitude
        Phi, uncovered = features.covered(X)
        own, _ = self.model.covered
        across = (a + self.deviation) * features.kernel(self.model.block.inputs, X)
        across += shares_variance(self.deviation) - a * (own @ Phi.T)
        left = a * uncovered + self.deviation * features.prior_variance(X)
        left += shares_variance(self.deviation)
        mine, theirs = others.turned(own), others.turned(Phi)
        mean, variance = Phi @ others.mean, np.empty((len(X), len(self.factors)))
        for j, L in enumerate(self.factors):
            v = others.variances[:, j]
            C = across + (mine * v) @ theirs.T
            mean[:, j] += C.T @ self.weights[:, j]
            explained = np.square(whiten(L, self.roots[:, j, None] * C)).sum(axis=0)
            variance[:, j] = left + np.square(theirs) @ v - explained
        marginals = Marginals(mean, np.maximum(variance, 0.0))
        return self.model.labels.averages(marginals).probabilities


@dataclass(frozen=True)
class ClassRefinement:
    """A site's refined classifier.

    Attributes:
        models: this site's blocks of rows. They never leave.
        sites: their factors, as many.
        deviation: b, the variance of what the site has and others don't, per unit of k(x, x).
    """

    models: tuple[BlockModel, ...]
    sites: tuple[Sites, ...]
    deviation: float

    kind: ClassVar[str] = "blocks"
    _solved: Recent[_SolvedBlock] = field(
        default_factory=lambda: Recent(_MOST_SOLVED), init=False, repr=False, compare=False
    )

    @classmethod
    def of(cls, models: Sequence[BlockModel], deviation: float) -> Self:
        """Find the blocks' posteriors."""
        sites = tuple(replace(each).fit(deviation)[0] for each in models)  # caches are not kept
        return cls(tuple(models), sites, deviation)

    def on(self, posterior: ClassPosterior) -> Self:
        """The same, on an equal shared posterior: in one process sites share its memory."""
        return replace(self, models=tuple(replace(m, posterior=posterior) for m in self.models))

    def block_of(self, X: Matrix) -> NDArray[np.intp]:
        """The block (n,) that answers for each row of X (n, d); -1 where all are too far."""
        return self._tree.block_of(self.models[0].posterior.features.place(X))

    @cached_property
    def _tree(self) -> BlockTree:
        return BlockTree.of([each.block for each in self.models])

    def predict_proba(self, X: Matrix) -> Matrix:
        """Class probabilities (n, C) at X (n, d); where no block answers, the shared posterior's.

        Raises:
            DataError: X is not finite.
        """
        check_finite(X)
        posterior, owner = self.models[0].posterior, self.block_of(X)
        placed = posterior.features.place(X)
        probabilities = np.empty((len(X), len(posterior.offsets)))
        if (owner < 0).any():
            probabilities[owner < 0] = posterior.predict_proba(X[owner < 0])
        for index in np.unique(owner[owner >= 0]).tolist():
            rows = np.flatnonzero(owner == index)
            for part in np.array_split(rows, -(-len(rows) // BLOCK_ROWS)):
                probabilities[part] = self._solve(index).predict_proba(placed[part])
        return probabilities

    def _solve(self, index: int) -> _SolvedBlock:
        """The block at ``index``, solved when it is first asked; the last ones asked are kept."""
        model, sites = self.models[index], self.sites[index]
        return self._solved(index, lambda: _SolvedBlock.of(model, self.deviation, sites))

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Everything but the shared posterior."""
        return {
            "kind": np.array(self.kind),
            "sizes": np.array([len(each.told) for each in self.models], dtype=np.int64),
            "inputs": np.concatenate([each.block.inputs for each in self.models]),
            "targets": np.concatenate([each.block.targets for each in self.models]),
            "told": np.concatenate([each.told for each in self.models]),
            "shift": np.concatenate([each.shift for each in self.sites]),
            "precision": np.concatenate([each.precision for each in self.sites]),
            "deviation": np.array(self.deviation),
        }

    @classmethod
    def from_arrays(cls, arrays: Arrays, posterior: ClassPosterior) -> Self:
        """The inverse of ``to_arrays``. Raises KeyError or ValueError for anything else."""
        ends = np.cumsum(arrays["sizes"])[:-1]
        names = ("inputs", "targets", "told", "shift", "precision")
        parts = list(zip(*(np.split(arrays[name], ends) for name in names), strict=True))
        models = tuple(BlockModel(posterior, Block(X, y), told) for X, y, told, *_ in parts)
        sites = tuple(Sites(shift, precision) for *_, shift, precision in parts)
        return cls(models, sites, float(arrays["deviation"]))

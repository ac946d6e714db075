"""How far a site's classes deviate from all others', and whether the site answers by itself.

Both are chosen by how well rows are predicted that were left out, with the other sites' kept. (The
bound can't choose: it is larger for whatever fits the past.) What is left out is a fifth of a
block: every fifth of 20 runs of rows, in the order in which the site has them, since neighbours in
time may be nearly copies. Where rows come in the order of time, it is the latest quarter, predicted
from what was before.

The rest is fitted anew. To keep its factors instead would be cheaper, but they have seen the rows
left out: with a large deviation such scores are far too good.

The scores of few rows differ by chance. So we take the least deviation whose score is within half
a standard error of the best one, and to keep the shared posterior counts as less than none (cf. the
one-standard-error rule of Breiman et al. 1984).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from edge_node.arrays import Vector
from edge_node.inference.classification.sites.dense import (
    DensePosterior,
    Marginals,
    Prior,
    Sites,
    fit,
)
from edge_node.inference.classification.sites.refinement import BlockModel
from edge_node.inference.numerics.distances import Indices

__all__ = ["Choice", "choose_deviation"]

_VARIANCES = (0.0, *(0.04 * 4.0**i for i in range(8)))  # of a deviation: sd of .2 to 26 logits
_FOLDS = 5
_RUNS = 20  # dealt out to the folds
_DECLINES = 2  # of the score, one after another, after which no larger variance is tried
_CHANCE = 0.5  # standard errors


@dataclass(frozen=True)
class Choice:
    """What the rows say.

    Attributes:
        deviation: b, per unit of k(x, x).
        prefers_site: the site's own posterior predicts better than the shared one.
        gain: by how much, nats a row.
    """

    deviation: float
    prefers_site: bool
    gain: float


def choose_deviation(models: Sequence[BlockModel], *, timed: bool = False) -> Choice:
    """Choose b, the variance of a site's deviation per unit of k(x, x).

    Args:
        models: some of the site's blocks, one or more.
        timed: whether rows come in the order of time, the latest first.
    """
    scale = _mean_prior(models)
    folds = [_folds(len(each.told), timed=timed) for each in models]
    shared = np.concatenate(
        [_shared_scores(each, own) for each, own in zip(models, folds, strict=True)]
    )
    starts = [each.shared for each in models]
    tried: list[Vector] = []
    for variance in _VARIANCES:
        scores = []
        for i, model in enumerate(models):
            prior = model.prior(variance / scale)
            _, posterior = fit(prior, model.labels, starts[i])
            starts[i] = posterior.marginals
            scores.append(_refitted_scores(model, prior, starts[i], folds[i]))
        tried.append(np.concatenate(scores))
        if _declines(tried):
            break
    first = _least_within_chance([shared, *tried])
    chosen = max(first - 1, 0)
    gain = float((tried[chosen] - shared).mean())
    return Choice(_VARIANCES[chosen] / scale, first > 0, gain)


def _mean_prior(models: Sequence[BlockModel]) -> float:
    """The mean of k(x, x) over the rows."""
    kernel = models[0].posterior.features.kernel
    return float(np.concatenate([kernel.diagonal(each.block.inputs) for each in models]).mean())


def _declines(tried: Sequence[Vector]) -> bool:
    """Whether the last scores are each lower than the one before."""
    last = [scores.sum() for scores in tried[-_DECLINES - 1 :]]
    return len(last) > _DECLINES and all(np.diff(last) < 0)


def _least_within_chance(tried: Sequence[Vector]) -> int:
    """The first of some scores (n,) that are, but for chance, as good as the best."""
    best = max(tried, key=lambda scores: float(scores.sum()))
    for i, scores in enumerate(tried):
        lost = best - scores
        if lost.sum() <= _CHANCE * lost.std() * np.sqrt(len(lost)):
            return i
    raise AssertionError("the best is as good as itself")


def _folds(rows: int, *, timed: bool) -> list[Indices]:
    """Rows that are left out together, of one row or more."""
    if timed:
        return [np.arange(max(rows // 4, 1))]
    runs = np.array_split(np.arange(rows), min(_RUNS, rows))
    return [np.concatenate(runs[i::_FOLDS]) for i in range(min(_FOLDS, rows))]


def _refitted_scores(
    model: BlockModel, prior: Prior, start: Marginals, folds: Sequence[Indices]
) -> Vector:
    """Log p of the rows left out, fold by fold, by the fit of the others."""

    def refitted(rest: Indices, some: Prior) -> tuple[Sites, DensePosterior]:
        return fit(some, model.labels.of_rows(rest), start.of_rows(rest))

    rows = np.arange(len(model.told))
    return _scores(model, prior, refitted, folds, known=rows, residual=np.zeros(len(rows)))


def _shared_scores(model: BlockModel, folds: Sequence[Indices]) -> Vector:
    """Log p of the rows left out, fold by fold, by the shared posterior without them.

    It knows nothing of rows that it wasn't told.
    """
    q, (Phi, uncovered) = model.posterior.approximation, model.covered
    turned = model.others.turned(Phi)
    covariances = ((turned * v) @ turned.T for v in model.others.variances.T)
    prior = Prior(Phi @ model.others.mean, tuple(covariances))
    precision = np.tile(np.maximum(q.contrasts.values, np.finfo(float).eps), (len(Phi), 1))
    sites = Sites(precision * model.shared.mean + model.gradient, precision)

    def kept(rest: Indices, some: Prior) -> tuple[Sites, DensePosterior]:
        return sites.of_rows(rest), DensePosterior.of(some, sites.of_rows(rest))

    residual = q.amplitude * model.posterior.unaccounted(uncovered)
    return _scores(model, prior, kept, folds, known=np.flatnonzero(model.told), residual=residual)


def _scores(
    model: BlockModel,
    prior: Prior,
    fitted: Callable[[Indices, Prior], tuple[Sites, DensePosterior]],
    folds: Sequence[Indices],
    *,
    known: Indices,
    residual: Vector,
) -> Vector:
    """Log p of the rows left out, fold by fold.

    Args:
        model: the block.
        prior: of the rows.
        fitted: the factors of some rows, given their prior.
        folds: rows that are left out together.
        known: the rows that the others are predicted from, unless they are left out.
        residual: what each row's variance (n,) has beyond the prior's.
    """
    scores = []
    for own in folds:
        rest = np.setdiff1d(known, own)
        found = prior.marginals.of_rows(own)  # where there are no others
        if len(rest):
            found = prior.given(rest, *fitted(rest, prior.of_rows(rest)), own)
        marginals = Marginals(found.mean, found.variance + residual[own, None])
        scores.append(model.labels.of_rows(own).scores(marginals))
    return np.concatenate(scores)

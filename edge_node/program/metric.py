"""Agreeing on a feature map: a candidate of the grid, then the metric that its gradients ask for.

Each repetition takes one small sweep of gradients and one of statistics. With many rows, the
evidence says when to stop. With few, the evidence doesn't notice that the metric has seen the same
rows. Then models are also learnt without each fold of the rows, and scored on that fold. Landmarks
stay where they are: moving them once more would sum rows that were summed before.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce

import msgspec
import numpy as np

from edge_node.arrays import Matrix, Vector
from edge_node.config import LandmarkKind, ModelSpec
from edge_node.inference.classification.classes import LabelRows
from edge_node.inference.features.metric import gradient_outer_product, metric_from
from edge_node.inference.kernels.kernel import kernel_grid
from edge_node.inference.messages.folds import (
    FOLDS,
    FoldRows,
    Predictor,
    best_score,
    fold_counts,
    local_scores,
)
from edge_node.inference.messages.statistics import Statistics
from edge_node.network.base import CohortChanged, Network, decide
from edge_node.packing import Layout, Symmetric
from edge_node.program.candidates import (
    AnyRows,
    Candidate,
    Fit,
    agree_evidence,
    agree_fits,
    agree_statistics,
    best,
    grouped,
)
from edge_node.program.root_decisions import read_metrics, read_trial
from edge_node.step import Content, Step

__all__ = ["learn_features"]

_FOLD_LANDMARKS = 4
"""A fold must have as many rows as the averages of four landmarks: a sum over fewer would reveal
too much of each row. Where a fold has fewer, no metric is learnt."""


async def learn_features(
    network: Network,
    rows: AnyRows,
    count: int,
    landmarks: Mapping[LandmarkKind, Matrix],
    model: ModelSpec,
) -> Fit:
    """The best candidate, with the metric that the federation's rows ask for.

    Args:
        network: the network.
        rows: this node's.
        count: how many rows the federation has.
        landmarks: Z (m, d) of each kind.
        model: the grid, and how often the metric is improved.
    """
    grid = [
        Candidate(kernel, kind, landmarks[kind])
        for kind in landmarks
        for kernel in kernel_grid(model)
    ]
    (fits,) = await agree_fits(network, "0", [(rows, grid)])
    fit = best(fits)
    if not (model.metric_repetitions and fit.candidate.kernel.differentiable):
        return fit
    if count >= model.cross_validation_rows:
        return await _by_evidence(network, rows, fit, model)
    if count >= FOLDS * _FOLD_LANDMARKS * model.min_rows_per_landmark:
        return await _by_folds(network, rows, fit, model)
    return fit


async def _by_evidence(network: Network, rows: AnyRows, fit: Fit, model: ModelSpec) -> Fit:
    """Repeat until the evidence falls."""
    for i in range(1, model.metric_repetitions + 1):
        start = _Trajectory(rows, fit, (fit,))
        (tried,) = await _advance(network, i, [start], model.metric_shrinkages)
        improved = best(tried.fits)
        if improved.mean_evidence <= fit.mean_evidence:
            break
        fit = improved
    return fit


async def _by_folds(network: Network, rows: AnyRows, fit: Fit, model: ModelSpec) -> Fit:
    """Repeat with all rows and without each fold, side by side; take what predicts the folds best.

    Models learnt without a fold are dropped; only their scores on that fold are kept.
    """
    folds = [_fold(rows, fold, inside=True) for fold in range(FOLDS)]
    fewest = _FOLD_LANDMARKS * model.min_rows_per_landmark
    starts = await _without_folds(network, rows, folds, fit, fewest)
    if not starts:
        return fit
    everything = _Trajectory(rows, fit, (fit,))
    without = [
        _Trajectory(_fold(rows, fold, inside=False), start, (start,))
        for fold, start in enumerate(starts)
    ]
    tried: list[Fit] = []
    scores: list[Vector] = []
    for i in range(1, model.metric_repetitions + 1):
        trajectories = [everything, *without]
        everything, *without = await _advance(network, i, trajectories, model.metric_shrinkages)
        tried += everything.fits
        scores.append(_scores(folds, without))
    chosen = await _agree_trial(network, scores)
    return fit if chosen is None else tried[chosen]


async def _without_folds(
    network: Network, rows: AnyRows, folds: Sequence[AnyRows], fit: Fit, fewest: int
) -> list[Fit]:
    """A fit without each fold, under the same features: the other folds' sums, added up.

    The list is empty in three cases. A fold has too few rows, as when many rows are duplicates,
    which share a fold. Or a node was lost since ``fit`` was summed: that sum less the remaining
    nodes' folds would be the lost node's own. Or all targets that differ from zero lie in one
    fold, so that nothing can be learnt from the others.
    """
    counts = await network.sum(Step("folds", Content.COUNTS), fold_counts(rows))
    if counts.min() < fewest:
        return []
    work = [(fold, [fit.features]) for fold in folds]
    try:
        step = Step("statistics/folds")
        parts = await agree_statistics(network, step, work, cohort_of=fit.step)
    except CohortChanged:
        return []
    totals = [
        reduce(Statistics.__add__, (part for g, part in enumerate(parts) if g != fold))
        for fold in range(FOLDS)
    ]
    if not all(total.target_power > 0 for total in totals):
        return []
    evidences = await agree_evidence(network, "choice/folds", totals)
    return [
        replace(fit, statistics=total, evidence=evidence)
        for total, evidence in zip(totals, evidences, strict=True)
    ]


@dataclass(frozen=True)
class _Trajectory:
    """Fits to the same rows, from one metric to the next.

    Attributes:
        rows: this node's.
        start: the fit before any metric.
        fits: the newest fits: at first ``start`` alone, then one for each shrinkage, which goes on
            from there.
    """

    rows: AnyRows
    start: Fit
    fits: tuple[Fit, ...]


async def _advance(
    network: Network, i: int, trajectories: Sequence[_Trajectory], shrinkages: Sequence[float]
) -> list[_Trajectory]:
    """Each trajectory after its ``i``-th repetition; all their sums share the same sweeps."""
    candidates = await _agree_metrics(network, i, trajectories, shrinkages)
    work = [(each.rows, own) for each, own in zip(trajectories, candidates, strict=True)]
    fits = await agree_fits(network, f"{i}", work)
    return [replace(each, fits=tuple(own)) for each, own in zip(trajectories, fits, strict=True)]


async def _agree_metrics(
    network: Network, i: int, trajectories: Sequence[_Trajectory], shrinkages: Sequence[float]
) -> list[list[Candidate]]:
    """Each trajectory's next candidates, one for each shrinkage.

    One sweep sums gradients. The root takes the matrices' square roots, since rounding differs.
    """
    size = trajectories[0].start.candidate.landmarks.shape[1]
    local = [
        gradient_outer_product(each.rows, fit.features, fit.mean)
        for each in trajectories
        for fit in each.fits
    ]
    layout = Layout({"products": Symmetric(size, len(local))})
    total = await network.sum(Step(f"gradients/{i}"), layout.pack(products=np.stack(local)))
    sums = grouped(layout.unpack(total)["products"], [each.fits for each in trajectories])
    trials = [
        _trials(each.fits, own, shrinkages) for each, own in zip(trajectories, sums, strict=True)
    ]
    flat = [trial for own in trials for trial in own]
    step = f"metric/{i}"
    roots = await decide(
        network, step, lambda: np.array([metric_from(M, s) for _, M, s in flat]).tobytes()
    )
    metrics = read_metrics(roots, len(flat), size, step=step)
    found = [replace(origin, metric=T) for (origin, _, _), T in zip(flat, metrics, strict=True)]
    return grouped(found, trials)


def _trials(
    fits: Sequence[Fit], sums: Sequence[Matrix], shrinkages: Sequence[float]
) -> list[tuple[Candidate, Matrix, float]]:
    """For each shrinkage: the candidate to go on from, the sum of its gradients, the shrinkage."""
    origins = [(fit.candidate, M) for fit, M in zip(fits, sums, strict=True)]
    if len(origins) == 1:  # the first repetition: all go on from the same
        origins *= len(shrinkages)
    return [(candidate, M, s) for (candidate, M), s in zip(origins, shrinkages, strict=True)]


def _scores(folds: Sequence[AnyRows], without: Sequence[_Trajectory]) -> Vector:
    """How much better each trial predicts this node's rows than no metric does.

    Args:
        folds: the rows of each fold.
        without: for each fold, the trajectory that has not seen it.
    """
    scores = [
        local_scores(rows, _predictor(each.start), [_predictor(fit) for fit in each.fits])
        for rows, each in zip(folds, without, strict=True)
    ]
    total: Vector = np.sum(scores, axis=0)
    return total


async def _agree_trial(network: Network, scores: Sequence[Vector]) -> int | None:
    """Which trial predicts the folds it hasn't seen better than no metric does; None if none."""
    rows, parts = scores[0][:1], [each[1:] for each in scores]
    total = await network.sum(Step("scores"), np.concatenate([rows, *parts]))
    chosen = await decide(network, "trial", lambda: msgspec.json.encode(best_score(total)))
    return read_trial(chosen, len(total) // 2, step="trial")


def _fold(rows: AnyRows, fold: int, *, inside: bool) -> AnyRows:
    """A fold's rows, or all others; labels stay labels."""
    if isinstance(rows, LabelRows):
        return replace(rows, rows=FoldRows(rows.rows, fold, inside))
    return FoldRows(rows, fold, inside)


def _predictor(fit: Fit) -> Predictor:
    return Predictor(fit.features, fit.mean, fit.evidence)

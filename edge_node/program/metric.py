"""Agreeing on a feature map: a candidate of the grid, then the metric that its gradients ask for.

Each repetition takes one small sweep of gradients and one of statistics. Where rows are many, the
evidence says when to stop. Where they are few it doesn't notice that the metric has seen the same
rows; there, models learnt without a fold of the rows are scored on that fold. Landmarks stay where
they are: moved once more, they would be sums over rows that were summed before.
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
from edge_node.inference.numerics.symmetric import pack_symmetric, unpack_symmetric
from edge_node.network.base import CohortChanged, Network, decide
from edge_node.program.candidates import (
    AnyRows,
    Candidate,
    Fit,
    agree_evidence,
    agree_learnt,
    agree_statistics,
    best,
)
from edge_node.program.root_decisions import read_metrics, read_trial

__all__ = ["learn_features"]

_FOLD_LANDMARKS = 4
"""A fold must hold at least as many rows as this many landmarks' averages: sums of a few rows are
rows. Where one holds fewer, the inputs are kept as they are."""


async def learn_features(
    network: Network,
    rows: AnyRows,
    count: int,
    landmarks: Mapping[LandmarkKind, Matrix],
    model: ModelSpec,
) -> Fit:
    """The feature map that the federation's rows ask for, and what they say in it.

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
    learnt = best(await agree_learnt(network, "0", grid, [rows] * len(grid)))
    if not (model.metric_sweeps and learnt.candidate.kernel.differentiable):
        return learnt
    if count >= model.cross_validation_rows:
        return await _by_evidence(network, rows, learnt, model)
    if count >= FOLDS * _FOLD_LANDMARKS * model.min_rows_per_landmark:
        return await _by_folds(network, rows, learnt, model)
    return learnt


async def _by_evidence(network: Network, rows: AnyRows, learnt: Fit, model: ModelSpec) -> Fit:
    """Repeat until the evidence falls."""
    for i in range(1, model.metric_sweeps + 1):
        lane = _Trajectory(rows, learnt, model.metric_shrinkages)
        candidates = await _agree_metrics(network, i, [lane])
        improved = best(await agree_learnt(network, f"{i}", candidates, [rows] * len(candidates)))
        if improved.mean_evidence <= learnt.mean_evidence:
            break
        learnt = improved
    return learnt


async def _by_folds(network: Network, rows: AnyRows, learnt: Fit, model: ModelSpec) -> Fit:
    """Repeat with all rows and without each fold, side by side; take what predicts the folds.

    Folds are counted first: many rows may be few different ones, and duplicates share a fold.
    """
    folds = [_fold(rows, fold, inside=True) for fold in range(FOLDS)]
    held_in = [rows, *(_fold(rows, fold, inside=False) for fold in range(FOLDS))]
    fewest = _FOLD_LANDMARKS * model.min_rows_per_landmark
    start = [learnt, *await _without_folds(network, rows, folds, learnt, fewest)]
    if len(start) == 1:
        return learnt
    lanes = [
        _Trajectory(own, each, model.metric_shrinkages)
        for own, each in zip(held_in, start, strict=True)
    ]
    tried: list[Fit] = []  # with all rows; of what is learnt without a fold the scores are left
    scores: list[Vector] = []
    for i in range(1, model.metric_sweeps + 1):
        candidates = await _agree_metrics(network, i, lanes)
        widths = [lane for lane in lanes for _ in lane.shrinkages]
        found = await agree_learnt(network, f"{i}", candidates, [lane.rows for lane in widths])
        lanes = [
            _Trajectory(lane.rows, each, (shrinkage,))
            for lane, each, shrinkage in zip(
                widths, found, (s for lane in lanes for s in lane.shrinkages), strict=True
            )
        ]
        count = len(model.metric_shrinkages)
        trials = [found[trial::count] for trial in range(count)]
        tried += [trial[0] for trial in trials]
        scores.append(_scores(folds, start, trials))
    chosen = await _agree_trial(network, scores)
    return learnt if chosen is None else tried[chosen]


async def _without_folds(
    network: Network, rows: AnyRows, folds: Sequence[AnyRows], learnt: Fit, fewest: int
) -> list[Fit]:
    """What is learnt without each fold under the same features: sums of the other folds' sums.

    Nothing where a fold has too few rows; where a node was lost since ``learnt`` was summed, since
    the folds of the others, taken from that sum, would leave its own; or where all targets that
    differ from zero lie in one fold: no model learns from the rest.
    """
    work = [(fold, learnt.features) for fold in folds]
    counts = await network.sum("folds", fold_counts(rows))
    if counts.min() < fewest:
        return []
    try:
        parts = await agree_statistics(network, "statistics/folds", work, cohort_of=learnt.step)
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
        replace(learnt, statistics=total, evidence=evidence)
        for total, evidence in zip(totals, evidences, strict=True)
    ]


def _scores(
    folds: Sequence[AnyRows], start: Sequence[Fit], trials: Sequence[Sequence[Fit]]
) -> Vector:
    """How much better than ``start`` each trial predicts the folds: of this node's rows.

    A trial is what was learnt with all rows, and then without each fold, as ``start`` is.
    """
    total: Vector = np.sum(
        [
            local_scores(rows, _predictor(start[f]), [_predictor(trial[f]) for trial in trials])
            for f, rows in enumerate(folds, start=1)
        ],
        axis=0,
    )
    return total


async def _agree_trial(network: Network, scores: Sequence[Vector]) -> int | None:
    """Which trial predicts the folds it hasn't seen better than no metric does; None if none."""
    rows, parts = scores[0][:1], [each[1:] for each in scores]
    total = await network.sum("scores", np.concatenate([rows, *parts]))
    chosen = await decide(network, "trial", lambda: msgspec.json.encode(best_score(total)))
    return read_trial(chosen, len(total) // 2, step="trial")


@dataclass(frozen=True)
class _Trajectory:
    """Rows to learn from, what was learnt from them so far, and metrics to be tried next."""

    rows: AnyRows
    learnt: Fit
    shrinkages: tuple[float, ...]


async def _agree_metrics(network: Network, i: int, lanes: Sequence[_Trajectory]) -> list[Candidate]:
    """Each lane's candidate under each metric that it tries, in their order.

    One sweep of gradients; the root takes the matrices' roots, since rounding differs.
    """
    size = lanes[0].learnt.candidate.landmarks.shape[1]
    local = [
        pack_symmetric(gradient_outer_product(lane.rows, lane.learnt.features, lane.learnt.mean))
        for lane in lanes
    ]
    total = await network.sum(f"gradients/{i}", np.concatenate(local))
    sums = [unpack_symmetric(part, size) for part in total.reshape(len(lanes), -1)]

    def roots() -> bytes:
        return np.array(
            [
                metric_from(M, s)
                for lane, M in zip(lanes, sums, strict=True)
                for s in lane.shrinkages
            ]
        ).tobytes()

    owners = [lane.learnt.candidate for lane in lanes for _ in lane.shrinkages]
    step = f"metric/{i}"
    metrics = read_metrics(await decide(network, step, roots), len(owners), size, step=step)
    return [replace(each, metric=T) for each, T in zip(owners, metrics, strict=True)]


def _fold(rows: AnyRows, fold: int, *, inside: bool) -> AnyRows:
    """A fold's rows, or all others; labels stay labels."""
    if isinstance(rows, LabelRows):
        return replace(rows, rows=FoldRows(rows.rows, fold, inside))
    return FoldRows(rows, fold, inside)


def _predictor(learnt: Fit) -> Predictor:
    return Predictor(learnt.features, learnt.mean, learnt.evidence)

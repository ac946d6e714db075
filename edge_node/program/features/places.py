"""Where landmarks lie: coarse ones at once, those of the posterior where the metric wants them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeAlias

import numpy as np

from edge_node.arrays import Matrix, Rows, Vector
from edge_node.config import FederationSpec, LandmarkKind, Task
from edge_node.data.encoding.encoder import EncodedRows, Encoder
from edge_node.data.sources.source import Batch
from edge_node.inference.classification.classes import LabelRows, class_offsets
from edge_node.inference.features.landmarks import gaussian_landmarks
from edge_node.inference.features.metric import place_exactly
from edge_node.inference.features.nystrom import Features
from edge_node.inference.kernels.kernel import kernel_grid
from edge_node.inference.likelihoods.ordinal import ScoredRows
from edge_node.inference.likelihoods.survival import TimedRows
from edge_node.network.base import Network
from edge_node.program.features.candidates import (
    AnyRows,
    Candidate,
    Fit,
    agree_features,
    choose_bases,
)
from edge_node.program.features.landmarks import agree_centroids, encode_public, kmeans_step
from edge_node.program.features.metric import learn_features, with_bases
from edge_node.program.features.moves import Moved, agree_known, agree_moves
from edge_node.program.plan.affordable import after_cleaning
from edge_node.program.plan.planning import coarse_kinds
from edge_node.program.plan.schedule import Schedule

__all__ = [
    "Agreed",
    "Fitted",
    "agree_candidate",
    "choose_first_bases",
    "starting_landmarks",
    "targets_of",
]

Fitted: TypeAlias = Callable[[Schedule], Schedule]
"""A schedule, with no more of what follows than may still be told."""
Agreed: TypeAlias = tuple[Fit, Candidate, Features, Schedule]
"""What `agree_candidate` returns."""


def starting_landmarks(
    node: str, encoder: Encoder, covariance: Matrix, spec: FederationSpec, public: Batch | None
) -> dict[LandmarkKind, Matrix]:
    """Landmarks (m, d) that no sum is needed for: Gaussian points, or public rows, or both.

    Raises:
        ConfigurationError: the spec has public landmarks, and none are given.
    """
    found: dict[LandmarkKind, Matrix] = {}
    for kind in coarse_kinds(spec.model):
        if kind is LandmarkKind.PUBLIC:
            found[kind] = encode_public(node, encoder, spec, public)
        else:
            found[kind] = gaussian_landmarks(covariance, spec.landmark_count, spec.model.seed)
    return found


def _starting_candidates(
    landmarks: Mapping[LandmarkKind, Matrix], spec: FederationSpec, schedule: Schedule
) -> list[Candidate]:
    """The kernels of the grid on landmarks of each kind, as many as the schedule compares.

    Where it compares fewer, they lie evenly in the order of the spec, the first and last included.
    """
    grid = [
        Candidate(kernel, kind, landmarks[kind])
        for kind in coarse_kinds(spec.model)
        for kernel in kernel_grid(spec.model)
    ]
    last, steps = len(grid) - 1, max(schedule.candidates - 1, 1)
    return [grid[round(last * i / steps)] for i in range(schedule.candidates)]


def choose_first_bases(
    landmarks: Mapping[LandmarkKind, Matrix],
    kept: Sequence[int],
    spec: FederationSpec,
    schedule: Schedule,
) -> bytes:
    """The root's choice for `agree_candidate`; arguments as there."""
    candidates = _starting_candidates(landmarks, spec, schedule)
    return choose_bases(with_bases(candidates, kept, schedule))


def targets_of(rows: EncodedRows, spec: FederationSpec) -> AnyRows:
    """The rows with the targets that features are chosen by: a class becomes some numbers."""
    counts = np.array(rows.encoder.class_counts)
    match spec.data.task:
        case Task.CLASSIFICATION:
            return LabelRows(rows, class_offsets(counts))
        case Task.ORDINAL:
            return ScoredRows(rows, counts)
        case Task.SURVIVAL:
            return TimedRows(rows)
        case _:
            return rows


async def agree_candidate(
    network: Network,
    rows: EncodedRows,
    landmarks: Mapping[LandmarkKind, Matrix],
    spec: FederationSpec,
    schedule: Schedule,
    *,
    fewest: int,
    alike: int,
    kept: Sequence[int] = (),
    bases: bytes = b"",
    moved: Moved | None = None,
    fitted: Fitted = lambda plan: plan,
) -> Agreed:
    """The best kernel and metric, and the landmarks of the posterior.

    Gaussian landmarks may become k-means centroids, of rows as the metric sees them. That is the
    one partition of the rows, so it waits for the metric.

    Args:
        network: the network.
        rows: this node's.
        landmarks: Z (m, d) by kind, as `starting_landmarks` gives them; and centroids, if they are
            known already.
        spec: the federation's.
        schedule: how many landmarks, and how often they are moved.
        fewest: fewest of this site's rows that it gives to a landmark, or `NOTHING`.
        alike: of how many of its rows alike it gives a landmark's gradient, at least.
        kept: the inputs that a metric may start from, ascending; none: it starts from all.
        bases: as for `learn_features`; what `choose_first_bases` chose.
        moved: where the bound's gradient leads landmarks and metric, if it is known already.
        fitted: the schedule with no more than may still be told; asked before landmarks are moved,
            and again afterwards.

    Returns:
        The fit of a few landmarks, the candidate with those of the posterior, its features, and
        what is left to be done.
    """
    candidates = _starting_candidates(landmarks, spec, schedule)
    targets = targets_of(rows, spec)
    fit, candidate, features = await learn_features(
        network,
        targets,
        candidates,
        schedule,
        kept=kept,
        bases=bases,
        likelihood=spec.model.likelihood,
    )
    agreed = schedule.full
    schedule = fitted(schedule if fit.raw_power is None else after_cleaning(schedule))
    candidate = candidate.first(schedule.full)
    if schedule.iterations and candidate.landmark_kind is not LandmarkKind.PUBLIC:
        known = landmarks.get(LandmarkKind.KMEANS)
        crowd = spec.model.min_rows_per_landmark
        centre = partial(_agree_centres, iterations=schedule.iterations, fewest=fewest, crowd=crowd)
        if centred := await centre(network, rows, candidate, known):
            (candidate, features), agreed = centred, schedule.full
        schedule = fitted(replace(schedule, iterations=0))
    if schedule.moves and schedule.full == agreed and candidate.kernel.differentiable:
        if moved is None:
            fit, candidate, features = await agree_moves(
                network,
                targets,
                fit,
                candidate,
                features,
                moves=schedule.moves,
                kind=schedule.metric,
                fewest=alike,
                goes_on=lambda moves: fitted(replace(schedule, moves=moves)).moves == moves,
            )
        else:
            fit, candidate, features = await agree_known(network, moved, fit, candidate)
        schedule = fitted(replace(schedule, moves=0))
    if schedule.full < agreed:  # a node was lost since: the others' rows may tell less
        candidate = candidate.first(schedule.full)
        (features,) = await agree_features(network, "basis/fewer", [candidate])
    return fit, candidate, features, schedule


async def _agree_centres(
    network: Network,
    rows: EncodedRows,
    candidate: Candidate,
    centroids: Matrix | None,
    *,
    iterations: int,
    fewest: int,
    crowd: int,
) -> tuple[Candidate, Features] | None:
    """A candidate whose landmarks have become centroids; None if no site gave any rows.

    Arguments as for `agree_centroids`; centroids may be known already.
    """

    def moved(centroids: Matrix) -> Candidate:
        return replace(candidate, landmark_kind=LandmarkKind.KMEANS, landmarks=centroids)

    where, chosen = "basis/posterior", b""
    if centroids is None:
        centroids = await agree_centroids(
            network,
            _PlacedRows(rows, candidate.metric),
            candidate.landmarks,
            iterations=iterations,
            fewest=fewest,
            crowd=crowd,
            choose=lambda centroids: choose_bases([moved(centroids)]),
        )
        last = kmeans_step(iterations - 1)
        where, chosen = last.name, network.decision(last)
    if np.array_equal(centroids, candidate.landmarks):
        return None
    (features,) = await agree_features(network, where, [moved(centroids)], chosen)
    return moved(centroids), features


@dataclass(frozen=True)
class _PlacedRows:
    """Rows where the metric puts them."""

    rows: Rows
    metric: Matrix | None

    def __iter__(self) -> Iterator[tuple[Matrix, Vector]]:
        for X, y in self.rows:
            yield place_exactly(X, self.metric), y

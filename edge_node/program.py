"""The federation program: what every node runs, and what one machine would run with all the rows.

It reads as mathematics. The only thing that happens between nodes is ``await network.sum`` and
``decide``; everything else is a pure function of a node's own rows or of totals that all share.
docs/design.md lists the steps, docs/model.md derives what they compute.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec
import numpy as np

from edge_node.config import FederationSpec, LandmarkKind, ModelSpec, Task
from edge_node.data.encoding import EncodedRows, Encoder
from edge_node.data.source import Source
from edge_node.errors import NumericalError
from edge_node.inference.arrays import Matrix, Rows, Vector
from edge_node.inference.classes import LabelRows, class_offsets
from edge_node.inference.evidence import Evidence, best_evidence
from edge_node.inference.features import Features
from edge_node.inference.kernels import Kernel
from edge_node.inference.landmarks import (
    gaussian_landmarks,
    independent_landmarks,
    kmeans_counts,
    kmeans_sums,
    kmeans_update,
)
from edge_node.inference.laplace import NewtonState, NewtonStatistics, newton_statistics
from edge_node.inference.posterior import ClassPosterior, Posterior, solve, solve_classes
from edge_node.inference.statistics import Statistics, local_statistics
from edge_node.model import Model, Provenance
from edge_node.network.base import Network, decide

__all__ = ["infer"]


@dataclass(frozen=True)
class Candidate:
    """One member of the grid that the evidence chooses from, with its feature map."""

    depth: int
    landmark_kind: LandmarkKind
    features: Features


class Choice(msgspec.Struct, frozen=True):
    """What the root chose from the statistics of all candidates."""

    candidate: int
    log_evidence: float
    noise: float
    amplitude: float


async def infer(network: Network, source: Source, spec: FederationSpec) -> Model:
    """Run the program at one node.

    Args:
        network: the node's view of the federation.
        source: the node's own rows.
        spec: what the federation agreed on.

    Returns:
        The model: the same at every node, and, to rounding, the same as with all rows in one place.

    Raises:
        DataError: this node's rows don't fit the schema.
        NumericalError: the model can't be computed from the federation's totals.
        NetworkError: a step could not be completed.
    """
    encoder = await agree_encoding(network, source, spec)
    rows = EncodedRows(source, encoder)
    candidates = await agree_candidates(network, rows, encoder, spec.model)
    if spec.data.task is Task.CLASSIFICATION:
        offsets = class_offsets(encoder.class_counts, spec.data.classes)
        totals = await agree_statistics(network, LabelRows(rows, offsets), candidates)
        choice = await choose(network, totals)
        features, statistics = candidates[choice.candidate].features, totals[choice.candidate]
        posterior = await agree_mode(network, rows, features, statistics, offsets, spec.model)
    else:
        totals = await agree_statistics(network, rows, candidates)
        choice = await choose(network, totals)
        features, statistics = candidates[choice.candidate].features, totals[choice.candidate]
        posterior = solve(statistics, features, Evidence(...))
    return Model(spec.data, encoder, posterior, provenance)


async def agree_candidates(
    network: Network, rows: Rows, encoder: Encoder, model: ModelSpec
) -> list[Candidate]:
    """The grid of depths and landmark kinds, each with landmarks that all nodes share."""
    landmarks = {LandmarkKind.GAUSSIAN: gaussian_landmarks(encoder.covariance, model.landmarks, model.seed)}
    if LandmarkKind.KMEANS in model.landmark_kinds:
        landmarks[LandmarkKind.KMEANS] = await agree_centroids(
            network, rows, landmarks[LandmarkKind.GAUSSIAN], model
        )
    grid = [(depth, kind) for kind in model.landmark_kinds for depth in model.depths]
    kernels = [Kernel.from_spec(model, depth) for depth, _ in grid]

    def choose_bases() -> bytes:
        """Which landmarks are independent enough, candidate by candidate."""
        return msgspec.json.encode(
            [
                independent_landmarks(kernel, landmarks[kind]).tolist()
                for kernel, (_, kind) in zip(kernels, grid, strict=True)
            ]
        )

    bases = msgspec.json.decode(await decide(network, "basis", choose_bases), type=list[list[int]])
    return [
        Candidate(depth, kind, Features.build(kernel, landmarks[kind][basis]))
        for (depth, kind), kernel, basis in zip(grid, kernels, bases, strict=True)
    ]


async def agree_centroids(
    network: Network, rows: Rows, start: Matrix, model: ModelSpec
) -> Matrix:
    """Lloyd's k-means over the whole federation, from sums only.

    Counts come first: a landmark with fewer rows than ``min_rows_per_landmark`` is not summed.
    """
    centroids = start
    for i in range(model.kmeans_iterations):
        counts = await network.sum(f"kmeans/{i}/counts", kmeans_counts(rows, centroids))
        eligible = counts >= model.min_rows_per_landmark
        sums = await network.sum(f"kmeans/{i}/sums", kmeans_sums(rows, centroids, eligible))
        centroids = kmeans_update(centroids, counts, sums, model.min_rows_per_landmark)
    return centroids


async def agree_statistics(
    network: Network, rows: Rows | LabelRows, candidates: Sequence[Candidate]
) -> list[Statistics]:
    """The Gaussian messages of all candidates, multiplied over the tree in one sweep.

    A product of messages in canonical form is the sum of their parameters, so the sum over the
    tree is Gaussian belief propagation (`edge_node.inference.propagation`).
    """
    outputs = rows.outputs if isinstance(rows, LabelRows) else None
    local = [local_statistics(rows, each.features, outputs).pack() for each in candidates]
    total = await network.sum("statistics", np.concatenate(local))
    parts = np.split(total, np.cumsum([len(vector) for vector in local])[:-1])
    return [
        Statistics.unpack(part, len(each.features.landmarks), outputs)
        for part, each in zip(parts, candidates, strict=True)
    ]


async def choose(network: Network, totals: Sequence[Statistics]) -> Choice:
    """The candidate with the highest evidence, with its noise and amplitude."""

    def by_evidence() -> bytes:
        found = [best_evidence(statistics) for statistics in totals]
        best = int(np.argmax([evidence.log_evidence for evidence in found]))
        return msgspec.json.encode(Choice(best, **vars(found[best])))

    return msgspec.json.decode(await decide(network, "choice", by_evidence), type=Choice)


async def agree_mode(
    network: Network,
    rows: Rows,
    features: Features,
    statistics: Statistics,
    offsets: Vector,
    model: ModelSpec,
) -> ClassPosterior:
    """Laplace's approximation by Newton's method: one sweep a step, the root takes the step."""
    size, outputs = len(features.landmarks), len(offsets) - 1
    state = NewtonState.start(size, outputs, statistics.prior_power / statistics.count)
    expansion = NewtonStatistics.from_labels(statistics, offsets)  # at zero, already summed
    for i in range(model.newton_steps + 1):
        step = await decide(network, f"newton/{i}/step", lambda: _bytes(state.advance(expansion).pack()))
        state = NewtonState.unpack(np.frombuffer(step), size, outputs)
        if state.converged:
            return solve_classes(expansion, state, features, offsets)
        local = newton_statistics(rows, features, state.weights, offsets)
        total = await network.sum(f"newton/{i}", local.pack())
        expansion = NewtonStatistics.unpack(total, size, outputs)
    raise NumericalError(...)

"""The federation program: what every node runs, and what one machine would run with all the rows.

It reads as mathematics. The only thing that happens between nodes is ``await network.sum`` and
``decide``; everything else is a pure function of a node's own rows or of totals that all share.
docs/design.md lists the steps, docs/model.md derives what they compute.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

import msgspec
import numpy as np

from edge_node.config import ColumnKind, DataSpec, FederationSpec, LandmarkKind, ModelSpec, Task
from edge_node.data.encoder import EncodedRows, Encoder
from edge_node.data.encoding import (
    local_location,
    local_spread,
    local_survey,
    read_location,
    read_spread,
    read_survey,
    unlisted_columns,
)
from edge_node.data.labels import ATTEMPTS, label_bytes, label_counts, read_labels
from edge_node.data.source import Source
from edge_node.errors import DataError, NumericalError
from edge_node.inference.arrays import Matrix, Rows, Vector
from edge_node.inference.classes import LabelRows, class_offsets
from edge_node.inference.evidence import Evidence, best_evidence
from edge_node.inference.expansion import Expansion, local_expansion
from edge_node.inference.features import Features
from edge_node.inference.kernels import Kernel, kernel_grid
from edge_node.inference.landmarks import (
    gaussian_landmarks,
    independent_landmarks,
    kmeans_counts,
    kmeans_sums,
    kmeans_update,
)
from edge_node.inference.posterior import ClassPosterior, Posterior, solve
from edge_node.inference.statistics import Statistics, local_statistics
from edge_node.inference.variational import Step, VariationalState
from edge_node.model import Model, Provenance
from edge_node.network.base import Network, decide

__all__ = ["infer"]


@dataclass(frozen=True)
class Candidate:
    """One member of the grid that the evidence chooses from, with its feature map."""

    kernel: Kernel
    landmark_kind: LandmarkKind
    features: Features


class Choice(msgspec.Struct, frozen=True):
    """What the root chose from the statistics of all candidates."""

    candidate: int
    log_evidence: float
    noise: float
    amplitude: float


async def infer(network: Network, source: Source, spec: FederationSpec, *, run: int = 0) -> Model:
    """Run the program at one node.

    Args:
        network: the node's view of the federation.
        source: the node's own rows.
        spec: what the federation agreed on.
        run: the number of this run, for the model's provenance.

    Returns:
        The model: the same at every node, and, to rounding, the same as with all rows in one place.

    Raises:
        DataError: this node's rows don't fit the schema.
        NumericalError: the model can't be computed from the federation's totals.
        NetworkError: a step could not be completed.
    """
    network = Journal(network)
    encoder, covariance = await agree_encoding(network, source, spec.data)
    rows = EncodedRows(source, encoder)
    candidates = await agree_candidates(network, rows, covariance, spec.model)
    classification = spec.data.task is Task.CLASSIFICATION
    offsets = (
        class_offsets(np.array(encoder.class_counts), spec.data.classes) if classification else None
    )
    totals = await agree_statistics(
        network, rows if offsets is None else LabelRows(rows, offsets), candidates
    )
    choice = await choose(network, totals)
    chosen, statistics = candidates[choice.candidate], totals[choice.candidate]
    posterior: Posterior | ClassPosterior
    if offsets is None:
        evidence = Evidence(choice.log_evidence, choice.noise, choice.amplitude)
        posterior = solve(statistics, chosen.features, evidence)
    else:
        posterior = await agree_classifier(
            network, rows, chosen.features, statistics, offsets, most_sweeps=spec.model.newton_steps
        )
    provenance = Provenance(
        federation=spec.name,
        spec_hash=spec.digest().hex(),
        run=run,
        cohorts={step: network.cohort(step) for step in network.steps},
        rows=encoder.rows,
        sweeps=network.sweeps,
        kernel=str(chosen.kernel),
        landmark_kind=chosen.landmark_kind,
        landmarks=len(chosen.features.landmarks),
        log_evidence=posterior.log_evidence,
        uncovered_share=statistics.uncovered_share,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    return Model(spec.data, encoder, posterior, provenance)


class Journal:
    """A network that remembers the names of the steps taken over it."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self.steps: list[str] = []
        self.sweeps = 0  # sums over the tree; a gather shares a choice

    @property
    def node(self) -> str:
        """As the network's."""
        return self._network.node

    @property
    def root(self) -> str:
        """As the network's."""
        return self._network.root

    def cohort(self, step: str) -> tuple[str, ...]:
        """As the network's."""
        return self._network.cohort(step)

    async def sum(self, step: str, vector: Vector) -> Vector:
        """As the network's; the step is noted."""
        total = await self._network.sum(step, vector)
        self.steps.append(step)
        self.sweeps += 1
        return total

    async def gather(self, step: str, data: bytes) -> Mapping[str, bytes]:
        """As the network's; the step is noted."""
        gathered = await self._network.gather(step, data)
        self.steps.append(step)
        return gathered


async def agree_encoding(
    network: Network, source: Source, data: DataSpec
) -> tuple[Encoder, Matrix]:
    """The encoder that all nodes share, and the covariance (d, d) of the inputs it makes."""
    survey = read_survey(await network.sum("survey", local_survey(source, data)), data)
    labels = await agree_labels(network, source, data)
    location = read_location(
        await network.sum("location", local_location(source, data, survey, labels)),
        data,
        survey,
        labels,
    )
    spread = await network.sum("spread", local_spread(source, data, location))
    return read_spread(spread, data, location)


async def agree_labels(network: Network, source: Source, data: DataSpec) -> list[tuple[str, ...]]:
    """Each categorical column's list: the spec's, or the labels that enough rows hold."""
    categorical = [c for c in data.columns if c.kind is ColumnKind.CATEGORICAL]
    labels = [column.categories for column in categorical]
    columns = unlisted_columns(data)
    for attempt in range(ATTEMPTS if columns else 0):
        counts = await network.sum(
            f"labels/{attempt}/counts", label_counts(source, columns, attempt)
        )
        common = counts >= data.min_rows_per_category
        total = await network.sum(
            f"labels/{attempt}/bytes", label_bytes(source, columns, attempt, common)
        )
        found = read_labels(total, counts, common, len(columns))
        if found is not None:
            for column, known in zip(columns, found, strict=True):
                labels[column] = known
            return labels
    if columns:
        raise DataError(
            "too many categories to be agreed on by sums",
            where=", ".join(categorical[column].name for column in columns),
            remedy="List the columns' `categories` in the federation spec",
        )
    return labels


async def agree_candidates(
    network: Network, rows: Rows, covariance: Matrix, model: ModelSpec
) -> list[Candidate]:
    """The grid of kernels and landmark kinds, each with landmarks that all nodes share."""
    landmarks = {LandmarkKind.GAUSSIAN: gaussian_landmarks(covariance, model.landmarks, model.seed)}
    if LandmarkKind.KMEANS in model.landmark_kinds:
        landmarks[LandmarkKind.KMEANS] = await agree_centroids(
            network, rows, landmarks[LandmarkKind.GAUSSIAN], model
        )
    grid = [(kernel, kind) for kind in model.landmark_kinds for kernel in kernel_grid(model)]

    def choose_bases() -> bytes:
        """Which landmarks are independent enough, candidate by candidate."""
        return msgspec.json.encode(
            [independent_landmarks(kernel, landmarks[kind]).tolist() for kernel, kind in grid]
        )

    bases = msgspec.json.decode(await decide(network, "basis", choose_bases), type=list[list[int]])
    return [
        Candidate(kernel, kind, Features.build(kernel, landmarks[kind][basis]))
        for (kernel, kind), basis in zip(grid, bases, strict=True)
    ]


async def agree_centroids(network: Network, rows: Rows, start: Matrix, model: ModelSpec) -> Matrix:
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


async def agree_classifier(
    network: Network,
    rows: Rows,
    features: Features,
    statistics: Statistics,
    offsets: Vector,
    *,
    most_sweeps: int,
) -> ClassPosterior:
    """The classifier's posterior by natural-gradient steps: one sweep each, the root chooses."""
    size, outputs = len(features.landmarks), len(offsets) - 1
    state = VariationalState.start(size, outputs, statistics.prior_power / statistics.count)
    expansion = Expansion.from_labels(statistics, offsets)  # at zero: summed already
    for i in range(most_sweeps + 1):
        chosen = await decide(network, f"newton/{i}/step", partial(_choose, state, expansion))
        state = state.advance(expansion, Step.unpack(np.frombuffer(chosen)))
        if state.converged or i == most_sweeps:
            break
        local = local_expansion(rows, features, state.trial, offsets)
        total = await network.sum(f"newton/{i}", local.pack())
        expansion = Expansion.unpack(total, size, outputs)
    if not np.isfinite(state.bound):
        raise NumericalError("the classifier's posterior was not found")
    return ClassPosterior(features, state.kept, offsets, state.bound)


def _choose(state: VariationalState, expansion: Expansion) -> bytes:
    return state.choose(expansion).pack().tobytes()

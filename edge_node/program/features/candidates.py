"""Agreeing on candidates: their feature maps, their sums, and their evidence."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import msgspec

from edge_node.arrays import Matrix, Rows, Vector
from edge_node.config import LandmarkKind
from edge_node.inference.classification.classes import LabelRows
from edge_node.inference.features.landmarks import independent_landmarks
from edge_node.inference.features.metric import place_exactly
from edge_node.inference.features.nystrom import Features
from edge_node.inference.kernels.kernel import Kernel
from edge_node.inference.messages.evidence import Evidence, best_evidence
from edge_node.inference.messages.statistics import Statistics, local_statistics
from edge_node.network.base import Network, decide
from edge_node.program.root_decisions import read_bases, read_evidences
from edge_node.program.together import decide_together
from edge_node.step import Step

__all__ = [
    "AnyRows",
    "Candidate",
    "Fit",
    "agree_features",
    "agree_fits",
    "choose_bases",
    "features_on",
    "independent",
]

AnyRows = Rows | LabelRows


@dataclass(frozen=True)
class Candidate:
    """A kernel, with the metric and the landmarks under which it is tried.

    Attributes:
        kernel: the kernel.
        landmark_kind: where the landmarks come from.
        landmarks: Z (m, d), where the metric puts them.
        metric: T (k, d), or None for the identity.
        metric_price: what the choice of this metric costs, in nats of evidence (`metric`).
    """

    kernel: Kernel
    landmark_kind: LandmarkKind
    landmarks: Matrix
    metric: Matrix | None = None
    metric_price: float = 0.0

    def under(self, metric: Matrix | None, price: float = 0.0) -> "Candidate":
        """With a metric, where it had none."""
        placed = place_exactly(self.landmarks, metric)
        return replace(self, landmarks=placed, metric=metric, metric_price=price)

    def first(self, count: int) -> "Candidate":
        """With the first ``count`` landmarks only."""
        return replace(self, landmarks=self.landmarks[:count])


@dataclass(frozen=True)
class Fit:
    """What the federation's rows say about a candidate.

    Attributes:
        candidate: the candidate.
        features: its feature map, on landmarks that are independent.
        statistics: the federation's sums.
        evidence: the noise and amplitude that the sums make most likely.
        step: the step in which they were summed.
        raw_power: y'y as the targets are, where they have outliers and the statistics are of
            cleaned ones (`edge_node.program.features.precisions`); otherwise None.
    """

    candidate: Candidate
    features: Features
    statistics: Statistics
    evidence: Evidence
    step: Step
    raw_power: float | None = None

    @cached_property
    def mean(self) -> Matrix:
        """The mean of u under the evidence's noise, (r,) or (r, q)."""
        return self.statistics.likelihood(self.evidence.noise).with_prior().mean


def independent(candidates: Sequence[Candidate]) -> list[list[int]]:
    """Which of each candidate's landmarks are independent enough: for the root to decide."""
    return [independent_landmarks(each.kernel, each.landmarks).tolist() for each in candidates]


def features_on(candidate: Candidate, basis: Sequence[int]) -> Features:
    """The feature map on the landmarks that the root has found independent."""
    return Features.build(candidate.kernel, candidate.landmarks[list(basis)], candidate.metric)


def choose_bases(candidates: Sequence[Candidate]) -> bytes:
    """`independent` as the root shares it."""
    return msgspec.json.encode(independent(candidates))


async def agree_features(
    network: Network, step: str, candidates: Sequence[Candidate], chosen: bytes = b""
) -> list[Features]:
    """Each candidate's feature map.

    Args:
        network: the network.
        step: the one in which the root chooses.
        candidates: the candidates.
        chosen: what it chose (`choose_bases`). Empty: it hasn't; it chooses in a step of its own.
    """
    sizes = [len(each.landmarks) for each in candidates]
    chosen = chosen or await decide(network, step, lambda: choose_bases(candidates))
    bases = read_bases(chosen, sizes, step=step)
    return network.once(
        lambda: [features_on(*each) for each in zip(candidates, bases, strict=True)]
    )


async def agree_fits(
    network: Network,
    step: Step,
    rows: AnyRows,
    candidates: Sequence[Candidate],
    features: Sequence[Features],
) -> list[Fit]:
    """What the federation's rows say about candidates: one sweep of statistics, and the evidences.

    The Gaussian messages of the rows under each feature map are multiplied over all nodes. A
    product of messages in canonical form is the sum of their parameters, so the sum over the tree
    is Gaussian belief propagation (`edge_node.inference.messages.gaussian`). Noise, amplitude and
    evidence of each total are found at the root.

    Args:
        network: the network.
        step: the sum.
        rows: this node's; they are read once for all candidates.
        candidates: the candidates.
        features: their feature maps.

    Returns:
        A fit of each candidate.
    """
    outputs = rows.outputs if isinstance(rows, LabelRows) else None
    sizes = [len(each.landmarks) for each in features]

    def read(totals: Sequence[Vector]) -> list[Statistics]:
        return [Statistics.unpack(*each, outputs) for each in zip(totals, sizes, strict=True)]

    def choose(totals: Sequence[Vector]) -> bytes:
        return msgspec.json.encode([vars(best_evidence(each)) for each in read(totals)])

    totals, chosen = await decide_together(
        network,
        step,
        [each.pack() for each in local_statistics(rows, features, outputs)],
        choose,
        features=max(sizes),
    )

    def fits() -> list[Fit]:
        statistics = read(totals)
        evidences = read_evidences(chosen, statistics, step=str(step))
        parts = zip(candidates, features, statistics, evidences, strict=True)
        return [Fit(*each, step) for each in parts]

    return network.once(fits)

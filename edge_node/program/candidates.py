"""Agreeing on a model among candidates: feature maps, what they learn, and their evidence."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import msgspec
import numpy as np

from edge_node.arrays import Matrix, Rows
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

__all__ = [
    "AnyRows",
    "Candidate",
    "Fit",
    "agree_evidence",
    "agree_features",
    "agree_learnt",
    "agree_statistics",
    "best",
]

AnyRows = Rows | LabelRows


@dataclass(frozen=True)
class Candidate:
    """A kernel, with the metric and the landmarks under which it is tried.

    Attributes:
        kernel: the kernel.
        landmark_kind: where the landmarks come from.
        landmarks: Z (m, d), as rows are encoded.
        metric: T (d, d), or None for the identity.
    """

    kernel: Kernel
    landmark_kind: LandmarkKind
    landmarks: Matrix
    metric: Matrix | None = None

    @property
    def placed(self) -> Matrix:
        """The landmarks (m, d), where the metric puts them."""
        return place_exactly(self.landmarks, self.metric)


@dataclass(frozen=True)
class Fit:
    """What the federation's rows say about a candidate.

    Attributes:
        candidate: the candidate.
        features: its feature map, on landmarks that are independent.
        statistics: the federation's sums.
        evidence: the noise and amplitude that they speak for.
        step: the step in which they were summed.
    """

    candidate: Candidate
    features: Features
    statistics: Statistics
    evidence: Evidence
    step: str

    @property
    def mean_evidence(self) -> float:
        """The log evidence a row: a node may be lost between two steps, and its rows with it."""
        return self.evidence.log_evidence / self.statistics.count

    @cached_property
    def mean(self) -> Matrix:
        """The mean of u under the evidence's noise, (r,) or (r, q)."""
        return self.statistics.likelihood(self.evidence.noise).with_prior().mean


async def agree_features(
    network: Network, step: str, candidates: Sequence[Candidate]
) -> list[Features]:
    """Each candidate's feature map: the root decides which landmarks are independent enough."""

    def independent() -> bytes:
        return msgspec.json.encode(
            [independent_landmarks(each.kernel, each.placed).tolist() for each in candidates]
        )

    sizes = [len(each.landmarks) for each in candidates]
    bases = read_bases(await decide(network, step, independent), sizes, step=step)
    return [
        Features.build(each.kernel, each.placed[basis], each.metric)
        for each, basis in zip(candidates, bases, strict=True)
    ]


async def agree_statistics(
    network: Network, step: str, work: Sequence[tuple[AnyRows, Features]], *, cohort_of: str = ""
) -> list[Statistics]:
    """The Gaussian messages of several sets of rows and features, multiplied in one sweep.

    A product of messages in canonical form is the sum of their parameters, so the sum over the
    tree is Gaussian belief propagation (`edge_node.inference.messages.gaussian`).
    """
    outputs = [rows.outputs if isinstance(rows, LabelRows) else None for rows, _ in work]
    local = [
        local_statistics(rows, features, q).pack()
        for (rows, features), q in zip(work, outputs, strict=True)
    ]
    total = await network.sum(step, np.concatenate(local), cohort_of=cohort_of)
    parts = np.split(total, np.cumsum([len(vector) for vector in local])[:-1])
    return [
        Statistics.unpack(part, len(features.landmarks), q)
        for part, (_, features), q in zip(parts, work, outputs, strict=True)
    ]


async def agree_evidence(
    network: Network, step: str, totals: Sequence[Statistics]
) -> list[Evidence]:
    """The noise, amplitude and evidence of each, found once."""
    found = await decide(
        network, step, lambda: msgspec.json.encode([vars(best_evidence(each)) for each in totals])
    )
    return read_evidences(found, totals, step=step)


async def agree_learnt(
    network: Network,
    suffix: str,
    candidates: Sequence[Candidate],
    rows: Sequence[AnyRows],
) -> list[Fit]:
    """What each candidate learns from its rows: a basis, a sweep of statistics, the evidence."""
    features = await agree_features(network, f"basis/{suffix}", candidates)
    step = f"statistics/{suffix}"
    totals = await agree_statistics(network, step, list(zip(rows, features, strict=True)))
    evidences = await agree_evidence(network, f"choice/{suffix}", totals)
    return [Fit(*each, step) for each in zip(candidates, features, totals, evidences, strict=True)]


def best(learnt: Sequence[Fit]) -> Fit:
    """The one with the highest evidence."""
    return max(learnt, key=lambda each: each.evidence.log_evidence)

"""Agreeing on candidates: their feature maps, their sums, and their evidence."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import TypeVar, Unpack

import msgspec

from edge_node.arrays import Matrix, Rows
from edge_node.config import LandmarkKind
from edge_node.inference.classification.classes import LabelRows
from edge_node.inference.features.landmarks import independent_landmarks
from edge_node.inference.features.metric import place_exactly
from edge_node.inference.features.nystrom import Features
from edge_node.inference.kernels.kernel import Kernel
from edge_node.inference.messages.evidence import Evidence, best_evidence
from edge_node.inference.messages.statistics import Statistics, local_statistics
from edge_node.network.base import Network, Terms, decide
from edge_node.program.root_decisions import read_bases, read_evidences
from edge_node.program.together import sum_together
from edge_node.step import Step

__all__ = [
    "AnyRows",
    "Candidate",
    "Fit",
    "agree_evidence",
    "agree_features",
    "agree_fits",
    "agree_statistics",
    "best",
    "grouped",
]

AnyRows = Rows | LabelRows
T = TypeVar("T")


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
        evidence: the noise and amplitude that the sums make most likely.
        step: the step in which they were summed.
    """

    candidate: Candidate
    features: Features
    statistics: Statistics
    evidence: Evidence
    step: Step

    @property
    def mean_evidence(self) -> float:
        """The log evidence divided by the number of rows, nats.

        Fits of different steps compare by it: a node may be lost between two steps, and its rows
        with it.
        """
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
    network: Network,
    step: Step,
    work: Sequence[tuple[AnyRows, Sequence[Features]]],
    **terms: Unpack[Terms],
) -> list[Statistics]:
    """The Gaussian messages of rows under feature maps, multiplied over all nodes in one sweep.

    A product of messages in canonical form is the sum of their parameters, so the sum over the
    tree is Gaussian belief propagation (`edge_node.inference.messages.gaussian`).

    Args:
        network: the network.
        step: the sum.
        work: this node's rows, with the maps to be applied to them: they are read once for all.
        terms: what is demanded of the total.

    Returns:
        The federation's statistics for each map, in the order of ``work``.
    """
    local = [
        each.pack() for rows, maps in work for each in local_statistics(rows, maps, _outputs(rows))
    ]
    totals = await sum_together(network, step, local, **terms)
    kinds = [(len(each.landmarks), _outputs(rows)) for rows, maps in work for each in maps]
    return [
        Statistics.unpack(total, size, outputs)
        for total, (size, outputs) in zip(totals, kinds, strict=True)
    ]


async def agree_evidence(
    network: Network, step: str, totals: Sequence[Statistics]
) -> list[Evidence]:
    """The noise, amplitude and evidence of each total, found at the root."""
    found = await decide(
        network, step, lambda: msgspec.json.encode([vars(best_evidence(each)) for each in totals])
    )
    return read_evidences(found, totals, step=step)


async def agree_fits(
    network: Network, suffix: str, work: Sequence[tuple[AnyRows, Sequence[Candidate]]]
) -> list[list[Fit]]:
    """What rows say about candidates: a basis for each, a sweep of statistics, the evidence.

    Args:
        network: the network.
        suffix: tells these steps from those of other candidates.
        work: this node's rows, with the candidates to be tried on them.

    Returns:
        For each of the rows, a fit of each of their candidates.
    """
    groups = [candidates for _, candidates in work]
    candidates = [each for group in groups for each in group]
    features = await agree_features(network, f"basis/{suffix}", candidates)
    maps = [(rows, own) for (rows, _), own in zip(work, grouped(features, groups), strict=True)]
    step = Step(f"statistics/{suffix}")
    totals = await agree_statistics(network, step, maps)
    evidences = await agree_evidence(network, f"choice/{suffix}", totals)
    parts = zip(candidates, features, totals, evidences, strict=True)
    return grouped([Fit(*each, step) for each in parts], groups)


def best(fits: Sequence[Fit]) -> Fit:
    """The one with the highest evidence."""
    return max(fits, key=lambda each: each.evidence.log_evidence)


def grouped(values: Iterable[T], groups: Sequence[Sequence[object]]) -> list[list[T]]:
    """A flat list's values, in groups as long as ``groups``."""
    left = iter(values)
    return [list(islice(left, len(group))) for group in groups]


def _outputs(rows: AnyRows) -> int | None:
    """How many targets a row has; None for regression's single number."""
    return rows.outputs if isinstance(rows, LabelRows) else None

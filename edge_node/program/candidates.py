"""Agreeing on a candidate: kernels and landmarks, of which the evidence takes one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np

from edge_node.config import LandmarkKind, ModelSpec
from edge_node.inference.arrays import Matrix, Rows
from edge_node.inference.classes import LabelRows
from edge_node.inference.evidence import best_evidence
from edge_node.inference.features import Features
from edge_node.inference.kernels import Kernel, kernel_grid
from edge_node.inference.landmarks import independent_landmarks
from edge_node.inference.statistics import Statistics, local_statistics
from edge_node.network.base import Network, decide

__all__ = ["Candidate", "Choice", "agree_candidates", "agree_statistics", "choose"]


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


async def agree_candidates(
    network: Network, landmarks: Mapping[LandmarkKind, Matrix], model: ModelSpec
) -> list[Candidate]:
    """The grid of kernels and landmark kinds, each with landmarks that all nodes share."""
    grid = [(kernel, kind) for kind in landmarks for kernel in kernel_grid(model)]

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

"""Agreeing on a regression's posteriors, the global one and the sites' refinement, and their noise.

Both explain what the landmarks don't cover row by row or block by block, instead of by the noise.
So each has a smaller noise than the bound that compared the candidates. A message is made for one
noise: one sweep takes a coarse grid of noises, another two more around the best.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import msgspec
import numpy as np

from edge_node.arrays import Rows, Vector
from edge_node.config import ModelSpec
from edge_node.errors import NumericalError
from edge_node.inference.features.nystrom import Features
from edge_node.inference.messages.evidence import NOISE_RANGE, Evidence
from edge_node.inference.regression.blocks import LaterRows, first_blocks
from edge_node.inference.regression.conditional import ConditionalStatistics, local_conditional
from edge_node.inference.regression.posterior import Posterior
from edge_node.inference.regression.refinement import Refinement, local_refinement
from edge_node.network.base import Network, decide
from edge_node.program.candidates import Fit
from edge_node.program.root_decisions import read_judgements
from edge_node.program.together import sum_together
from edge_node.step import Step

__all__ = ["agree_posteriors"]

_COARSE = (1 / 2, 1 / 16, 1 / 128, 1 / 1024)  # of the bound's noise
_FINE = (8**-0.5, 8**0.5)  # of the best so far


@dataclass
class _Search:
    """The search for one posterior's noise.

    Attributes:
        message: gives this node's statistics for each of several noises.
        step: the step of the best sum so far; at first the candidate's.
        evidence: the best noise's so far.
        packed: the federation's statistics for that noise, as they were summed.
    """

    message: Callable[[Sequence[float]], list[ConditionalStatistics]]
    step: Step
    evidence: Evidence | None = None
    packed: Vector = field(default_factory=lambda: np.empty(0))

    def consider(self, evidence: Evidence, packed: Vector, step: Step) -> None:
        """Keep this evidence if it is better, or if a node was lost since the best one was found:
        evidences of different rows don't compare.
        """
        worse = self.evidence is not None and evidence.log_evidence <= self.evidence.log_evidence
        if not worse or packed[0] != self.packed[0]:
            self.evidence, self.packed, self.step = evidence, packed.copy(), step

    def found(self) -> Evidence:
        """The best evidence. Raises NumericalError if there is none."""
        if self.evidence is None:
            raise NumericalError(
                "no noise explains the targets",
                where="evidence",
                expected="targets that vary",
                remedy="Check the federation's data",
            )
        return self.evidence

    def posterior(self, features: Features) -> Posterior:
        """The posterior for the best noise."""
        statistics = ConditionalStatistics.unpack(self.packed, len(features.landmarks))
        return Posterior.of(statistics.message, features, self.found())


async def agree_posteriors(
    network: Network, rows: Rows, fit: Fit, model: ModelSpec
) -> tuple[Posterior, Refinement | None, Step]:
    """The global posterior, this site's refinement, and the step whose total the former is made of.

    Raises:
        NumericalError: no noise explains the targets.
    """
    features, scale = fit.features, fit.statistics.prior_power / fit.statistics.count
    searches = [_Search(partial(local_conditional, rows, features), fit.step)]
    blocks = []
    if model.site_refinement:
        placed = ((features.place(X), y) for X, y in rows)
        blocks = first_blocks(placed, model.site_rows, model.site_block_rows)
        others = LaterRows(rows, sum(len(block.targets) for block in blocks))
        refine = partial(local_refinement, blocks, others, features)
        searches.append(_Search(refine, fit.step))
    floor = NOISE_RANGE[0] * scale
    grids = [_at_least(floor, fit.evidence.noise, _COARSE)] * len(searches)
    for i in range(2):
        await _agree_evidence(network, Step(f"noise/{i}"), searches, grids, len(features.landmarks))
        grids = [_at_least(floor, search.found().noise, _FINE) for search in searches]
    posterior, *refined = (search.posterior(features) for search in searches)
    refinement = Refinement(refined[0], tuple(blocks)) if refined else None
    return posterior, refinement, searches[0].step


async def _agree_evidence(
    network: Network,
    step: Step,
    searches: Sequence[_Search],
    grids: Sequence[Sequence[float]],
    size: int,
) -> None:
    """One sweep with every search's messages for its grid; each search keeps its best."""
    local = [
        message.pack()
        for search, noises in zip(searches, grids, strict=True)
        for message in search.message(noises)
    ]
    sums = await sum_together(network, step, local)
    noises = [noise for grid in grids for noise in grid]
    owners = [s for s, grid in zip(searches, grids, strict=True) for _ in grid]

    def judge() -> bytes:
        return msgspec.json.encode(
            [_judged(part, size, noise) for part, noise in zip(sums, noises, strict=True)]
        )

    asked = f"{step}/evidence"
    chosen = read_judgements(await decide(network, asked, judge), noises, step=asked)
    for owner, evidence, part in zip(owners, chosen, sums, strict=True):
        if evidence is not None:
            owner.consider(evidence, part, step)


def _judged(packed: Vector, size: int, noise: float) -> dict[str, float] | None:
    """A noise's evidence; None for one so small that rounding leaves no proper model."""
    try:
        return vars(ConditionalStatistics.unpack(packed, size).evidence(noise))
    except NumericalError:
        return None


def _at_least(floor: float, noise: float, factors: Sequence[float]) -> list[float]:
    """The noises to try, ascending, none twice."""
    return sorted({max(noise * factor, floor) for factor in factors})

"""How wide the intervals are, and which posterior a site prefers: from held-out rows.

The posterior that all share is corrected by all sites' scores, which take one small sum. It looks
the same everywhere, and it is all that a node without rows has. A site's refinement is corrected by
the site's own scores, which stay there. If the schema names a time, scores are of later rows.
"""

from collections.abc import Sequence

from edge_node.arrays import Rows
from edge_node.config import ModelSpec
from edge_node.errors import NumericalError
from edge_node.inference.evaluation.held_out import (
    HeldOut,
    later_rows_global,
    later_rows_refined,
    left_out_global,
    left_out_joined,
    left_out_refined,
)
from edge_node.inference.evaluation.preference import prefers_own
from edge_node.inference.regression.calibration import Calibration, HeldOutScores
from edge_node.inference.regression.conditional import ConditionalStatistics
from edge_node.inference.regression.graph_refinement import GraphRefinement
from edge_node.inference.regression.posterior import Posterior
from edge_node.inference.regression.refinement import Refinement
from edge_node.network.base import Network
from edge_node.step import Step

__all__ = ["agree_calibration", "calibrate_site"]

_MOST_SCORED = 20_000
"""Rows of the federation that are left out, about: more would say the same."""


async def agree_calibration(
    network: Network,
    sites: Sequence[Rows],
    posterior: Posterior,
    total: ConditionalStatistics,
    *,
    timed: bool,
    fewest: int,
) -> Posterior:
    """The global posterior, calibrated by one sum over all sites.

    The rows that a site holds out are a group: of few it gives no scores.

    Args:
        network: the network.
        sites: this node's rows; one machine that has several sites' rows keeps them apart, since
            each site's later rows are its own, and so is what it holds out.
        posterior: the global one, as its model says.
        total: the statistics of all sites' rows that it is made of.
        timed: whether rows come in the order of time, the latest first.
        fewest: how many different rows a site must have held out.

    Raises:
        NumericalError: the total can't be that of scores.
    """
    held = [_scored(rows, posterior, total, timed=timed) for rows in sites]
    local = HeldOut.joined([each for each in held if each.distinct >= fewest]).scores.pack()
    bounds = HeldOutScores.bounds(float(total.count))
    found = await network.sum(Step("calibration"), local, bounds=bounds)
    if found.min() < 0:
        raise NumericalError(
            "the federation's scores of held-out rows are no scores",
            where="step calibration",
            expected="counts and squares that aren't negative",
            found=f"{found.min():.3g} among them",
            remedy="Ask who takes part: a member has counted less than nothing",
        )
    return network.once(lambda: posterior.calibrated(Calibration.of(HeldOutScores.unpack(found))))


def calibrate_site(
    refinement: Refinement | GraphRefinement,
    rows: Rows,
    posterior: Posterior,
    total: ConditionalStatistics,
    *,
    shared: Calibration,
    model: ModelSpec,
    timed: bool,
) -> tuple[Refinement | GraphRefinement, bool]:
    """A site's refinement with intervals of its own, and whether the site prefers it.

    It does unless held-out rows have a clearly better log score in the global posterior, after both
    are calibrated (`prefers_own`).

    Args:
        refinement: as its model says.
        rows: this node's.
        posterior: the global one, as its model says.
        total: the statistics of all sites' rows that it is made of.
        shared: the global posterior's calibration.
        model: how many rows are kept, in blocks of what size.
        timed: whether rows come in the order of time, the latest first.
    """
    if timed:
        own, others = later_rows_refined(
            refinement, rows, posterior, total, most=model.site_rows, size=model.site_block_rows
        )
    elif isinstance(refinement, GraphRefinement):
        own, others = left_out_joined(refinement, rows, posterior, total)
    else:
        own, others = left_out_refined(refinement, posterior)
    calibration = Calibration.of(own.scores, shared)
    preferred = prefers_own(own.losses(calibration.factor), others.losses(shared.factor))
    return refinement.calibrated(calibration), preferred


def _scored(
    rows: Rows, posterior: Posterior, total: ConditionalStatistics, *, timed: bool
) -> HeldOut:
    if timed:
        return later_rows_global(rows, posterior, total)
    return left_out_global(rows, posterior, _MOST_SCORED / max(total.count, 1))

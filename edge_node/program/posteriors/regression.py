"""Agreeing on a regression's posterior, from one message of full size, or the best of a few.

The posterior lets each row keep the variance that the landmarks don't cover. So its noise is
smaller than that of the coarse bound that compared candidates. A message is made for one noise; a
few of them share the sum where the rows may tell as much. A site's refinement takes no sum at all.
"""

from collections.abc import Sequence

import msgspec
import numpy as np

from edge_node.arrays import Rows, Vector
from edge_node.config import ModelSpec, SiteRefinement
from edge_node.errors import NumericalError
from edge_node.inference.features.nystrom import Features
from edge_node.inference.kernels.kernel import Kernel, kernel_grid
from edge_node.inference.messages.evidence import NOISE_RANGE, Evidence
from edge_node.inference.regression.conditional import ConditionalStatistics, local_conditional
from edge_node.inference.regression.graph_refinement import GraphRefinement, refine_by_graph
from edge_node.inference.regression.posterior import Posterior
from edge_node.inference.regression.refinement import OwnRows, Refinement, refine
from edge_node.inference.regression.student import LARGEST_PRECISION, RowPrecisions
from edge_node.network.base import Network
from edge_node.program.features.candidates import Fit
from edge_node.program.posteriors.site_kind import refinement_kind
from edge_node.program.root_decisions import read_judgements
from edge_node.program.together import decide_together
from edge_node.step import Step

__all__ = ["agree_posterior", "refined"]

_FACTORS = (1 / 8, 1 / 32, 1 / 2, 1 / 128)
"""Noises, as shares of the coarse bound's, in the order in which they are tried. The first one's
RMSE is within 3 % of the best one's on pol, elevators, kin40k, concrete, energy and yacht."""

_SLACK = 1e-6  # of a bound, for rounding


async def agree_posterior(
    network: Network,
    rows: Rows,
    features: Features,
    fit: Fit,
    precisions: RowPrecisions | None = None,
    *,
    messages: int,
) -> tuple[Posterior, ConditionalStatistics, float, Step]:
    """The global posterior.

    Args:
        network: the network.
        rows: this node's.
        features: the feature map.
        fit: the coarse one.
        precisions: of the rows, where targets have outliers.
        messages: how many noises are tried.

    Returns:
        The posterior, the total that it is made of, the share of the prior variance that its
        landmarks don't cover, and the step of the sum.

    Raises:
        NumericalError: no noise explains the targets.
    """
    size, floor = len(features.landmarks), NOISE_RANGE[0] * _mean_prior(fit)
    coarse = fit.evidence.noise
    if precisions is not None:
        coarse = precisions.scale**2 / fit.evidence.amplitude
    noises = sorted({max(coarse * each, floor) for each in _FACTORS[:messages]})

    def choose(totals: list[Vector]) -> bytes:
        return msgspec.json.encode(_judge(totals, size, noises))

    step = Step("posterior")
    totals, chosen = await decide_together(
        network,
        step,
        [each.pack() for each in local_conditional(rows, features, noises, precisions)],
        choose,
        features=size,
        bounds=_bounds(fit, noises, size, 1.0 if precisions is None else LARGEST_PRECISION),
    )
    judged = read_judgements(chosen, noises, step=str(step))

    def solved() -> tuple[Posterior, ConditionalStatistics]:
        evidence, packed = _best(judged, totals)
        total = ConditionalStatistics.unpack(packed, size)
        return Posterior.of(total.message, features, evidence, precisions), total

    posterior, total = network.once(solved)
    share = total.uncovered / total.count / _mean_prior(fit)
    return posterior, total, share, step


def refined(
    rows: Rows, posterior: Posterior, total: ConditionalStatistics, model: ModelSpec
) -> Refinement | GraphRefinement | None:
    """A site's refinement of the global posterior; None without rows, or if the spec wants none or
    lets a site keep no rows.

    Where the spec leaves the choice and a graph may be better (`site_kind`), it is the one under
    which the site's rows, given all others, are likelier.

    Args:
        rows: this node's.
        posterior: the global one.
        total: what it is made of.
        model: what is wanted, and how many rows are kept, in blocks of what size.

    Raises:
        NumericalError: no noise gives a proper model.
    """
    kind = refinement_kind(sum(len(y) for _, y in rows), posterior.features.kernel, model)
    tried = {
        SiteRefinement.NONE: (),
        SiteRefinement.BLOCKS: (_in_blocks,),
        SiteRefinement.GRAPH: (_by_graph,),
        SiteRefinement.AUTO: (_in_blocks, _by_graph),
    }[kind]
    found = [each for make in tried if (each := make(rows, posterior, total, model))]
    return max(found, key=lambda each: each.posterior.log_evidence, default=None)


def _in_blocks(
    rows: Rows, posterior: Posterior, total: ConditionalStatistics, model: ModelSpec
) -> Refinement | None:
    """None if no rows are to be kept."""
    most, size = model.site_rows, model.site_block_rows
    own = OwnRows.of(rows, posterior.features, most, size, precisions=posterior.precisions)
    return refine(posterior, total, own, _residual_kernel(model)) if own.blocks else None


def _by_graph(
    rows: Rows, posterior: Posterior, total: ConditionalStatistics, model: ModelSpec
) -> GraphRefinement:
    own = OwnRows.together(rows, posterior.features, precisions=posterior.precisions)
    neighbours, kernel = model.site_neighbours, _residual_kernel(model)
    return refine_by_graph(posterior, total, own, neighbours, kernel)


def _residual_kernel(model: ModelSpec) -> Kernel | None:
    """The kernel that a site's residual may have besides the chosen one: the grid's first.

    None if that is one of images: it takes too long to be tried at each site.
    """
    first = kernel_grid(model)[0]
    return first if first.differentiable else None


def _best(judged: Sequence[Evidence | None], totals: Sequence[Vector]) -> tuple[Evidence, Vector]:
    """The highest evidence, and its total. Raises NumericalError if there is none."""
    found = [(each, part) for each, part in zip(judged, totals, strict=True) if each]
    if not found:
        raise NumericalError(
            "no noise explains the targets",
            where="evidence",
            expected="targets that vary",
            remedy="Check the federation's data",
        )
    return max(found, key=lambda each: each[0].log_evidence)


def _judge(
    totals: Sequence[Vector], size: int, noises: Sequence[float]
) -> list[dict[str, float] | None]:
    """Each noise's evidence; None for one so small that rounding leaves no proper model."""
    return [_judged(part, size, noise) for part, noise in zip(totals, noises, strict=True)]


def _judged(packed: Vector, size: int, noise: float) -> dict[str, float] | None:
    try:
        return vars(ConditionalStatistics.unpack(packed, size).evidence(noise))
    except NumericalError:
        return None


def _mean_prior(fit: Fit) -> float:
    """The mean of k(x, x) over the rows."""
    return fit.statistics.prior_power / fit.statistics.count


def _bounds(
    fit: Fit, noises: Sequence[float], size: int, precision: float
) -> list[tuple[int, float | None]]:
    """Of the totals: the trace of K over all rows is known from the coarse sum, and the targets'.

    No entry of Phi'Phi is larger than the trace of K, and Phi'y is bounded by Cauchy and Schwarz.
    No row's noise is smaller than s2 by more than the largest ``precision``.
    """
    statistics = fit.statistics
    trace, power = (
        (1 + _SLACK) * each
        for each in (statistics.prior_power, fit.raw_power or statistics.target_power)
    )
    return [
        run
        for noise in np.array(noises) / precision
        for run in (
            (1, float(statistics.count)),
            (1, power / noise),
            (1, None),  # log|R|
            (1, trace),
            (size * (size + 1) // 2, trace / noise),
            (size, np.sqrt(trace * power) / noise),
        )
    ]

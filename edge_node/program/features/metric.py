"""Agreeing on a kernel and a metric, coarsely: the metric that the posterior's gradients ask for.

A few landmarks settle both. First the kernels are compared. Then each repetition takes one small
sum of gradients and one of statistics. The evidence says when to stop, less one nat for each number
that the metric is made of: it has seen the same rows (Akaike 1974).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from edge_node.arrays import Matrix, Vector
from edge_node.config import Likelihood
from edge_node.data.encoding.encoder import EncodedRows
from edge_node.inference.features.metric import (
    MetricKind,
    gradient_outer_product,
    kept_inputs,
    metric_from,
    metric_price,
    start_metric,
)
from edge_node.inference.features.nystrom import Features
from edge_node.network.base import Network, sum_and_decide
from edge_node.packing import Layout, Symmetric
from edge_node.program.encoding import SPREAD
from edge_node.program.features.candidates import (
    AnyRows,
    Candidate,
    Fit,
    agree_features,
    agree_fits,
    features_on,
    independent,
)
from edge_node.program.features.precisions import without_outliers
from edge_node.program.features.screening import SCREEN
from edge_node.program.plan.schedule import Schedule
from edge_node.program.root_decisions import MetricChoice, read_metric
from edge_node.step import Step

__all__ = ["learn_features", "with_bases"]


def with_bases(
    candidates: Sequence[Candidate], kept: Sequence[int], schedule: Schedule
) -> list[Candidate]:
    """The candidates whose landmarks must be independent before anything is summed.

    They are those of the first comparison, under each start, and then the same with all landmarks
    of the posterior: if no other metric is better, it has them.
    """
    sizes = (schedule.first, schedule.full)
    return [each.first(size) for size in sizes for each in _started(candidates, kept)]


def _told_in(network: Network) -> str:
    """The step whose record holds the bases that came with an earlier sum."""
    told = [step.name for step in network.steps if step.name in (SPREAD.name, SCREEN.name)]
    return told[-1]


def _started(candidates: Sequence[Candidate], kept: Sequence[int]) -> list[Candidate]:
    """The candidates without a metric; and, if only some inputs are ``kept``, with these alone."""
    if not kept:
        return list(candidates)
    inputs = candidates[0].landmarks.shape[1]
    start, price = start_metric(kept, inputs), metric_price(None, len(kept), inputs)
    return [*candidates, *(each.under(start, price) for each in candidates)]


async def learn_features(
    network: Network,
    rows: AnyRows,
    candidates: Sequence[Candidate],
    schedule: Schedule,
    *,
    kept: Sequence[int] = (),
    bases: bytes = b"",
    likelihood: Likelihood = Likelihood.GAUSSIAN,
) -> tuple[Fit, Candidate, Features]:
    """The best candidate, with the metric that the federation's rows ask for.

    Args:
        network: the network.
        rows: this node's.
        candidates: kernels and landmarks to be compared, without a metric.
        schedule: how many landmarks are used, and how often the metric is improved.
        kept: the inputs that a metric may start from, ascending; none: it starts from all.
        bases: the root's choice for the candidates `with_bases`, which came with an earlier sum.
            Empty: it chooses now.
        likelihood: of a regression's targets. Unless it is Gaussian, outliers are looked for.

    Returns:
        The fit of a few landmarks; and the candidate with all of the posterior's, and its features.
    """
    tried = with_bases(candidates, kept, schedule)
    features = await agree_features(network, _told_in(network) if bases else "basis", tried, bases)
    compared = len(tried) // 2
    fits = await agree_fits(
        network, Step("statistics/0"), rows, tried[:compared], features[:compared]
    )
    chosen = max(range(compared), key=lambda i: _value(fits[i]))
    fit = fits[chosen]
    if isinstance(rows, EncodedRows) and schedule.residuals:
        rows, fit = await without_outliers(network, rows, fit, likelihood)
    best = fit, tried[compared + chosen], features[compared + chosen]
    if not best[0].candidate.kernel.differentiable:
        return best
    plain, sizes = candidates[chosen % len(candidates)], (schedule.coarse, schedule.full)
    trial = _Trial(schedule.metric, [plain.first(size) for size in sizes])
    for i in range(1, schedule.repetitions + 1):
        gradients, step = Step(f"gradients/{i}"), Step(f"statistics/{i}")
        (coarse, full), maps = await _agree_metric(network, gradients, rows, best[0], trial)
        (improved,) = await agree_fits(network, step, rows, [coarse], maps[:1])
        if _value(improved) <= _value(best[0]):
            break
        best = replace(improved, raw_power=fit.raw_power), full, maps[1]
    return best


@dataclass(frozen=True)
class _Trial:
    """What a metric is made of, and the candidates that will have it: coarse, and full."""

    kind: MetricKind
    candidates: Sequence[Candidate]

    @property
    def inputs(self) -> int:
        """D."""
        size: int = self.candidates[0].landmarks.shape[1]
        return size


def _value(fit: Fit) -> float:
    """The log evidence less the price of the metric, for each row, nats.

    Fits of different steps compare by it: a node may be lost between two steps, and its rows with
    it.
    """
    return (fit.evidence.log_evidence - fit.candidate.metric_price) / fit.statistics.count


async def _agree_metric(
    network: Network, step: Step, rows: AnyRows, fit: Fit, trial: _Trial
) -> tuple[list[Candidate], list[Features]]:
    """Candidates with the metric that a fit's gradients ask for, and their feature maps.

    One sweep sums gradients in the inputs that the fit's own metric keeps. The root takes the
    matrix's square root and finds the independent landmarks, since rounding differs.
    """
    full, before = trial.kind is MetricKind.FULL, fit.candidate.metric
    kept = kept_inputs(before, trial.inputs)
    weights = None if before is None else np.square(before).sum(axis=0)[kept]
    price = metric_price(trial.kind, len(kept), trial.inputs)
    layout = Layout({"products": Symmetric(len(kept)) if full else (len(kept),)})

    def placed(block: Matrix) -> list[Candidate]:
        metric = block @ start_metric(kept, trial.inputs)
        return [each.under(metric, price) for each in trial.candidates]

    def choose(total: Vector) -> bytes:
        products = layout.unpack(total)["products"]
        block = metric_from(products if full else np.diag(products), trial.kind, weights)
        return MetricChoice(block.tobytes(), independent(placed(block))).pack()

    M = gradient_outer_product(rows, fit.features, fit.mean)[np.ix_(kept, kept)]
    local = layout.pack(products=M if full else np.diag(M))
    resolution = len(kept) if full else 0
    _, chosen = await sum_and_decide(network, step, local, choose, features=resolution)

    def read() -> tuple[list[Candidate], list[Features]]:
        landmarks = [len(each.landmarks) for each in trial.candidates]
        block, bases = read_metric(chosen, len(kept), landmarks, step=str(step))
        found = placed(block)
        return found, [features_on(*each) for each in zip(found, bases, strict=True)]

    return network.once(read)

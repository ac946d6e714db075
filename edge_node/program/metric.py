"""Agreeing on a kernel and a metric, coarsely: the metric that the posterior's gradients ask for.

A few landmarks settle both. First the kernels are compared. Then each repetition takes one small
sum of gradients and one of statistics. The evidence says when to stop, less one nat for each number
that the metric is made of: it has seen the same rows (Akaike 1974).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edge_node.arrays import Vector
from edge_node.inference.features.metric import MetricKind, gradient_outer_product, metric_from
from edge_node.inference.features.nystrom import Features
from edge_node.network.base import Network, sum_and_decide
from edge_node.packing import Layout, Symmetric
from edge_node.program.candidates import (
    AnyRows,
    Candidate,
    Fit,
    agree_features,
    agree_fits,
    features_on,
    independent,
)
from edge_node.program.encoding import SPREAD
from edge_node.program.root_decisions import MetricChoice, read_metric
from edge_node.program.schedule import Schedule
from edge_node.step import Step

__all__ = ["learn_features", "with_bases"]


def with_bases(candidates: Sequence[Candidate], schedule: Schedule) -> list[Candidate]:
    """The candidates whose landmarks must be independent before anything is summed.

    They are those of the first comparison, and then the same with all landmarks of the posterior:
    if no metric is better than none, it has them.
    """
    return [each.first(size) for size in (schedule.first, schedule.full) for each in candidates]


async def learn_features(
    network: Network,
    rows: AnyRows,
    candidates: Sequence[Candidate],
    schedule: Schedule,
    *,
    bases: bytes = b"",
) -> tuple[Fit, Candidate, Features]:
    """The best candidate, with the metric that the federation's rows ask for.

    Args:
        network: the network.
        rows: this node's.
        candidates: kernels and landmarks to be compared, without a metric.
        schedule: how many landmarks are used, and how often the metric is improved.
        bases: the root's choice for the candidates `with_bases`, which came with the encoding's
            last sum. Empty: it chooses now.

    Returns:
        The fit of a few landmarks; and the candidate with all of the posterior's, and its features.
    """
    tried = with_bases(candidates, schedule)
    where = SPREAD.name if bases else "basis"
    features = await agree_features(network, where, tried, bases)
    compared = len(candidates)
    fits = await agree_fits(
        network, Step("statistics/0"), rows, tried[:compared], features[:compared]
    )
    chosen = max(range(compared), key=lambda i: fits[i].evidence.log_evidence)
    sizes = schedule.coarse, schedule.full
    trial = _Trial(schedule.metric, [candidates[chosen].first(size) for size in sizes])
    best = fits[chosen], tried[compared + chosen], features[compared + chosen]
    if not best[0].candidate.kernel.differentiable:
        return best
    for i in range(1, schedule.repetitions + 1):
        gradients, step = Step(f"gradients/{i}"), Step(f"statistics/{i}")
        (coarse, full), maps = await _agree_metric(network, gradients, rows, best[0], trial)
        (improved,) = await agree_fits(network, step, rows, [coarse], maps[:1])
        if _value(improved, schedule.metric) <= _value(best[0], schedule.metric):
            break
        best = improved, full, maps[1]
    return best


@dataclass(frozen=True)
class _Trial:
    """What a metric is made of, and the candidates that will have it: coarse, and full."""

    kind: MetricKind
    candidates: Sequence[Candidate]


def _value(fit: Fit, kind: MetricKind) -> float:
    """The log evidence less the metric's numbers, for each row, nats.

    Fits of different steps compare by it: a node may be lost between two steps, and its rows with
    it.
    """
    candidate = fit.candidate
    parameters = 0 if candidate.metric is None else kind.parameters(candidate.landmarks.shape[1])
    return (fit.evidence.log_evidence - parameters) / fit.statistics.count


async def _agree_metric(
    network: Network, step: Step, rows: AnyRows, fit: Fit, trial: _Trial
) -> tuple[list[Candidate], list[Features]]:
    """Candidates with the metric that a fit's gradients ask for, and their feature maps.

    One sweep sums gradients. The root takes the matrix's square root and finds the independent
    landmarks, since rounding differs.
    """
    kind, full = trial.kind, trial.kind is MetricKind.FULL
    size, *_ = {each.landmarks.shape[1] for each in trial.candidates}
    layout = Layout({"products": Symmetric(size) if full else (size,)})

    def choose(total: Vector) -> bytes:
        products = layout.unpack(total)["products"]
        metric = metric_from(products if full else np.diag(products), kind)
        bases = independent([each.under(metric) for each in trial.candidates])
        return MetricChoice(metric.tobytes(), bases).pack()

    M = gradient_outer_product(rows, fit.features, fit.mean)
    local = layout.pack(products=M if full else np.diag(M))
    _, chosen = await sum_and_decide(network, step, local, choose, features=size if full else 0)

    def read() -> tuple[list[Candidate], list[Features]]:
        landmarks = [len(each.landmarks) for each in trial.candidates]
        metric, bases = read_metric(chosen, size, landmarks, step=str(step))
        found = [each.under(metric) for each in trial.candidates]
        return found, [features_on(*each) for each in zip(found, bases, strict=True)]

    return network.once(read)

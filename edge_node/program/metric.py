"""Agreeing on a kernel and a metric, coarsely: the metric that the posterior's gradients ask for.

A few landmarks settle both. First the kernels are compared. Then each repetition takes one small
sum of gradients and one of statistics. The evidence says when to stop, less one nat for each number
that the metric is made of: it has seen the same rows (Akaike 1974).
"""

from collections.abc import Sequence

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
from edge_node.program.root_decisions import MetricChoice, read_metric
from edge_node.program.schedule import Schedule
from edge_node.step import Step

__all__ = ["learn_features"]


async def learn_features(
    network: Network, rows: AnyRows, candidates: Sequence[Candidate], schedule: Schedule
) -> Fit:
    """The best candidate, with the metric that the federation's rows ask for.

    Args:
        network: the network.
        rows: this node's.
        candidates: kernels and landmarks to be compared, without a metric.
        schedule: how many landmarks are used, and how often the metric is improved.
    """
    first = [each.first(schedule.first) for each in candidates]
    features = await agree_features(network, "basis", first)
    fits = await agree_fits(network, Step("statistics/0"), rows, first, features)
    chosen = max(range(len(fits)), key=lambda i: fits[i].evidence.log_evidence)
    fit, coarse = fits[chosen], candidates[chosen].first(schedule.coarse)
    if not coarse.kernel.differentiable:
        return fit
    for i in range(1, schedule.repetitions + 1):
        gradients, step = Step(f"gradients/{i}"), Step(f"statistics/{i}")
        found = await _agree_metric(network, gradients, rows, fit, (coarse, schedule.metric))
        (improved,) = await agree_fits(network, step, rows, *found)
        if _value(improved, schedule.metric) <= _value(fit, schedule.metric):
            break
        fit = improved
    return fit


def _value(fit: Fit, kind: MetricKind) -> float:
    """The log evidence less the metric's numbers, for each row, nats.

    Fits of different steps compare by it: a node may be lost between two steps, and its rows with
    it.
    """
    candidate = fit.candidate
    parameters = 0 if candidate.metric is None else kind.parameters(candidate.landmarks.shape[1])
    return (fit.evidence.log_evidence - parameters) / fit.statistics.count


async def _agree_metric(
    network: Network, step: Step, rows: AnyRows, fit: Fit, trial: tuple[Candidate, MetricKind]
) -> tuple[list[Candidate], list[Features]]:
    """A candidate with the metric that a fit's gradients ask for, and its feature map.

    One sweep sums gradients. The root takes the matrix's square root and finds the independent
    landmarks, since rounding differs.
    """
    candidate, kind = trial
    size, full = candidate.landmarks.shape[1], kind is MetricKind.FULL
    layout = Layout({"products": Symmetric(size) if full else (size,)})

    def choose(total: Vector) -> bytes:
        products = layout.unpack(total)["products"]
        metric = metric_from(products if full else np.diag(products), kind)
        (basis,) = independent([candidate.under(metric)])
        return MetricChoice(metric.tobytes(), basis).pack()

    M = gradient_outer_product(rows, fit.features, fit.mean)
    local = layout.pack(products=M if full else np.diag(M))
    _, chosen = await sum_and_decide(network, step, local, choose, features=size if full else 0)
    metric, basis = read_metric(chosen, size, len(candidate.landmarks), step=str(step))
    found = candidate.under(metric)
    return [found], [features_on(found, basis)]

"""Agreeing on whether targets have outliers: Gaussian noise, or Student's t.

One small sum over the residuals of the first coarse fit says how likely each would make them.
Student's t is taken where that is plain to see, so ordinary rows keep their Gaussian posterior; and
only where outliers lie on both sides, or so far out that a site calls them wild.

Otherwise the coarse look goes on with cleaned targets: each target is moved towards the mean by
what its precision lacks, and the fit is made anew from Phi'y of these alone, a few times (modified
residuals, which need no other Phi'Phi: Huber 1981, section 7.8). So a kernel's and a metric's
gradients aren't those of the outliers. The posterior's message then has a precision for each row
(`edge_node.inference.regression.student`), which its site computes by itself.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import msgspec
import numpy as np

from edge_node.arrays import Matrix, Rows, Vector
from edge_node.config import Likelihood
from edge_node.data.encoding.encoder import EncodedRows
from edge_node.inference.messages.evidence import best_evidence
from edge_node.inference.messages.gaussian import Gaussian
from edge_node.inference.messages.statistics import Statistics
from edge_node.inference.regression.student import (
    CLEANING_ROUNDS,
    LARGEST_PRECISION,
    SCALE_NUMBERS,
    RowPrecisions,
    fit_tails,
    local_residuals,
)
from edge_node.network.base import Network, sum_and_decide
from edge_node.program.features.candidates import Fit
from edge_node.program.root_decisions import read_cleaning, read_scale
from edge_node.step import Step

__all__ = ["CleanedRows", "agree_precisions", "without_outliers"]

_PLAIN = 0.3
"""How much likelier Student's t must make a row's residual, nats. Coarse residuals of ordinary sets
are no Gaussians either, because a few landmarks leave much of the function in them
(docs/model.md, "Outliers among targets")."""

_SIDED = 0.5  # from 0, outliers on both sides alike, to 1, on one side only


@dataclass(frozen=True)
class CleanedRows:
    """Rows whose targets are moved towards a mean by what their precisions lack."""

    rows: Rows
    precisions: RowPrecisions

    def __iter__(self) -> Iterator[tuple[Matrix, Vector]]:
        precisions = self.precisions
        for X, y in self.rows:
            mean = precisions.features(X) @ precisions.mean
            yield X, mean + precisions(X, y) / LARGEST_PRECISION * (y - mean)


async def agree_precisions(
    network: Network, step: Step, rows: EncodedRows, fit: Fit, likelihood: Likelihood
) -> RowPrecisions | None:
    """The rows' precisions around a fit's mean; None where noise is Gaussian.

    Args:
        network: the network.
        step: the sum over residuals.
        rows: this node's.
        fit: the coarse one.
        likelihood: the spec's; ``auto``: the residuals choose.
    """
    largest = fit.evidence.noise_variance**0.5

    def choose(total: Vector) -> bytes:
        tails = fit_tails(total, largest)
        plain = tails.gain > _PLAIN and (tails.sided < _SIDED or rows.encoder.wild_targets)
        robust = likelihood is Likelihood.STUDENT_T or plain
        return msgspec.json.encode(tails.scale if robust else None)

    local = local_residuals(rows, fit.features, fit.mean, largest)
    if likelihood is Likelihood.STUDENT_T:
        local = local[:SCALE_NUMBERS]
    _, chosen = await sum_and_decide(network, step, local, choose)
    scale = read_scale(chosen, largest, step=str(step))
    return None if scale is None else RowPrecisions(fit.features, fit.mean, scale)


async def without_outliers(
    network: Network, rows: EncodedRows, fit: Fit, likelihood: Likelihood
) -> tuple[Rows, Fit]:
    """Rows and fit for the rest of the coarse look: the same, or both with cleaned targets.

    Arguments as for `agree_precisions`.
    """
    if likelihood is Likelihood.GAUSSIAN:
        return rows, fit
    precisions = await agree_precisions(network, Step("residuals"), rows, fit, likelihood)
    if precisions is None:
        return rows, fit
    power = fit.statistics.target_power
    for i in range(1, CLEANING_ROUNDS + 1):
        step = Step(f"cleaned/{i}")
        fit, precisions = await _agree_cleaned(network, step, rows, fit, precisions)
    return CleanedRows(rows, precisions), replace(fit, raw_power=power)


async def _agree_cleaned(
    network: Network, step: Step, rows: Rows, fit: Fit, precisions: RowPrecisions
) -> tuple[Fit, RowPrecisions]:
    """The fit to targets that are cleaned by precisions, and the precisions around its mean.

    The sum also says how large the residuals around the present mean are, so that the scale
    follows. If a node was lost, Phi'Phi is scaled to the rows that are left.
    """
    largest = fit.evidence.noise_variance**0.5

    def read(total: Vector) -> tuple[Vector, Statistics]:
        looks, power, shift = np.split(total, [SCALE_NUMBERS, SCALE_NUMBERS + 1])
        count, old = round(looks[0]), fit.statistics
        left = count / old.count
        message = Gaussian(left * old.message.precision, shift)
        return looks, Statistics(count, power.item(), left * old.prior_power, message)

    def choose(total: Vector) -> bytes:
        looks, statistics = read(total)
        found = {"evidence": vars(best_evidence(statistics))}
        return msgspec.json.encode(found | {"scale": fit_tails(looks, largest).scale})

    local = _local_cleaned(rows, precisions, largest)
    total, chosen = await sum_and_decide(network, step, local, choose)

    def cleaned() -> tuple[Fit, RowPrecisions]:
        _, statistics = read(total)
        evidence, scale = read_cleaning(chosen, statistics, largest, step=str(step))
        found = Fit(fit.candidate, fit.features, statistics, evidence, step)
        return found, RowPrecisions(fit.features, found.mean, scale)

    return network.once(cleaned)


def _local_cleaned(rows: Rows, precisions: RowPrecisions, largest: float) -> Vector:
    """What a node sums: residuals of its targets; y'y and Phi'y of its cleaned targets."""
    looks = local_residuals(rows, precisions.features, precisions.mean, largest)
    power, shift = 0.0, np.zeros(len(precisions.mean))
    for X, y in CleanedRows(rows, precisions):
        power += float(y @ y)
        shift += precisions.features(X).T @ y
    return np.concatenate([looks[:SCALE_NUMBERS], [power], shift])

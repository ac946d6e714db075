"""Agreeing on a posterior under a likelihood of one latent function.

The features come from a Gaussian fit of the target on a scale that suits one; so does the start.
Where the spec leaves several likelihoods open, the steps are taken for each, and the highest bound
wins: it is the root's, which rides in the records, so all nodes compare the same numbers.
"""

from collections.abc import Sequence
from functools import partial

import numpy as np

from edge_node.arrays import Rows
from edge_node.config import Distribution, FederationSpec, Task
from edge_node.data.encoding.encoder import Encoder
from edge_node.inference.classification.expansion import numbers_told
from edge_node.inference.likelihoods.counts import Counts
from edge_node.inference.likelihoods.ordinal import Ordinal
from edge_node.inference.likelihoods.posterior import AnyLikelihood, LatentPosterior
from edge_node.inference.likelihoods.start import start_of
from edge_node.inference.likelihoods.survival import Times
from edge_node.network.base import Network
from edge_node.program.features.candidates import Fit
from edge_node.program.posteriors.classification import Steps, agree_steps
from edge_node.step import Step

__all__ = ["agree_latent", "likelihoods_of"]

_FEWEST_STEPS = 3
"""Of each likelihood, before bounds of several compare: the first two only begin to move it."""


def likelihoods_of(spec: FederationSpec, encoder: Encoder) -> list[AnyLikelihood]:
    """The likelihoods that the spec's task leaves open, one or more."""
    if spec.data.task is Task.ORDINAL:
        return [Ordinal.of(np.array(encoder.class_counts))]
    centre, scale = encoder.target_location, encoder.target_scale
    if spec.data.task is Task.COUNT:
        return [Counts(centre, scale)]
    asked = spec.model.distribution
    tried = (
        (Distribution.LOGNORMAL, Distribution.WEIBULL) if asked is Distribution.AUTO else (asked,)
    )
    return [Times(each, centre, scale) for each in tried]


async def agree_latent(
    network: Network,
    rows: Rows,
    fit: Fit,
    likelihoods: Sequence[AnyLikelihood],
    *,
    most_steps: int,
    most_numbers: int,
) -> tuple[LatentPosterior, Step]:
    """The posterior, and the step whose total it is made of.

    Where not even one step may be told, the posterior is the Gaussian fit's, read through the first
    of the likelihoods.

    Args:
        network: the network.
        rows: this node's; targets are as the likelihoods have them.
        fit: the Gaussian one, in the features to be used. The start comes from it, without a sweep.
        likelihoods: one or more.
        most_steps: how many steps may be taken, of all likelihoods together.
        most_numbers: how many numbers they may tell.
    """
    told = numbers_told(len(fit.features.landmarks), 1, len(likelihoods[0].limits[0]))
    if min(most_steps, most_numbers // told) < _FEWEST_STEPS * len(likelihoods):
        likelihoods = likelihoods[:1]  # too few to compare
    tried: list[tuple[bool, LatentPosterior, Step]] = []
    taken, left = 0, most_numbers
    for i, likelihood in enumerate(likelihoods):
        state = network.once(partial(start_of, fit.statistics, fit.evidence, likelihood))
        share = min(most_steps - taken, left // told) // (len(likelihoods) - i)
        start = Steps(state, taken, fit.step, fit.step)
        found = await agree_steps(network, rows, fit.features, likelihood, start, most=share)
        left -= told * (found.taken - taken)
        taken = found.taken
        bound = found.state.bound if share else fit.evidence.log_evidence
        posterior = LatentPosterior(fit.features, found.state.kept, likelihood, bound)
        tried.append((share > 0, posterior, found.kept_in))
    _, best, step = max(tried, key=lambda each: (each[0], each[1].log_evidence))
    return best, step

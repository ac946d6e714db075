"""Agreeing on a classifier's posterior: natural-gradient steps, each from one sweep."""

from functools import partial

import numpy as np

from edge_node.arrays import Rows, Vector
from edge_node.errors import NumericalError
from edge_node.inference.classification.expansion import Expansion, local_expansion
from edge_node.inference.classification.posterior import ClassPosterior
from edge_node.inference.classification.variational import VariationalState
from edge_node.network.base import Network, decide
from edge_node.program.candidates import Fit
from edge_node.program.root_decisions import read_sweep_choice
from edge_node.step import Step

__all__ = ["agree_classifier"]


async def agree_classifier(
    network: Network, rows: Rows, fit: Fit, offsets: Vector, *, most_steps: int
) -> tuple[ClassPosterior, Step]:
    """The classifier's posterior, and the step whose total it is made of.

    Args:
        network: the network.
        rows: this node's; targets are class indices.
        fit: label regression's, in the features to be used. The first step comes from it, without
            a sweep.
        offsets: fixed means of the logits (C,).
        most_steps: how many more steps may be taken, a sweep each.

    Raises:
        NumericalError: no step had a bound.
    """
    features, outputs = fit.features, len(offsets) - 1
    size, scale = len(features.landmarks), fit.statistics.prior_power / fit.statistics.count
    state = VariationalState.start(size, outputs, scale)
    expansion = Expansion.from_labels(fit.statistics, offsets)
    step = trial_in = kept_in = fit.step
    for i in range(most_steps + 1):
        asked = f"newton/{i}/step"
        chosen = await decide(network, asked, partial(_choose, state, expansion))
        taken = read_sweep_choice(chosen, first=i == 0, step=asked)
        before, state = state, state.advance(expansion, taken)
        kept_in = kept_in if state.kept is before.kept else trial_in
        trial_in = step
        if state.converged or i == most_steps:
            break
        step = Step(f"newton/{i}")
        local = local_expansion(rows, features, state.trial, offsets)
        expansion = Expansion.unpack(await network.sum(step, local.pack()), size, outputs)
    if most_steps == 0:
        bound = fit.evidence.log_evidence
        return ClassPosterior(features, state.trial, offsets, bound), fit.step
    if not np.isfinite(state.bound):
        raise NumericalError("the classifier's posterior was not found")
    return ClassPosterior(features, state.kept, offsets, state.bound), kept_in


def _choose(state: VariationalState, expansion: Expansion) -> bytes:
    return state.choose(expansion).pack().tobytes()

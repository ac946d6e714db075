"""Agreeing on a classifier's posterior: quasi-Newton steps, each from one small sweep."""

from functools import partial

from edge_node.arrays import Rows, Vector
from edge_node.inference.classification.expansion import (
    Expansion,
    local_expansion,
    numbers_told,
    total_bounds,
)
from edge_node.inference.classification.posterior import ClassPosterior
from edge_node.inference.classification.variational import VariationalState
from edge_node.network.base import Network, sum_and_decide
from edge_node.program.candidates import Fit
from edge_node.program.root_decisions import read_sweep_choice
from edge_node.step import Step

__all__ = ["agree_classifier"]


async def agree_classifier(
    network: Network,
    rows: Rows,
    fit: Fit,
    offsets: Vector,
    *,
    most_steps: int,
    most_numbers: int,
) -> tuple[ClassPosterior, Step]:
    """The classifier's posterior, and the step whose total it is made of.

    A step tells r q + 3 + q (q + 1) / 2 numbers, and the root's choice rides in its record. Where
    not even one may be told, the posterior is label regression's, read as logits.

    Args:
        network: the network.
        rows: this node's; targets are class indices.
        fit: label regression's, in the features to be used. The start comes from it, without a
            sweep.
        offsets: fixed means of the logits (C,).
        most_steps: how many steps may be taken.
        most_numbers: how many numbers they may tell.
    """
    features, size, outputs = fit.features, len(fit.features.landmarks), len(offsets) - 1
    state = network.once(lambda: VariationalState.start(fit.statistics, fit.evidence, offsets))
    steps = min(most_steps, most_numbers // numbers_told(size, outputs))
    if steps == 0:
        bound = fit.evidence.log_evidence
        return ClassPosterior(features, state.trial, offsets, bound), fit.step
    bounds = total_bounds(fit.statistics)
    trial_in = kept_in = fit.step
    for i in range(steps):
        step = Step(f"newton/{i}")
        local = local_expansion(rows, features, state.trial, offsets).pack()
        choose = partial(_choose, state)
        total, chosen = await sum_and_decide(
            network, step, local, choose, features=size, bounds=bounds
        )
        choice = read_sweep_choice(chosen, state.amplitudes, step=step.name)
        expansion = Expansion.unpack(total, size, outputs)
        state = network.once(partial(state.advance, expansion, choice))
        kept_in, trial_in = trial_in if choice.accepted else kept_in, step
        if state.converged:
            break
    return ClassPosterior(features, state.kept, offsets, state.bound), kept_in


def _choose(state: VariationalState, total: Vector) -> bytes:
    expansion = Expansion.unpack(total, *state.trial.mean.shape)
    return state.choose(expansion).pack().tobytes()

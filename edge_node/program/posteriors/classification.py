"""Agreeing on a posterior step by step: each quasi-Newton step is one small sweep."""

from dataclasses import dataclass, replace
from functools import partial

from edge_node.arrays import Rows, Vector
from edge_node.inference.classification.expansion import (
    Expansion,
    local_expansion,
    numbers_told,
    total_bounds,
)
from edge_node.inference.classification.expected import Likelihood
from edge_node.inference.classification.likelihood import Softmax
from edge_node.inference.classification.posterior import ClassPosterior
from edge_node.inference.classification.variational import VariationalState
from edge_node.inference.features.nystrom import Features
from edge_node.network.base import Network, sum_and_decide
from edge_node.program.features.candidates import Fit
from edge_node.program.root_decisions import read_sweep_choice
from edge_node.step import Step

__all__ = ["Steps", "agree_classifier", "agree_steps"]


@dataclass(frozen=True)
class Steps:
    """How far the steps are.

    Attributes:
        state: of the iteration.
        taken: how many sweeps there were.
        kept_in: the step whose total the approximation that is kept is made of.
        trial_in: the step that led to the approximation that is swept next.
    """

    state: VariationalState
    taken: int
    kept_in: Step
    trial_in: Step


async def agree_steps(
    network: Network,
    rows: Rows,
    features: Features,
    likelihood: Likelihood,
    steps: Steps,
    *,
    most: int,
    bounds: tuple[tuple[int, float | None], ...] = (),
) -> Steps:
    """The best approximation that some steps find, from the first or until there is no better one.

    A step tells r q + 3 + q (q + 1) / 2 + h + h (h + 1) / 2 numbers, for h parameters of the
    likelihood, and the root's choice rides in its record.

    Args:
        network: the network.
        rows: this node's; targets are as the likelihood has them.
        features: phi, r of them.
        likelihood: of a row.
        steps: how far they are; the names of the next ones go on from there.
        most: how many more may be taken.
        bounds: what a total can't exceed, run by run. Empty: nothing is known.
    """
    size, outputs = steps.state.trial.mean.shape
    shape = size, outputs, len(steps.state.trial.parameters)
    bounds = bounds or ((numbers_told(*shape), None),)
    for _ in range(most):
        state, step = steps.state, Step(f"newton/{steps.taken}")
        local = local_expansion(rows, features, state.trial, likelihood).pack()
        total, chosen = await sum_and_decide(
            network,
            step,
            local,
            partial(_choose, state, shape),
            features=len(features.landmarks),
            bounds=bounds,
        )
        choice = read_sweep_choice(chosen, state.amplitudes, step=step.name)
        expansion = Expansion.unpack(total, *shape)
        state = network.once(partial(state.advance, expansion, choice))
        kept_in = steps.trial_in if choice.accepted else steps.kept_in
        steps = replace(steps, state=state, taken=steps.taken + 1, kept_in=kept_in, trial_in=step)
        if state.converged:
            break
    return steps


def _choose(state: VariationalState, shape: tuple[int, int, int], total: Vector) -> bytes:
    return state.choose(Expansion.unpack(total, *shape)).pack().tobytes()


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

    Where not even one step may be told, the posterior is label regression's, read as logits.

    Args:
        network: the network.
        rows: this node's; targets are class indices.
        fit: label regression's, in the features to be used. The start comes from it, without a
            sweep.
        offsets: fixed means of the logits (C,).
        most_steps: how many steps may be taken.
        most_numbers: how many numbers they may tell.
    """
    state = network.once(lambda: VariationalState.start(fit.statistics, fit.evidence, offsets))
    size, outputs = state.trial.mean.shape
    most = min(most_steps, most_numbers // numbers_told(size, outputs))
    if most == 0:
        bound = fit.evidence.log_evidence
        return ClassPosterior(fit.features, state.trial, offsets, bound), fit.step
    found = await agree_steps(
        network,
        rows,
        fit.features,
        Softmax(offsets),
        Steps(state, 0, fit.step, fit.step),
        most=most,
        bounds=total_bounds(fit.statistics),
    )
    posterior = ClassPosterior(fit.features, found.state.kept, offsets, found.state.bound)
    return posterior, found.kept_in

"""Agreeing on a classifier's posterior."""

from functools import partial

import numpy as np

from edge_node.arrays import Rows, Vector
from edge_node.errors import NumericalError
from edge_node.inference.classification.expansion import Expansion, local_expansion
from edge_node.inference.classification.posterior import ClassPosterior
from edge_node.inference.classification.variational import VariationalState
from edge_node.network.base import Network, decide
from edge_node.program.candidates import Fit
from edge_node.program.root_decisions import read_step

__all__ = ["agree_classifier"]


async def agree_classifier(
    network: Network, rows: Rows, learnt: Fit, offsets: Vector, *, most_sweeps: int
) -> tuple[ClassPosterior, str]:
    """The classifier's posterior, and the step whose total it is made of.

    Natural-gradient steps: one sweep each, the root chooses. The first comes from the label
    regression that was summed already; with ``most_sweeps`` zero it is the only one.
    """
    features, outputs = learnt.features, len(offsets) - 1
    size, scale = len(features.landmarks), learnt.statistics.prior_power / learnt.statistics.count
    state = VariationalState.start(size, outputs, scale)
    expansion = Expansion.from_labels(learnt.statistics, offsets)
    step = trial_in = kept_in = learnt.step
    for i in range(most_sweeps + 1):
        asked = f"newton/{i}/step"
        chosen = await decide(network, asked, partial(_choose, state, expansion))
        taken = read_step(chosen, first=i == 0, step=asked)
        before, state = state, state.advance(expansion, taken)
        kept_in = kept_in if state.kept is before.kept else trial_in
        trial_in = step
        if state.converged or i == most_sweeps:
            break
        step = f"newton/{i}"
        local = local_expansion(rows, features, state.trial, offsets)
        expansion = Expansion.unpack(await network.sum(step, local.pack()), size, outputs)
    if most_sweeps == 0:
        bound = learnt.evidence.log_evidence
        return ClassPosterior(features, state.trial, offsets, bound), learnt.step
    if not np.isfinite(state.bound):
        raise NumericalError("the classifier's posterior was not found")
    return ClassPosterior(features, state.kept, offsets, state.bound), kept_in


def _choose(state: VariationalState, expansion: Expansion) -> bytes:
    return state.choose(expansion).pack().tobytes()

"""Agreeing on a classifier's posterior."""

from functools import partial

import numpy as np

from edge_node.errors import NumericalError
from edge_node.inference.arrays import Rows, Vector
from edge_node.inference.expansion import Expansion, local_expansion
from edge_node.inference.features import Features
from edge_node.inference.posterior import ClassPosterior
from edge_node.inference.statistics import Statistics
from edge_node.inference.variational import Step, VariationalState
from edge_node.network.base import Network, decide

__all__ = ["agree_classifier"]


async def agree_classifier(
    network: Network,
    rows: Rows,
    features: Features,
    statistics: Statistics,
    offsets: Vector,
    *,
    most_sweeps: int,
) -> ClassPosterior:
    """The classifier's posterior by natural-gradient steps: one sweep each, the root chooses."""
    size, outputs = len(features.landmarks), len(offsets) - 1
    state = VariationalState.start(size, outputs, statistics.prior_power / statistics.count)
    expansion = Expansion.from_labels(statistics, offsets)  # at zero: summed already
    for i in range(most_sweeps + 1):
        chosen = await decide(network, f"newton/{i}/step", partial(_choose, state, expansion))
        state = state.advance(expansion, Step.unpack(np.frombuffer(chosen)))
        if state.converged or i == most_sweeps:
            break
        local = local_expansion(rows, features, state.trial, offsets)
        total = await network.sum(f"newton/{i}", local.pack())
        expansion = Expansion.unpack(total, size, outputs)
    if not np.isfinite(state.bound):
        raise NumericalError("the classifier's posterior was not found")
    return ClassPosterior(features, state.kept, offsets, state.bound)


def _choose(state: VariationalState, expansion: Expansion) -> bytes:
    return state.choose(expansion).pack().tobytes()

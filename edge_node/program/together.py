"""Several vectors in one sweep of the tree."""

from collections.abc import Callable, Sequence
from typing import Unpack

import numpy as np

from edge_node.arrays import Vector
from edge_node.network.base import Network, Terms, sum_and_decide
from edge_node.step import Step

__all__ = ["decide_together"]


async def decide_together(
    network: Network,
    step: Step,
    vectors: Sequence[Vector],
    choose: Callable[[list[Vector]], bytes],
    /,
    **terms: Unpack[Terms],
) -> tuple[list[Vector], bytes]:
    """The federation's total of each of some vectors, and the choice that the root takes from them.

    Their words ride side by side in one step.

    Args:
        network: the node's view of the federation.
        step: the sum.
        vectors: this node's, one or more, with the same lengths in the same order at every node.
        choose: as for `sum_and_decide`, from all totals.
        terms: what is demanded of the total.
    """
    ends = np.cumsum([len(vector) for vector in vectors])[:-1]

    def apart(total: Vector) -> list[Vector]:
        return np.split(total, ends)

    joined = np.concatenate(vectors) if len(vectors) > 1 else vectors[0]
    del vectors  # a node waits here, and other nodes may wait in the same process
    total, chosen = await sum_and_decide(
        network, step, joined, lambda total: choose(apart(total)), **terms
    )
    return apart(total), chosen

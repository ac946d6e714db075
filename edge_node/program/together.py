"""Several vectors in one sweep of the tree."""

from collections.abc import Callable, Sequence
from typing import Unpack

import numpy as np

from edge_node.arrays import Vector
from edge_node.network.base import Network, Terms, sum_and_decide
from edge_node.step import Step

__all__ = ["decide_together", "sum_together"]


async def sum_together(
    network: Network, step: Step, vectors: Sequence[Vector], **terms: Unpack[Terms]
) -> list[Vector]:
    """The federation's total of each of some vectors: their words ride side by side in one step.

    Args:
        network: the node's view of the federation.
        step: the sum.
        vectors: this node's, one or more, with the same lengths in the same order at every node.
        terms: what is demanded of the total.

    Raises:
        CohortChanged: some nodes of ``cohort_of`` are gone.
    """
    total = await network.sum(step, np.concatenate(vectors), **terms)
    return _apart(total, vectors)


async def decide_together(
    network: Network,
    step: Step,
    vectors: Sequence[Vector],
    choose: Callable[[list[Vector]], bytes],
    /,
    **terms: Unpack[Terms],
) -> tuple[list[Vector], bytes]:
    """As `sum_together`, with the choice that the root takes from the totals."""
    total, chosen = await sum_and_decide(
        network,
        step,
        np.concatenate(vectors),
        lambda total: choose(_apart(total, vectors)),
        **terms,
    )
    return _apart(total, vectors), chosen


def _apart(total: Vector, vectors: Sequence[Vector]) -> list[Vector]:
    """The total of each of the vectors."""
    return np.split(total, np.cumsum([len(vector) for vector in vectors])[:-1])

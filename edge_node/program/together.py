"""Several vectors in one sweep of the tree."""

from collections.abc import Sequence

import numpy as np

from edge_node.arrays import Vector
from edge_node.network.base import Network

__all__ = ["sum_together"]


async def sum_together(
    network: Network, step: str, vectors: Sequence[Vector], *, cohort_of: str = ""
) -> list[Vector]:
    """The federation's total of each of some vectors: their words ride side by side in one step.

    Args:
        network: the node's view of the federation.
        step: the step's name.
        vectors: this node's, one or more; of the same lengths, in the same order, at every node.
        cohort_of: as for ``network.sum``.

    Raises:
        CohortChanged: some nodes of ``cohort_of`` are gone.
    """
    total = await network.sum(step, np.concatenate(vectors), cohort_of=cohort_of)
    return np.split(total, np.cumsum([len(vector) for vector in vectors])[:-1])

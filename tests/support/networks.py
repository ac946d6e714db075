"""Networks that are watched."""

from typing import Unpack

from edge_node.arrays import Vector
from edge_node.network.base import Network, NetworkLayer, Terms
from edge_node.step import Step

__all__ = ["Watched"]


class Watched(NetworkLayer):
    """A network that keeps every total in ``totals``, by the step's text."""

    def __init__(self, network: Network, totals: dict[str, Vector]) -> None:
        super().__init__(network)
        self._totals = totals

    async def sum(self, step: Step, vector: Vector, **terms: Unpack[Terms]) -> Vector:
        """As the network's."""
        total = await super().sum(step, vector, **terms)
        self._totals[str(step)] = total
        return total

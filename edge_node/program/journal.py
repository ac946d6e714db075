"""Which steps a run has taken, for the model's provenance."""

from collections.abc import Mapping

from edge_node.arrays import Vector
from edge_node.network.base import Network
from edge_node.security.privacy.discrete_gaussian import DiscreteGaussian

__all__ = ["Journal"]


class Journal:
    """A network that remembers the names of the steps taken over it."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self.steps: list[str] = []
        self.sums: list[str] = []  # sweeps over the tree; the other steps share a choice

    @property
    def node(self) -> str:
        """As the network's."""
        return self._network.node

    @property
    def root(self) -> str:
        """As the network's."""
        return self._network.root

    def cohort(self, step: str) -> tuple[str, ...]:
        """As the network's."""
        return self._network.cohort(step)

    async def sum(
        self,
        step: str,
        vector: Vector,
        *,
        cohort_of: str = "",
        noise: DiscreteGaussian | None = None,
    ) -> Vector:
        """As the network's; the step is noted."""
        total = await self._network.sum(step, vector, cohort_of=cohort_of, noise=noise)
        self.steps.append(step)
        self.sums.append(step)
        return total

    async def gather(self, step: str, data: bytes) -> Mapping[str, bytes]:
        """As the network's; the step is noted."""
        gathered = await self._network.gather(step, data)
        self.steps.append(step)
        return gathered

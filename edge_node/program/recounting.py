"""A network that sums over counted nodes only."""

from collections.abc import Callable
from typing import Unpack

from edge_node.arrays import Vector
from edge_node.network.base import CohortChanged, Network, NetworkLayer, Terms
from edge_node.step import Content, Step

__all__ = ["RecountingNetwork"]


class RecountingNetwork(NetworkLayer):
    """Counts again whenever a node was lost, before anything else is summed.

    How many rows there are, and what they may tell, depends on who is counted. So every sum is over
    the nodes of the newest count, and a step that lost one is taken again. A step may be asked for
    several times here; the network below sees each attempt.

    Args:
        network: the network.
        counts: what this node counts.
        check: called with every total of the counts; raises if it is too small for further sums.

    Attributes:
        total: of the newest count.
    """

    total: Vector
    _newest: Step  # count

    def __init__(self, network: Network, counts: Vector, check: Callable[[Vector], None]) -> None:
        super().__init__(network)
        self._counts = counts
        self._check = check
        self._next = Step("counts", Content.COUNTS)
        self._attempts: dict[Step, Step] = {}  # the newest attempt, by the first

    def attempt(self, step: Step) -> Step:
        """The newest attempt at a step."""
        return self._attempts.get(step, step)

    def narrow(self, counts: Vector, check: Callable[[Vector], None]) -> None:
        """From the next count on, count only what later sums depend on."""
        self._counts, self._check = counts, check

    async def count(self) -> None:
        """Count, and check the total; needed before any sum. Raises what ``check`` raises."""
        self._newest, self._next = self._next, self._next.again
        self.total = await super().sum(self._newest, self._counts)
        self._check(self.total)

    async def sum(self, step: Step, vector: Vector, **terms: Unpack[Terms]) -> Vector:
        """As the network's, over the nodes of the newest count."""
        while True:
            self._attempts[step] = self._attempts[step].again if step in self._attempts else step
            bound: Terms = {**terms, "cohort_of": self._newest}
            try:
                return await super().sum(self._attempts[step], vector, **bound)
            except CohortChanged:
                await self.count()

    def decision(self, step: Step) -> bytes:
        """As the network's, of the newest attempt."""
        return super().decision(self.attempt(step))

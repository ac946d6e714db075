"""A network whose every sum is of nodes whose rows were counted."""

from collections.abc import Callable

from edge_node.arrays import Vector
from edge_node.network.base import CohortChanged, Network
from edge_node.program.journal import Journal
from edge_node.security.privacy.discrete_gaussian import DiscreteGaussian
from edge_node.step import repeated_step

__all__ = ["RecountingNetwork"]

_COUNTS = "counts"


class RecountingNetwork(Journal):
    """Counts once more whenever a node was lost, before anything else is summed.

    Groups of rows were found large enough among certain nodes; without one of them they may be too
    small. So no sum holds fewer nodes than the newest count, and a step that would is taken anew.
    Steps may be repeated under one name here; below they are ``step/again-1`` and so on.

    Args:
        network: the network.
        counts: what this node counts.
        check: is given every total of them; raises where it is too small for further sums.

    Attributes:
        total: of the newest count.
    """

    total: Vector

    def __init__(self, network: Network, counts: Vector, check: Callable[[Vector], None]) -> None:
        super().__init__(network)
        self._counts = counts
        self._check = check
        self._counted: list[str] = []
        self._names: dict[str, list[str]] = {}  # of a step: what it was called below, each time

    @property
    def newest(self) -> str:
        """The step of the newest count, as ``cohort_of`` for what its total has decided."""
        return self._counted[-1]

    @property
    def cohorts(self) -> dict[str, tuple[str, ...]]:
        """The nodes of every step, each time that it was taken, by what it was called below."""
        return {step: super(RecountingNetwork, self).cohort(step) for step in self.steps}

    def called(self, step: str) -> str:
        """What a step was called below, the last time that it was taken."""
        return self._names.get(step, [step])[-1]

    def cohort(self, step: str) -> tuple[str, ...]:
        """The nodes of a step, as it was taken the last time."""
        return super().cohort(self.called(step))

    def narrow(self, counts: Vector, check: Callable[[Vector], None]) -> None:
        """Count other things from the next time on: no more than what later sums hang on."""
        self._counts, self._check = counts, check

    async def count(self) -> Vector:
        """Count, and check the total; the first thing to be done. Raises what ``check`` raises."""
        self._counted.append(repeated_step(_COUNTS, len(self._counted)))
        self.total = await super().sum(self.newest, self._counts)
        self._check(self.total)
        return self.total

    async def sum(
        self,
        step: str,
        vector: Vector,
        *,
        cohort_of: str = "",
        noise: DiscreteGaussian | None = None,
    ) -> Vector:
        """As the network's, over the nodes of the newest count.

        Raises:
            CohortChanged: some nodes of ``cohort_of`` are gone; all others are counted anew.
        """
        while not cohort_of or self.cohort(cohort_of) == self.cohort(self.newest):
            names = self._names.setdefault(step, [])
            names.append(repeated_step(step, len(names)))
            try:
                return await super().sum(names[-1], vector, cohort_of=self.newest, noise=noise)
            except CohortChanged:
                await self.count()
        raise CohortChanged(step)

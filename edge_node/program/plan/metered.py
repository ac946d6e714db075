"""A network that counts what is told, and refuses more than the rows may tell."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Unpack

from edge_node.arrays import Vector
from edge_node.errors import CohortRefusedError
from edge_node.network.base import Network, NetworkLayer, Terms
from edge_node.program.plan.affordable import within
from edge_node.program.plan.schedule import Schedule
from edge_node.security.disclosure.allowance import Allowance
from edge_node.security.disclosure.bill import Bill
from edge_node.step import Step

__all__ = ["MeteredNetwork"]

_WHERE = "numbers told, step {step}"


class MeteredNetwork(NetworkLayer):
    """Every number of a sum of statistics or cells is told; floors bound counts and labels.

    When a node is lost, those who are left have fewer rows, and may tell less among themselves. But
    what was told before is told by the lost node's rows, too, so it is part of the larger allowance
    that all had together (`security.disclosure.lifetime`, which checks the same over all runs).

    Attributes:
        allowance: what the rows may tell, as far as it is known; before the first count, nothing.
    """

    def __init__(self, network: Network, allowance: Allowance | None = None) -> None:
        super().__init__(network)
        self.allowance = allowance or Allowance(0, 0, 0.0)
        self._most = 0  # that rows might tell in this run, while nobody was lost
        self._bill: dict[Step, int] = {}

    @property
    def bill(self) -> Mapping[Step, int]:
        """How many numbers each step has told."""
        return MappingProxyType(self._bill)

    @property
    def left(self) -> int:
        """How many numbers may still be told."""
        present = [nodes for nodes in self.steps.values() if nodes][-1:]
        told = sum(self._bill.values())
        among = sum(n for step, n in self._bill.items() if [self.steps[step]] == present)
        most = max(self.allowance.numbers, self._most)
        return max(min(self.allowance.numbers - among, most - told), 0)

    def fitted(self, schedule: Schedule) -> Schedule:
        """A schedule with no more of what follows the coarse look than may still be told."""
        return within(schedule, self.left, self.allowance.features)

    def receipt(self, coalition: int) -> Bill | None:
        """The bill, with what it means for rows; None where nodes hide nothing from each other.

        Args:
            coalition: how many nodes might pool what they know.
        """
        allowance = self.allowance
        if allowance.most_numbers is None:
            return None
        return Bill(
            steps={str(step): numbers for step, numbers in self._bill.items() if numbers},
            before=allowance.told,
            rows=allowance.rows,
            columns=allowance.columns,
            most_told=allowance.most_told,
            coalition=coalition,
            sizes=dict(self.sizes),
        )

    async def sum(self, step: Step, vector: Vector, **terms: Unpack[Terms]) -> Vector:
        """As the network's.

        Raises:
            CohortRefusedError: it would tell more than the rows may tell; nothing was sent.
        """
        numbers = len(vector) if step.tells_numbers else 0
        self._check(step, numbers, terms.get("features", 0))
        self._most = max(self._most, self.allowance.numbers)
        if (most := self.allowance.most_numbers) is not None:
            terms["most_numbers"] = most
        total = await super().sum(step, vector, **terms)
        self._bill[step] = numbers
        return total

    def _check(self, step: Step, numbers: int, features: int) -> None:
        if numbers > self.left:
            raise CohortRefusedError(
                "the federation's rows may not tell so many numbers",
                where=_WHERE.format(step=step),
                expected=f"at most {self.left} more, {self.allowance.most_told:g} per cell in all",
                found=str(numbers),
                remedy="Wait for more rows, ask for fewer landmarks or columns, or raise"
                " `most_told`, which lets members solve for rows",
            )
        if features > self.allowance.features:
            raise CohortRefusedError(
                "so few rows can't be summed at such a resolution",
                where=_WHERE.format(step=step),
                expected=f"at most {self.allowance.features} features, a third of the rows"
                " without the largest sites",
                found=str(features),
                remedy="Wait for more rows, or ask for fewer landmarks",
            )

"""A network that counts what is told, and refuses more than the rows may tell."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Unpack

from edge_node.arrays import Vector
from edge_node.errors import CohortRefusedError
from edge_node.network.base import Network, NetworkLayer, Terms
from edge_node.security.disclosure.allowance import Allowance
from edge_node.step import Content, Step

__all__ = ["MeteredNetwork"]

_WHERE = "numbers told, step {step}"


class MeteredNetwork(NetworkLayer):
    """Every number of a sum of statistics is told; counts are bounded by floors of their own.

    Attributes:
        allowance: what the rows may tell, as far as it is known; before the first count, nothing.
    """

    def __init__(self, network: Network, allowance: Allowance | None = None) -> None:
        super().__init__(network)
        self.allowance = allowance or Allowance(0, 0, 0.0)
        self._bill: dict[Step, int] = {}

    @property
    def bill(self) -> Mapping[Step, int]:
        """How many numbers each step has told."""
        return MappingProxyType(self._bill)

    @property
    def left(self) -> int:
        """How many numbers may still be told."""
        return max(self.allowance.numbers - sum(self._bill.values()), 0)

    async def sum(self, step: Step, vector: Vector, **terms: Unpack[Terms]) -> Vector:
        """As the network's.

        Raises:
            CohortRefusedError: it would tell more than the rows may tell; nothing was sent.
        """
        numbers = 0 if step.content is Content.COUNTS else len(vector)
        self._check(step, numbers, terms.get("features", 0))
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

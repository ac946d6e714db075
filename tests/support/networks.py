"""Networks that are watched."""

from typing import Unpack

import numpy as np

from edge_node.arrays import Vector
from edge_node.network.base import Network, NetworkLayer, Terms
from edge_node.network.wire.fixed_point import Limbs
from edge_node.network.wire.segments import Segments
from edge_node.step import Step

__all__ = ["Recording", "Watched"]


class Watched(NetworkLayer):
    """A network that keeps every total in ``totals``, by the step's text."""

    def __init__(self, network: Network, totals: dict[str, Vector] | None = None) -> None:
        super().__init__(network)
        self.totals: dict[str, Vector] = {} if totals is None else totals

    async def sum(self, step: Step, vector: Vector, **terms: Unpack[Terms]) -> Vector:
        """As the network's."""
        total = await super().sum(step, vector, **terms)
        self.totals[str(step)] = total
        return total


class Recording(NetworkLayer):
    """A network that keeps every vector that its node gave to a sum, in ``given``.

    And its words in ``words``, by the step's text, with what they are.
    """

    def __init__(self, network: Network, given: list[Vector] | None = None) -> None:
        super().__init__(network)
        self.given: list[Vector] = [] if given is None else given
        self.words: dict[str, tuple[Segments, Limbs]] = {}

    @property
    def contributed(self) -> Vector:
        """The vectors of all sums, one after the other."""
        return np.concatenate(self.given)

    async def sum(self, step: Step, vector: Vector, **terms: Unpack[Terms]) -> Vector:
        """As the network's."""
        self.given.append(vector.copy())
        segments = Segments.of(len(vector), terms.get("bounds"))
        self.words[str(step)] = segments, segments.encode(vector)
        return await super().sum(step, vector, **terms)

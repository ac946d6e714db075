"""A member that runs the ordinary program, and keeps what it is told and what it gave."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Unpack

import numpy as np
import pytest

from edge_node.arrays import Matrix, Vector
from edge_node.inference.features.nystrom import Features
from edge_node.network.base import Network, NetworkLayer, Terms
from edge_node.packing import Layout, Symmetric
from edge_node.step import Step

__all__ = ["Overhearing", "Secrets"]


@dataclass
class Secrets:
    """What a curious member writes down.

    Attributes:
        totals: of each sum, the total and what it gave itself.
        maps: the feature maps that it has used.
        unpacked: vectors that it has read from totals, with their layouts.
    """

    totals: dict[Step, tuple[Vector, Vector]] = field(default_factory=dict)
    maps: list[Features] = field(default_factory=list)
    unpacked: list[tuple[Layout, Vector]] = field(default_factory=list)

    @property
    def numbers(self) -> int:
        """How many real-valued numbers it was told."""
        sums = (step for step in self.totals if step.tells_numbers)
        return sum(len(self.totals[step][0]) for step in sums)

    @property
    def outer_products(self) -> Iterator[tuple[Matrix, list[Features]]]:
        """The others' matrices, with the feature maps that fit their size."""
        for layout, vector in self.unpacked:
            own = self._own(vector)
            if own is None:
                continue
            total, mine = layout.unpack(vector), layout.unpack(own)
            for name, shape in layout.parts.items():
                maps = [each for each in self.maps if _fits(each, shape)]
                if maps:
                    others = (total[name] - mine[name]).reshape(-1, *total[name].shape[-2:])
                    yield from ((G, maps) for G in others)

    def _own(self, vector: Vector) -> Vector | None:
        """What it gave itself to a piece of a total."""
        for total, own in self.totals.values():
            for start in np.flatnonzero(total[: len(total) - len(vector) + 1] == vector[0]):
                piece = slice(start, start + len(vector))
                if np.array_equal(total[piece], vector):
                    return own[piece]
        return None

    def watch(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Write down what the program builds and reads."""
        build, unpack = Features.build, Layout.unpack

        def building(*arguments: Any) -> Features:
            made = build(*arguments)
            if not any(_same(made, known) for known in self.maps):
                self.maps.append(made)
            return made

        def unpacking(layout: Layout, vector: Vector) -> dict[str, Matrix]:
            if not any(np.array_equal(vector, known) for _, known in self.unpacked):
                self.unpacked.append((layout, vector.copy()))
            return unpack(layout, vector)

        monkeypatch.setattr(Features, "build", staticmethod(building))
        monkeypatch.setattr(Layout, "unpack", unpacking)


class Overhearing(NetworkLayer):
    """A network whose totals are written down."""

    def __init__(self, network: Network, secrets: Secrets) -> None:
        super().__init__(network)
        self._secrets = secrets

    async def sum(self, step: Step, vector: Vector, **terms: Unpack[Terms]) -> Vector:
        """As the network's."""
        total = await super().sum(step, vector, **terms)
        self._secrets.totals[step] = total.copy(), vector.copy()
        return total


def _same(one: Features, other: Features) -> bool:
    return one.kernel == other.kernel and np.array_equal(one.landmarks, other.landmarks)


def _fits(features: Features, shape: object) -> bool:
    return isinstance(shape, Symmetric) and shape.size == len(features.landmarks)

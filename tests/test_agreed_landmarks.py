"""Landmarks that a federation agrees on: right also when it shrinks on the way."""

import asyncio
from collections.abc import Mapping

import numpy as np
import pytest

from edge_node.inference.arrays import Matrix, Vector
from edge_node.network.base import Network
from edge_node.network.memory import MemoryFederation
from edge_node.program.landmarks import agree_centroids


class Leaving:
    """A network whose node's rows are in no sum from a step on, as if it had been lost."""

    def __init__(self, network: Network, gone_from: str) -> None:
        self._network = network
        self._gone_from = gone_from
        self._gone = False
        self.node, self.root = network.node, network.root
        self.cohort = network.cohort

    async def sum(self, step: str, vector: Vector, **options: object) -> Vector:
        """As the network's; a node that is gone adds nothing."""
        self._gone = self._gone or step == self._gone_from
        given = np.zeros_like(vector) if self._gone else vector
        return await self._network.sum(step, given, **options)

    async def gather(self, step: str, data: bytes) -> Mapping[str, bytes]:
        """As the network's."""
        return await self._network.gather(step, data)


def centroids(parts: list[Matrix], Z: Matrix, min_rows: int, gone_from: str = "") -> Matrix:
    """One iteration over nodes with these rows; the last one may be lost."""
    nodes = [f"node-{i}" for i in range(len(parts))]

    async def program(network: Network) -> Matrix:
        rows = [(parts[nodes.index(network.node)], np.zeros(0))]
        mine = Leaving(network, gone_from) if network.node == nodes[-1] else network
        (moved,) = await agree_centroids(mine, "kmeans/0", rows, [(Z, None)], min_rows)
        return moved

    results = asyncio.run(MemoryFederation(nodes).run(program))
    assert len({moved.tobytes() for moved in results.values()}) == 1
    return results[nodes[0]]


LEFT = np.array([[-2.0, 0.0], [-4.0, 2.0], [-6.0, 1.0]])
RIGHT = np.array([[10.0, 4.0], [12.0, 8.0]])
STARTS = np.array([[-1.0, 0.0], [1.0, 0.0]])


def test_centroids_are_means_of_the_rows_that_are_left() -> None:
    """A centroid is the mean of the rows in its sum: not of their sum over an earlier count."""
    lost = np.array([[-8.0, 1.0], [-9.0, 1.0], [11.0, 3.0]])
    moved = centroids([LEFT, RIGHT, lost], STARTS, 2, gone_from="kmeans/0/sums")
    np.testing.assert_allclose(moved, [LEFT.mean(axis=0), RIGHT.mean(axis=0)], rtol=1e-9)


@pytest.mark.parametrize("gone_from", ["kmeans/0/counts", "kmeans/0/sums"])
def test_a_centroid_that_is_left_with_too_few_rows_stays(gone_from: str) -> None:
    """Whether its node was lost before the counts or after them."""
    lost = np.array([[11.0, 3.0], [13.0, 9.0]])
    everyone = centroids([LEFT, RIGHT, lost], STARTS, 3)
    np.testing.assert_allclose(everyone[1], np.vstack([RIGHT, lost]).mean(axis=0), rtol=1e-9)
    moved = centroids([LEFT, RIGHT, lost], STARTS, 3, gone_from)
    np.testing.assert_allclose(moved[0], LEFT.mean(axis=0), rtol=1e-9)
    np.testing.assert_array_equal(moved[1], STARTS[1])

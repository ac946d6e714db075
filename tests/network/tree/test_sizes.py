"""What nodes claim of their rows is what a program may go by, again and again."""

from collections.abc import Mapping

import numpy as np
import pytest

from edge_node.errors import NetworkError
from edge_node.network.tree.tree import TreeNetwork
from edge_node.step import Content, Step
from tests.support.mesh import Mesh, Sized

pytestmark = pytest.mark.timeout(60)

STAR = {"a": "", "b": "a", "c": "a"}
PAIR = {"a": "", "b": "a"}


@pytest.fixture
async def mesh(mesh: Mesh) -> Mesh:
    """Sites of 2^3, 2^4 and 2^5 rows."""
    await mesh.start(STAR)
    for size, peer in enumerate(mesh.peers.values(), 3):
        peer.guard = Sized(2**size, told=100 * size)
    return mesh


async def counted(network: TreeNetwork) -> tuple[Mapping[str, int], Mapping[str, int]]:
    """A program that counts, and then plans."""
    await network.sum(Step("counts", Content.COUNTS), np.ones(1))
    return network.sizes, network.told


async def test_all_know_all_sizes_once_they_have_counted(mesh: Mesh) -> None:
    """They are the powers of two that were claimed; before, nobody can plan by them."""
    with pytest.raises(NetworkError, match="after the first step"):
        _ = mesh.peers["a"].network().sizes
    mesh.offer(mesh.plan(1, STAR))
    found = await mesh.run(counted)
    expected = {"a": 8, "b": 16, "c": 32}, {"a": 300, "b": 400, "c": 500}
    assert list(found.values()) == [expected] * 3


async def test_a_program_that_starts_again_plans_as_it_did(mesh: Mesh) -> None:
    """By the sizes of the nodes that were counted, although the epoch has others; then by these."""
    mesh.offer(mesh.plan(1, STAR))
    before = (await mesh.run(counted))["a"]
    await mesh.peers["b"].stop()
    await mesh.peers["b"].start()
    mesh.offer(mesh.plan(2, PAIR))

    async def again(network: TreeNetwork) -> Mapping[str, int]:
        assert await counted(network) == before
        await network.sum(Step("counts", Content.COUNTS).again, np.ones(1))
        return network.sizes

    assert await mesh.run(again, "ab") == {node: {"a": 8, "b": 16} for node in "ab"}

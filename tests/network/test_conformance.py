"""Every network keeps the laws of the interface, whatever the tree."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import numpy as np
import pytest

from edge_node.errors import NetworkError
from edge_node.network.base import Network
from edge_node.network.memory import MemoryFederation
from edge_node.network.threaded import ThreadedNetwork
from edge_node.step import Content, Step
from tests.network.conformance import LAWS, Law, vector_of
from tests.support.mesh import Mesh

pytestmark = pytest.mark.timeout(60)

Program = Callable[[Network], Awaitable[Any]]

EIGHT = {"a": "c", "b": "a", "c": "h", "d": "a", "e": "h", "f": "e", "g": "f", "h": ""}
TREES = {
    "alone": {"a": ""},
    "pair": {"a": "b", "b": ""},
    "star": {"a": "", "b": "a", "c": "a", "d": "a", "e": "a"},
    "chain": {"a": "b", "b": "c", "c": "d", "d": "e", "e": ""},
    "eight": EIGHT,
}


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("nodes", [1, 5])
async def test_in_memory(law: Law, nodes: int) -> None:
    """Any number of nodes in one process."""
    await law(MemoryFederation("abcde"[:nodes]).run)


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("parents", TREES.values(), ids=TREES.keys())
async def test_along_a_tree(law: Law, parents: Mapping[str, str], mesh: Mesh) -> None:
    """Over mutual TLS on loopback."""
    await mesh.start(parents)
    mesh.offer(mesh.plan(1, parents))
    await law(mesh.run)


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
async def test_from_a_thread(law: Law, mesh: Mesh) -> None:
    """The program has a loop of its own, and gRPC stays in this one."""
    home = asyncio.get_running_loop()

    def in_thread(program: Program) -> Program:
        async def start(network: Network) -> Any:
            proxy = ThreadedNetwork(network, home)

            async def run() -> Any:
                return await program(proxy)

            return await asyncio.to_thread(lambda: asyncio.run(run()))

        return start

    parents = {"a": "b", "b": "", "c": "b"}
    await mesh.start(parents)
    mesh.offer(mesh.plan(1, parents))
    await law(lambda program: mesh.run(in_thread(program)))


async def test_a_tree_and_one_process_give_the_same_bytes(mesh: Mesh) -> None:
    """What is simulated is what is computed."""

    async def program(network: Network) -> bytes:
        return (await network.sum(Step("s"), vector_of(network.node))).tobytes()

    await mesh.start(EIGHT)
    mesh.offer(mesh.plan(1, EIGHT))
    along_the_tree = await mesh.run(program)
    assert along_the_tree == await MemoryFederation(list(EIGHT)).run(program)


@pytest.mark.parametrize("differs", ["name", "kind", "length"])
async def test_a_child_whose_program_differs_is_told(differs: str, mesh: Mesh) -> None:
    """Another name, kind or length at the same position: the child's program ends with a reason."""

    async def program(network: Network) -> None:
        other = network.node == "b"
        name = "t" if other and differs == "name" else "s"
        if other and differs == "kind":
            await network.gather(Step(name, Content.PUBLIC), b"")
        else:
            await network.sum(Step(name), np.ones(2 if other and differs == "length" else 1))

    await mesh.start({"a", "b"})
    mesh.offer(mesh.plan(1, {"a": "", "b": "a"}))
    parent = asyncio.ensure_future(program(mesh.peers["a"].network()))
    with pytest.raises(NetworkError, match=r"too long|the programs differ"):
        await program(mesh.peers["b"].network())
    parent.cancel()
    await asyncio.gather(parent, return_exceptions=True)

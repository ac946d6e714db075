"""A member that is not the root, and chooses in its place; and a root whose text steers a terminal.

What is chosen rides in the record of a sum, and only the root makes records. The control rebuilds
how it was: choices were gathered, and the first that was not empty, by name, was everybody's.
"""

import asyncio
from collections.abc import Awaitable, Callable

import msgspec
import numpy as np
import pytest

from edge_node.errors import NetworkError, TangentMeshError
from edge_node.network.base import sum_and_decide
from edge_node.network.tree.tree import TreeNetwork
from edge_node.step import Content, Step
from tangentmesh.v1 import exchange_pb2
from tests.attacks.tampering import mislead, outcomes
from tests.support.mesh import DEADLINE, Mesh

pytestmark = pytest.mark.timeout(60)

TREE = {"a": "m", "m": "", "z": "m"}  # the liar's name comes first
LIE, TRUTH = b"mallory's choice", b"the root's choice"
Program = Callable[[TreeNetwork], Awaitable[object]]


async def run(mesh: Mesh, honest: Program, liar: Program) -> dict[str, object]:
    """What becomes of the nodes of a tree whose leaf a lies."""
    await mesh.start(TREE)
    mesh.offer(mesh.plan(1, TREE))
    runs = ((liar if name == "a" else honest)(peer.network()) for name, peer in mesh.peers.items())
    async with asyncio.timeout(DEADLINE):
        found = await asyncio.gather(*runs, return_exceptions=True)
    return dict(zip(mesh.peers, found, strict=True))


async def gathered_choice(network: TreeNetwork) -> bytes:
    """As it was: the root gives its choice to a gather, all others nothing."""
    own = TRUTH if network.node == network.root else b""
    told = await network.gather(Step("choice", Content.PUBLIC), own)
    return next(choice for choice in told.values() if choice)


async def gathered_lie(network: TreeNetwork) -> bytes:
    """A member that gives something, too."""
    told = await network.gather(Step("choice", Content.PUBLIC), LIE)
    return next(choice for choice in told.values() if choice)


async def test_where_choices_are_gathered_any_member_chooses(mesh: Mesh) -> None:
    """The control: all nodes take the choice of the member whose name comes first."""
    assert await run(mesh, gathered_choice, gathered_lie) == dict.fromkeys("amz", LIE)


async def riding_choice(network: TreeNetwork) -> bytes:
    """As it is."""
    return (await sum_and_decide(network, Step("choice"), np.ones(3), lambda _: TRUTH))[1]


async def riding_lie(network: TreeNetwork) -> bytes:
    """A member whose program would choose something else."""
    return (await sum_and_decide(network, Step("choice"), np.ones(3), lambda _: LIE))[1]


async def test_what_a_member_would_choose_has_no_effect(mesh: Mesh) -> None:
    """It isn't asked."""
    assert await run(mesh, riding_choice, riding_lie) == dict.fromkeys("amz", TRUTH)


async def test_a_member_that_gathers_in_place_of_the_sum_ends_its_own_run(mesh: Mesh) -> None:
    """The programs differ: its bytes reach nobody, and the others wait for its part."""
    await mesh.start(TREE)
    mesh.offer(mesh.plan(1, TREE))
    honest = [asyncio.ensure_future(riding_choice(mesh.peers[n].network())) for n in "mz"]
    with pytest.raises(NetworkError, match="the programs differ"):
        async with asyncio.timeout(DEADLINE):
            await gathered_lie(mesh.peers["a"].network())
    assert not any(task.done() for task in honest)
    for task in honest:
        task.cancel()
    await asyncio.gather(*honest, return_exceptions=True)


STEERING = "\x1b[2J\x1b[31mYOUR CERTIFICATE EXPIRED\nrun this\x07 \u202e\x9b"


ESCAPED = r"\x1b[2J\x1b[31mYOUR CERTIFICATE EXPIRED\nrun this\x07 \u202e\x9b"


async def test_a_text_from_another_node_cannot_steer_a_terminal(mesh: Mesh) -> None:
    """Each field of the error that a liar puts into the record is printed escaped."""
    facts = dict.fromkeys(("problem", "where", "expected", "found", "remedy"), STEERING)

    def change(record: exchange_pb2.Record) -> None:
        told = {"error": "DataError", "facts": facts}
        record.decision = msgspec.msgpack.encode(told)

    await mesh.start(TREE)
    mesh.offer(mesh.plan(1, TREE))
    mislead(mesh.peers["m"], "z", "choice", change)
    error = (await outcomes(mesh, riding_choice))["z"]
    assert isinstance(error, TangentMeshError)
    assert str(error).isprintable()
    assert str(error).count(ESCAPED) == 5
    assert not STEERING.isprintable()  # the control: as it came it could have

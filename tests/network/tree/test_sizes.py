"""What nodes claim of their rows is what a program may go by, again and again."""

import asyncio
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace

import msgspec
import numpy as np
import pytest

from edge_node.errors import IdentityError, NetworkError
from edge_node.network.epoch.claims import claim_of
from edge_node.network.tree.tree import TreeNetwork
from edge_node.network.wire.combine import gathered, parse_gathered
from edge_node.security.disclosure.cohort import VERSION_BYTES, Claim
from edge_node.security.pki.statement import Purpose, SignedBody
from edge_node.step import Content, Step
from tests.support.mesh import DEADLINE, Mesh, Peer, Sized

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


async def lose_records(peer: Peer) -> None:
    """Its state was deleted while it was stopped."""
    await peer.stop()
    shutil.rmtree(peer.directory)
    await peer.start()


@pytest.mark.parametrize("parents", [PAIR, {"a": "b", "b": ""}])
async def test_who_lost_its_records_plans_as_the_others_do(
    mesh: Mesh, parents: Mapping[str, str]
) -> None:
    """It is given the claims of the epoch in which was counted: here of a node that is gone."""
    mesh.offer(mesh.plan(1, STAR))
    before, _ = (await mesh.run(counted))["a"]
    await lose_records(mesh.peers["b"])
    mesh.offer(mesh.plan(2, parents))
    planned: list[Mapping[str, int]] = []

    async def program(network: TreeNetwork) -> Mapping[str, int]:
        planned.append((await counted(network))[0])
        await network.sum(Step("counts", Content.COUNTS).again, np.ones(1))
        return network.sizes

    found = await mesh.run(program, "ab")
    assert planned == [before] * 2
    assert found == {node: {"a": 8, "b": 16} for node in "ab"}


def forge(network: TreeNetwork, change: Callable[[TreeNetwork], bytes]) -> None:
    """Keep other claims of the first epoch, for those who ask."""
    record = network.records.claims_record(1)
    record.payload = change(network)
    network.records.commit(record.SerializeToString(deterministic=True))


def unchanged(network: TreeNetwork) -> bytes:
    """What was claimed in the first epoch."""
    return network.records.claims(1)


def larger(network: TreeNetwork) -> bytes:
    """2^7 rows and not 2^5: somebody has written it into what c has signed."""
    parts = parse_gathered(unchanged(network))
    size, told = 5, msgspec.msgpack.encode(500)
    c = SignedBody.decode(parts["c"], Purpose.CLAIM, node="c")
    assert c.body.endswith(bytes([size]) + told)
    body = c.body[: -len(told) - 1] + bytes([size + 2]) + told
    return gathered({**parts, "c": msgspec.structs.replace(c, body=body).encode()})


def fewer(network: TreeNetwork) -> bytes:
    """Without what c has claimed."""
    parts = parse_gathered(unchanged(network))
    return gathered({node: parts[node] for node in "ab"})


def swapped(network: TreeNetwork) -> bytes:
    """What c has signed is said to be b's."""
    parts = parse_gathered(unchanged(network))
    return gathered({**parts, "b": parts["c"]})


def of_another_epoch(network: TreeNetwork) -> bytes:
    """What a signs in a later epoch takes the place of what it has signed."""
    plan = network.feed.current
    assert plan is not None
    later = replace(plan, epoch=7)
    parts = claim_of(Claim(bytes(VERSION_BYTES), size=30), 1, network.identity(), later)
    return gathered({**parse_gathered(unchanged(network)), **parse_gathered(parts)})


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (unchanged, ""),
        (larger, "not by this certificate's key"),
        (fewer, "not those of the cohort"),
        (swapped, "certificate"),
        (of_another_epoch, "not by this certificate's key"),
    ],
)
async def test_claims_that_are_passed_on_cannot_be_forged(
    mesh: Mesh, change: Callable[[TreeNetwork], bytes], complaint: str
) -> None:
    """Who lost its records believes what the nodes have signed for that epoch, and nothing else."""
    mesh.offer(mesh.plan(1, STAR))
    await mesh.run(counted)
    forge(mesh.peers["a"].network(), change)
    await lose_records(mesh.peers["b"])
    mesh.offer(mesh.plan(2, PAIR))
    a, b = (mesh.peers[name].network() for name in "ab")
    waiting = asyncio.ensure_future(counted(a))
    async with asyncio.timeout(DEADLINE):
        if change is unchanged:
            assert (await counted(b))[0] == {"a": 8, "b": 16, "c": 32}
        else:
            with pytest.raises((IdentityError, NetworkError), match=complaint):
                await counted(b)
            assert not b.records.frontier
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)

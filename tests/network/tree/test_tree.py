"""Sums and gathers along trees over real mutual TLS: exact, final, masked, and only for members."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping

import numpy as np
import pytest

from edge_node.errors import NumericalError
from edge_node.network.base import Network, decide
from edge_node.network.memory import MemoryFederation
from edge_node.network.wire.combine import RingSum
from edge_node.network.wire.operation import Kind, Operation
from edge_node.network.wire.segments import Segments
from edge_node.security.pki.authority import Authority
from edge_node.step import Content, Step
from tests.support.identities import issue
from tests.support.mesh import DEADLINE, SPEC_HASH, LosesTheAnswer, Mesh, until
from tests.support.words import payload_of, word_bytes

pytestmark = pytest.mark.timeout(60)

STAR = {"a": "", "b": "a", "c": "a", "d": "a", "e": "a"}
CHAIN = {"a": "b", "b": "c", "c": "d", "d": "e", "e": ""}
BRANCHED = {"a": "c", "b": "c", "c": "", "d": "c", "e": "d"}
TRIANGLE = {"a": "", "b": "a", "c": "b"}


def vector_of(node: str, step: str = "s") -> np.ndarray:
    """Numbers of many magnitudes, different at each node and step."""
    random = np.random.default_rng([ord(node), len(step), *step.encode()])
    return random.normal(size=200) * 2.0 ** random.integers(-40, 40, size=200)


async def sum_of(nodes: tuple[str, ...], step: str = "s") -> bytes:
    """The bytes that one process finds without a tree."""
    totals = await MemoryFederation(nodes).run(lambda n: n.sum(Step(step), vector_of(n.node, step)))
    return totals[nodes[0]].tobytes()


async def own_sum(network: Network) -> bytes:
    """A program of one step."""
    return (await network.sum(Step("s"), vector_of(network.node))).tobytes()


async def two_sums(network: Network) -> tuple[bytes, bytes]:
    """A program of two steps."""
    first = await network.sum(Step("first"), vector_of(network.node, "first"))
    second = await network.sum(Step("second"), vector_of(network.node, "second"))
    return first.tobytes(), second.tobytes()


@pytest.mark.parametrize(
    "parents",
    [{"a": ""}, {"a": "", "b": "a"}, {"a": "b", "b": ""}, STAR, CHAIN, BRANCHED],
    ids=["alone", "pair", "pair-reversed", "star", "chain", "branched"],
)
async def test_a_sum_is_the_same_bytes_whatever_the_tree(
    mesh: Mesh, parents: Mapping[str, str]
) -> None:
    """At every node, along every tree, and in one process."""
    await mesh.start(parents)
    mesh.offer(mesh.plan(1, parents))
    assert set((await mesh.run(own_sum)).values()) == {await sum_of(tuple(parents))}


async def test_gather_and_decide_agree_at_every_node(mesh: Mesh) -> None:
    """All bytes arrive everywhere; a choice is taken at the root and nowhere else."""
    asked = []

    async def program(network: Network) -> tuple[Mapping[str, bytes], bytes]:
        def choose() -> bytes:
            asked.append(network.node)
            return b"by " + network.node.encode()

        gathered = await network.gather(Step("g", Content.PUBLIC), network.node.encode())
        return gathered, await decide(network, "d", choose)

    await mesh.start(BRANCHED)
    mesh.offer(mesh.plan(1, BRANCHED))
    for everybody, choice in (await mesh.run(program)).values():
        assert everybody == {name: name.encode() for name in BRANCHED}
        assert choice == b"by c"
    assert asked == ["c"]


@pytest.mark.parametrize("value", [np.nan, np.inf, 2.0**60])
async def test_what_cannot_be_summed_is_refused_before_anything_is_sent(
    mesh: Mesh, value: float
) -> None:
    """Not one byte, and nothing is kept for a restart."""
    await mesh.start(TRIANGLE)
    mesh.offer(mesh.plan(1, TRIANGLE))
    peer = mesh.peers["b"]
    with pytest.raises(NumericalError, match="position 1 of 2"):
        await peer.network().sum(Step("s"), np.array([1.0, value]))
    assert peer.traffic.edges == {}
    assert peer.store.run(1).contribution(0) is None


async def test_survivors_go_on_without_a_node_lost_in_mid_sweep(mesh: Mesh) -> None:
    """What was complete keeps the lost node; the step it died in is repeated without it."""
    await mesh.start(BRANCHED)
    mesh.offer(mesh.plan(1, BRANCHED))
    networks = {name: peer.network() for name, peer in mesh.peers.items()}
    rest = ("a", "b", "c", "d")
    survivors = {n: asyncio.ensure_future(two_sums(networks[n])) for n in rest}
    await networks["e"].sum(Step("first"), vector_of("e", "first"))
    await until(lambda: networks["c"].progress.waiting_for == ("d",))
    await until(lambda: networks["d"].progress.waiting_for == ("e",))
    await mesh.peers["e"].stop()
    mesh.offer(mesh.plan(2, {"a": "", "b": "a", "c": "a", "d": "b"}))
    results = set(await asyncio.gather(*survivors.values()))
    assert results == {(await sum_of(tuple(BRANCHED), "first"), await sum_of(rest, "second"))}
    for name in rest:
        assert networks[name].steps[Step("first")] == tuple(BRANCHED)
        assert networks[name].steps[Step("second")] == rest


@pytest.mark.parametrize(
    "repaired",
    [{"a": "", "b": "a", "c": "a"}, {"b": "", "a": "b", "c": "b"}, {"c": "", "b": "c", "a": "b"}],
    ids=["same-root", "late-root", "other-root"],
)
async def test_a_total_is_final(mesh: Mesh, repaired: Mapping[str, str]) -> None:
    """A survivor that missed it is given the first total, lost node included; not another one."""
    parents = {"a": "", "b": "a", "c": "a", "d": "a"}
    await mesh.start(parents, link_types={"b": LosesTheAnswer})
    mesh.offer(mesh.plan(1, parents))
    networks = {name: mesh.peers[name].network() for name in parents}
    tasks = {name: asyncio.ensure_future(own_sum(networks[name])) for name in parents}
    await asyncio.gather(tasks["a"], tasks["c"], tasks["d"])
    await until(lambda: mesh.peers["b"].link.lost)
    assert not tasks["b"].done()
    await mesh.peers["d"].stop()
    mesh.offer(mesh.plan(2, repaired))

    async def next_step(name: str) -> bytes:
        await tasks[name]
        return (await networks[name].sum(Step("t"), vector_of(name, "t"))).tobytes()

    after = await asyncio.gather(*(next_step(name) for name in repaired))
    assert tasks["b"].result() == tasks["a"].result() == await sum_of(tuple(parents))
    assert networks["b"].steps[Step("s")] == tuple(parents)
    assert set(after) == {await sum_of(("a", "b", "c"), "t")}


async def test_a_restarted_node_resumes_within_the_epoch(mesh: Mesh) -> None:
    """Completed steps come from its disk, its masks stay, and its contribution is the first one.

    The second life offers another vector: were it masked and sent, the two messages' difference
    would be that of the vectors.
    """
    await mesh.start(TRIANGLE)
    mesh.offer(mesh.plan(1, TRIANGLE))
    networks = {name: peer.network() for name, peer in mesh.peers.items()}
    waiting = [asyncio.ensure_future(two_sums(networks[name])) for name in "bc"]
    first = await networks["a"].sum(Step("first"), vector_of("a", "first"))
    victim = mesh.peers["b"]
    await until(lambda: victim.store.run(1).contribution(1))
    await until(lambda: networks["b"].progress.waiting_for == ("a",))
    key = victim.store.run(1).masking_key(1)
    waiting[0].cancel()
    await asyncio.gather(waiting[0], return_exceptions=True)
    await victim.stop()
    await victim.start()
    assert victim.feed.epoch == 1  # the plan was kept, too

    async def second_life(network: Network) -> tuple[bytes, bytes]:
        again = await network.sum(Step("first"), np.zeros(200))
        return again.tobytes(), (await network.sum(Step("second"), np.ones(200))).tobytes()

    async with asyncio.timeout(DEADLINE):
        last, resumed, other = await asyncio.gather(
            networks["a"].sum(Step("second"), vector_of("a", "second")),
            second_life(victim.network()),
            waiting[1],
        )
    assert resumed == other == (first.tobytes(), last.tobytes())
    assert last.tobytes() == await sum_of(("a", "b", "c"), "second")
    assert victim.store.run(1).masking_key(1) == key


@pytest.fixture
async def pair(mesh: Mesh) -> AsyncIterator[Callable[[], "asyncio.Task[bytes]"]]:
    """Starts b's call of its parent a, without end."""
    await mesh.start({"a", "b"})
    mesh.offer(mesh.plan(1, {"a": "", "b": "a"}))
    tasks: list[asyncio.Task[bytes]] = []

    def call() -> "asyncio.Task[bytes]":
        peer = mesh.peers["b"]
        operation = Operation.of_epoch(1, 1, Kind.KIND_CLAIMS)
        plan = peer.feed.current
        assert plan is not None
        work = peer.link.exchange(plan, operation, b"secret", 1000, node="b")
        tasks.append(asyncio.ensure_future(work))
        return tasks[-1]

    yield call
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_caller_with_another_certificate_is_refused(
    mesh: Mesh, pair: Callable[[], "asyncio.Task[bytes]"]
) -> None:
    """The authority has signed it and the name is right, but the plan names another one."""
    mesh.peers["b"].identity = mesh.identity("b")
    call = pair()
    await until(lambda: mesh.peers["b"].link.trouble)
    assert "b called with the certificate" in mesh.peers["b"].link.trouble
    assert mesh.peers["b"].link.unreachable == frozenset()  # it was reached, and it said no
    assert not call.done()


async def test_a_caller_of_a_foreign_authority_is_not_answered(
    mesh: Mesh, pair: Callable[[], "asyncio.Task[bytes]"], foreign_authority: Authority
) -> None:
    """The connection fails: no byte of a message reaches the service."""
    mesh.peers["b"].identity = issue(foreign_authority, "b")
    pair()
    await until(lambda: mesh.peers["b"].link.trouble)
    assert "UNAVAILABLE" in mesh.peers["b"].link.trouble
    assert mesh.peers["a"].traffic.edges == {}


async def test_a_parent_with_another_certificate_is_given_nothing(
    mesh: Mesh, pair: Callable[[], "asyncio.Task[bytes]"]
) -> None:
    """The child has pinned the certificate in its plan."""
    parent = mesh.peers["a"]
    await parent.stop()
    parent.identity = mesh.identity("a")
    await parent.start()
    pair()
    await until(lambda: mesh.peers["b"].link.trouble)
    assert mesh.peers["b"].link.unreachable == {"a"}
    assert parent.traffic.edges == {}


async def test_a_member_that_is_no_child_is_refused(mesh: Mesh) -> None:
    """It holds a plan of the same epoch in which it is one."""
    await mesh.start(TRIANGLE)
    mesh.offer(mesh.plan(1, TRIANGLE))
    stranger = mesh.peers["c"]
    other = mesh.plan(1, {"a": "", "b": "a", "c": "a"})
    operation = Operation.of_epoch(1, 1, Kind.KIND_CLAIMS)
    call = asyncio.ensure_future(stranger.link.exchange(other, operation, b"x", 1000, node="c"))
    await until(lambda: stranger.link.trouble)
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)
    assert "c is no child of a in epoch 1" in stranger.link.trouble


@pytest.mark.parametrize("parents", [TRIANGLE, {"a": "", "b": "a", "c": "a"}])
async def test_no_nodes_numbers_are_on_the_wire(
    mesh: Mesh, wire: list[bytes], parents: Mapping[str, str]
) -> None:
    """Neither as floats nor as words, in no message; their total is there, as it must be."""
    canaries = {"a": np.pi * 1e3, "b": -np.e * 1e5, "c": np.sqrt(2) * 1e-3}

    async def program(network: Network) -> float:
        return float((await network.sum(Step("s"), np.full(7, canaries[network.node])))[3])

    await mesh.start(parents)
    mesh.offer(mesh.plan(1, parents))
    (total,) = set((await mesh.run(program)).values())
    assert total == pytest.approx(sum(canaries.values()), rel=1e-12)
    everything = b"\n".join(wire)
    parts = [payload_of(np.full(7, value), "s") for value in canaries.values()]
    assert RingSum(Segments.of(7)).combine(parts) in everything
    assert SPEC_HASH not in everything
    for value in canaries.values():
        for form in forms(value):
            assert form not in everything


def forms(value: float) -> list[bytes]:
    """What a number would look like if it were sent: float in either byte order, or its word."""
    numbers = [np.array([sign * value]) for sign in (1, -1)]
    words = [word_bytes(float(number[0])) for number in numbers]
    floats = [number.astype(kind).tobytes() for number in numbers for kind in ("<f8", ">f8")]
    return [*words, *floats]

"""Neighbours that hold plans of different epochs, and members that are done before the others."""

import asyncio
from collections.abc import Mapping

import numpy as np
import pytest

from edge_node.federation.plan import Plan
from edge_node.network.base import Network
from edge_node.network.tree.tree import RunSuperseded, TreeNetwork
from edge_node.network.wire.operation import Kind, Operation
from edge_node.step import Step
from tests.support.mesh import DEADLINE, LosesTheAnswer, Mesh, Peer, copy_of, until

pytestmark = pytest.mark.timeout(60)

PAIR = {"a": "", "b": "a"}
STAR = {"a": "", "b": "a", "c": "a"}


def give(peer: Peer, plan: Plan) -> None:
    """One peer hears of the plan, the others don't."""
    peer.feed.offer(copy_of(plan, peer.identity.node))


async def add_up(network: Network) -> float:
    """A program of one step; every node gives 1."""
    return float((await network.sum(Step("s"), np.ones(3)))[0])


async def test_a_message_of_a_past_epoch_is_refused(mesh: Mesh) -> None:
    """Its payload is not even asked for, and the child asks the aggregator for the newest plan."""
    await mesh.start(PAIR)
    a, b = mesh.peers["a"], mesh.peers["b"]
    old, new = mesh.plan(1, PAIR), mesh.plan(2, PAIR)
    give(a, new)
    give(b, old)
    operation = Operation.of_epoch(1, 1, Kind.KIND_CLAIMS)
    call = asyncio.ensure_future(b.link.exchange(old, operation, b"x" * 5000, 9000, node="b"))
    await until(lambda: b.link.trouble)
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)
    assert b.link.trouble == ("a: FAILED_PRECONDITION: the message is of epoch 1; a is in epoch 2")
    assert b.link.unreachable == frozenset()  # it was reached
    assert b.feed.behind.is_set()
    assert a.traffic.edges["b"].received < 1000


async def test_a_child_that_is_behind_catches_up(mesh: Mesh) -> None:
    """It tries with its old plan until it has the new one; the total is the new epoch's."""
    await mesh.start(PAIR)
    a, b = mesh.peers["a"], mesh.peers["b"]
    give(b, mesh.plan(1, PAIR))
    give(a, mesh.plan(2, PAIR))
    running = asyncio.ensure_future(mesh.run(add_up))
    await until(lambda: "epoch 2" in b.link.trouble)
    assert not running.done()
    give(b, mesh.plan(2, PAIR))
    assert await running == {"a": 2.0, "b": 2.0}


async def test_a_message_of_a_coming_epoch_waits_for_the_plan(mesh: Mesh) -> None:
    """The parent asks the aggregator at once, and answers the same call when it has the plan."""
    await mesh.start(PAIR)
    a, b = mesh.peers["a"], mesh.peers["b"]
    give(a, mesh.plan(1, PAIR))
    give(b, mesh.plan(2, PAIR))
    running = asyncio.ensure_future(mesh.run(add_up))
    await until(a.feed.behind.is_set)
    assert not running.done()
    give(a, mesh.plan(2, PAIR))
    assert await running == {"a": 2.0, "b": 2.0}


async def test_a_parent_that_stays_behind_says_so(mesh: Mesh) -> None:
    """The child doesn't take it for dead, and tries again."""
    await mesh.start(PAIR)
    a, b = mesh.peers["a"], mesh.peers["b"]
    a.service.patience = 0.01
    give(a, mesh.plan(1, PAIR))
    give(b, mesh.plan(2, PAIR))
    running = asyncio.ensure_future(mesh.run(add_up))
    await until(lambda: b.link.trouble)
    assert b.link.trouble == "a: UNAVAILABLE: a has not received the plan of epoch 2 yet"
    assert b.link.unreachable == frozenset()
    a.service.patience = DEADLINE
    give(a, mesh.plan(2, PAIR))
    assert await running == {"a": 2.0, "b": 2.0}


async def test_an_epoch_that_ends_during_a_call(mesh: Mesh) -> None:
    """The call is answered with the new epoch, so that the child needn't wait for a heartbeat."""
    await mesh.start(STAR)
    mesh.offer(mesh.plan(1, STAR))
    a, b = mesh.peers["a"], mesh.peers["b"]
    tasks = [asyncio.ensure_future(add_up(mesh.peers[name].network())) for name in "ab"]
    await until(lambda: "b" in a.traffic.edges and a.traffic.edges["b"].received > 0)
    give(a, mesh.plan(2, PAIR))  # c never came
    await until(b.feed.behind.is_set)
    give(b, mesh.plan(2, PAIR))
    async with asyncio.timeout(DEADLINE):
        assert await asyncio.gather(*tasks) == [2.0, 2.0]


async def test_different_plans_of_one_epoch(mesh: Mesh) -> None:
    """Two registries have planned: nothing is exchanged, and the reason is named."""
    await mesh.start(STAR)
    give(mesh.peers["a"], mesh.plan(1, STAR))
    give(mesh.peers["b"], mesh.plan(1, PAIR))
    task = asyncio.ensure_future(add_up(mesh.peers["b"].network()))
    await until(lambda: mesh.peers["b"].link.trouble)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert mesh.peers["b"].link.trouble.endswith("b and a hold different plans of epoch 1")


async def test_a_new_run_ends_the_program(mesh: Mesh) -> None:
    """A step that waits is given up: the plan that comes is of another run."""
    await mesh.start(PAIR)
    mesh.offer(mesh.plan(1, PAIR))
    task = asyncio.ensure_future(add_up(mesh.peers["a"].network()))
    await until(lambda: mesh.peers["a"].board.find(Operation.of_epoch(1, 1, Kind.KIND_CLAIMS)))
    mesh.offer(mesh.plan(2, PAIR, run=2))
    with pytest.raises(RunSuperseded):
        async with asyncio.timeout(DEADLINE):
            await task


async def all_but_one(
    mesh: Mesh, parents: Mapping[str, str]
) -> tuple[dict[str, TreeNetwork], "asyncio.Task[float]"]:
    """The last step is complete everywhere but at c, which has lost the answer."""
    await mesh.start(parents, link_types={"c": LosesTheAnswer})
    mesh.offer(mesh.plan(1, parents))
    networks = {name: mesh.peers[name].network() for name in parents}
    left = asyncio.ensure_future(add_up(networks["c"]))
    async with asyncio.timeout(DEADLINE):
        await asyncio.gather(*(add_up(networks[name]) for name in parents if name != "c"))
    await until(lambda: mesh.peers["c"].link.lost)
    return networks, left


@pytest.mark.parametrize(
    "repaired", [STAR, {"a": "b", "b": "", "c": "b"}, {"a": "c", "b": "c", "c": ""}]
)
async def test_who_is_complete_hands_the_last_total_over(
    mesh: Mesh, repaired: Mapping[str, str]
) -> None:
    """Wherever it stands in the new tree; by a new view of the run, as after a restart."""
    _, left = await all_but_one(mesh, STAR)
    plan = mesh.plan(2, repaired)
    mesh.offer(plan)
    async with asyncio.timeout(DEADLINE):
        await asyncio.gather(*(mesh.peers[name].network().hand_over(plan) for name in "ab"))
        assert await left == 3.0
    assert mesh.peers["c"].store.run(1).frontier == 1


async def test_handing_over_ends_with_the_epoch(mesh: Mesh) -> None:
    """A member that never comes keeps nobody from the next plan; then it is done without it."""
    networks, left = await all_but_one(mesh, STAR)
    left.cancel()
    await asyncio.gather(left, return_exceptions=True)
    mesh.offer(second := mesh.plan(2, STAR))
    handing = asyncio.ensure_future(networks["a"].hand_over(second))
    await until(lambda: networks["a"].progress.waiting_for)
    assert networks["a"].progress.waiting_for == ("b", "c")
    mesh.offer(third := mesh.plan(3, PAIR))
    async with asyncio.timeout(DEADLINE):
        await handing
        await asyncio.gather(*(networks[name].hand_over(third) for name in "ab"))
    assert networks["a"].progress.waiting_for == ()


async def test_handing_over_among_complete_members_changes_nothing(mesh: Mesh) -> None:
    """Nobody lacks anything: no catch-up, the same records."""
    await mesh.start(PAIR)
    mesh.offer(mesh.plan(1, PAIR))
    assert set((await mesh.run(add_up)).values()) == {2.0}
    kept = [list(mesh.peers[name].store.run(1).since(0)) for name in PAIR]
    mesh.offer(plan := mesh.plan(2, PAIR))
    async with asyncio.timeout(DEADLINE):
        await asyncio.gather(*(mesh.peers[name].network().hand_over(plan) for name in PAIR))
    assert [list(mesh.peers[name].store.run(1).since(0)) for name in PAIR] == kept

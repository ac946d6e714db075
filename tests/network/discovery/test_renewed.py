"""Edges of the tree while certificates change: none is refused on the way, the denied ones are."""

import asyncio

import numpy as np
import pytest

from edge_node.network.base import Network
from edge_node.network.exchange.exchange_client import Backoff
from edge_node.step import Step
from tests.support.identities import issue
from tests.support.mesh import Mesh, copy_of, until

pytestmark = pytest.mark.timeout(60)

STAR = {"a": "", "b": "a", "c": "a"}


@pytest.fixture
async def mesh(mesh: Mesh) -> Mesh:
    """Three peers that have summed once under the plan of epoch 1."""
    await mesh.start(STAR)
    mesh.offer(mesh.plan(1, STAR))
    await mesh.run(lambda network: network.sum(Step("first"), np.ones(3)))
    return mesh


async def again(network: Network) -> list[float]:
    """The same program, one step further."""
    await network.sum(Step("first"), np.ones(3))
    return list(await network.sum(Step("second"), np.full(3, 2.0)))


async def third(network: Network) -> list[float]:
    """And one more."""
    await again(network)
    return list(await network.sum(Step("third"), np.full(3, 2.0)))


class Renewed:
    """A peer with a new certificate, and the plan of epoch 2, whose only change that is."""

    def __init__(self, mesh: Mesh, name: str) -> None:
        self.peer = mesh.peers[name]
        self.mesh, old = mesh, self.peer.identity
        self.peer.identity = self.new = issue(mesh.authority, name)
        self.plan = mesh.plan(2, STAR)
        self.peer.identity = old

    def tell(self, *names: str) -> None:
        """Nodes hear of the plan; the one that has renewed uses the new certificate from now on."""
        for name in names:
            if self.mesh.peers[name] is self.peer:
                self.peer.identity = self.new
            self.mesh.peers[name].feed.offer(copy_of(self.plan, name))


async def test_a_parent_that_renewed_is_reached_before_it_knows_the_plan(mesh: Mesh) -> None:
    """Its children accept the certificate before, so it hears from them that there is a plan."""
    renewed, parent = Renewed(mesh, "a"), mesh.peers["a"]
    renewed.tell("b", "c")
    running = asyncio.ensure_future(mesh.run(again))
    await until(parent.feed.behind.is_set)
    assert not mesh.peers["b"].link.unreachable | mesh.peers["c"].link.unreachable
    renewed.tell("a")
    await running
    renewed.peer.identity = issue(mesh.authority, "a")  # one that no plan ever named
    await mesh.peers["b"].link.close()
    task = asyncio.ensure_future(mesh.run(third, ["b"]))
    await until(lambda: mesh.peers["b"].link.unreachable == {"a"})
    await until(lambda: mesh.peers["b"].link.explanation)
    assert "another certificate than the plan names" in mesh.peers["b"].link.explanation
    task.cancel()


async def test_a_child_that_renewed_is_accepted_before_its_parent_knows_the_plan(
    mesh: Mesh,
) -> None:
    """The parent hears from its call that there is a newer plan."""
    renewed = Renewed(mesh, "b")
    renewed.tell("b")
    running = asyncio.ensure_future(mesh.run(again))
    await until(mesh.peers["a"].feed.behind.is_set)
    assert not mesh.peers["b"].link.unreachable
    renewed.tell("a", "c")
    await running


async def test_a_child_that_renewed_hears_from_its_parent_that_there_is_a_plan(mesh: Mesh) -> None:
    """It calls with the old certificate under the old plan, and asks for the new one."""
    renewed = Renewed(mesh, "b")
    renewed.tell("a", "c")
    running = asyncio.ensure_future(mesh.run(again))
    await until(mesh.peers["b"].feed.behind.is_set)
    renewed.tell("b")
    await running


async def calling(mesh: Mesh) -> "asyncio.Task[dict[str, list[float]]]":
    """The next step at b alone, whose call of a is open and stays so: a has not begun."""
    heard = mesh.peers["a"].traffic.edges["b"].received
    task = asyncio.ensure_future(mesh.run(again, ["b"]))
    await until(lambda: mesh.peers["a"].traffic.edges["b"].received > heard)
    return task


async def test_a_denied_child_is_cut_off_in_the_middle_of_a_call(mesh: Mesh) -> None:
    """Its open call ends at once; so does each later one, and it is told why."""
    a, b = mesh.peers["a"], mesh.peers["b"]
    task = await calling(mesh)
    a.service.denylist.replace([b.identity.fingerprint])
    await until(lambda: "PERMISSION_DENIED" in b.link.trouble)
    assert "the certificate was denied by the federation's operator" in b.link.trouble
    assert not task.done()
    a.service.denylist.replace([])
    assert await mesh.run(again, ["a", "c"])
    assert await task


class Attempts:
    """Counts a link's attempts: after each there is a pause, which takes no time."""

    def __init__(self) -> None:
        self.made = 0

    async def sleep(self, _seconds: float) -> None:
        """The pause."""
        self.made += 1
        await asyncio.sleep(0)


async def test_a_denied_parent_is_not_called(mesh: Mesh) -> None:
    """The open call ends at once, and no other one is made until a plan comes without it."""
    a, b = mesh.peers["a"], mesh.peers["b"]
    attempts = Attempts()
    b.link.backoff = Backoff(sleep=attempts.sleep)
    task = await calling(mesh)
    b.link.denylist.replace([a.identity.fingerprint])
    await until(lambda: "denied" in b.link.trouble)
    await until(lambda: a.service.broken == {"b"})
    sent, made = b.traffic.edges["a"].sent, attempts.made
    await until(lambda: attempts.made > made + 5)
    assert b.traffic.edges["a"].sent == sent
    b.link.denylist.replace([])
    await until(lambda: b.traffic.edges["a"].sent > sent)
    assert await mesh.run(again, ["a", "c"])
    assert await task

"""A sum with noise across crashes: one draw an epoch, each paid for, and none sent twice."""

import asyncio
import threading
from collections.abc import AsyncIterator

import numpy as np
import pytest

from edge_node.config import Level, PrivacyPolicy
from edge_node.errors import RefusedError
from edge_node.network.base import Network
from edge_node.network.tree.tree import TreeNetwork
from edge_node.security.privacy.discrete_gaussian import DiscreteGaussian
from edge_node.security.privacy.privacy_ledger import Entry, PrivacyLedger, read_ledger
from edge_node.step import Step
from tests.support.mesh import DEADLINE, Mesh, Peer, copy_of, until

pytestmark = pytest.mark.timeout(60)

STAR = {"a": "", "b": "a", "c": "a"}
NOISE = DiscreteGaussian(Level.RECORD, multiplier=5.0, bound=1.0, size=100)


@pytest.fixture
async def mesh(mesh: Mesh) -> Mesh:
    """Three peers, which have not heard of a plan."""
    return await mesh.start(STAR)


async def add_up(network: Network) -> bytes:
    """One step; every node gives ones."""
    return (await network.sum(Step("s"), np.ones(100), noise=NOISE)).tobytes()


class Hesitant(PrivacyLedger):
    """Writes nothing down, and so contributes nothing, until it is told to."""

    told: threading.Event

    def charge(self, *args: object, **kwargs: object) -> Entry:
        """As any ledger's, later."""
        self.told.wait(DEADLINE)
        return super().charge(*args, **kwargs)


@pytest.fixture
async def hesitant(mesh: Mesh) -> AsyncIterator[TreeNetwork]:
    """View of the run at c: it agrees on masks, and keeps the others waiting for its words."""
    network, directory = mesh.peers["c"].network(), mesh.peers["c"].directory
    files = directory / "privacy.ledger", directory / "privacy.head"
    ledger = network.ledger = Hesitant(*files, level=Level.RECORD, delta=1e-6)
    ledger.told = threading.Event()
    yield network
    ledger.told.set()


def ledger_of(peer: Peer) -> tuple[Entry, ...]:
    """What the peer has spent."""
    return read_ledger(peer.directory / "privacy.ledger", peer.directory / "privacy.head")


def noisy_files(peer: Peer) -> dict[str, bytes]:
    """The contributions that are fixed on disk."""
    return {path.name: path.read_bytes() for path in peer.directory.glob("run-1/*.noisy")}


async def test_a_restart_sends_the_same_again(mesh: Mesh, hesitant: TreeNetwork) -> None:
    """Noise is drawn once an epoch: of two draws, the mean has less of it. And it is paid once."""
    mesh.offer(mesh.plan(1, STAR))
    a, b = mesh.peers["a"], mesh.peers["b"]
    others = [asyncio.ensure_future(add_up(each)) for each in (a.network(), hesitant)]
    first = asyncio.ensure_future(add_up(b.network()))
    await until(lambda: noisy_files(a) and noisy_files(b))
    kept = noisy_files(b)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    await b.stop()
    await b.start()
    b.feed.offer(copy_of(mesh.plan(1, STAR), "b"))
    restarted = b.network()
    again = asyncio.ensure_future(add_up(restarted))
    await until(lambda: restarted.progress.step == "s")  # its words are on the way
    assert noisy_files(b) == kept
    hesitant.ledger.told.set()
    async with asyncio.timeout(DEADLINE):
        totals = set(await asyncio.gather(again, *others))
    assert len(totals) == 1
    assert [len(ledger_of(mesh.peers[name])) for name in "abc"] == [1, 1, 1]
    assert [len(content) for content in noisy_files(b).values()] == [32]  # only the digest is left


async def test_a_lost_node_costs_another_release(mesh: Mesh, hesitant: TreeNetwork) -> None:
    """The next epoch's total has noise of its own, for its own cohort, in every ledger."""
    mesh.offer(mesh.plan(1, STAR))
    a, b = mesh.peers["a"], mesh.peers["b"]
    lost = asyncio.ensure_future(add_up(hesitant))
    tasks = [asyncio.ensure_future(add_up(mesh.peers[name].network())) for name in "ab"]
    await until(lambda: noisy_files(a) and noisy_files(b))
    before = noisy_files(b)
    pair = mesh.plan(2, {"a": "", "b": "a"})
    for peer in (a, b):
        peer.feed.offer(copy_of(pair, peer.identity.node))
    async with asyncio.timeout(DEADLINE):
        totals = await asyncio.gather(*tasks)
    assert totals[0] == totals[1]
    assert list(before) != list(noisy_files(b))  # another epoch's
    assert [len(content) for content in noisy_files(b).values()] == [32]
    for peer in (a, b):
        entries = ledger_of(peer)
        assert [(entry.epoch, entry.cohort) for entry in entries] == [(1, 3), (2, 2)]
        assert entries[1].epsilon > entries[0].epsilon
    lost.cancel()
    await asyncio.gather(lost, return_exceptions=True)


async def test_a_site_without_budget_sends_nothing(mesh: Mesh) -> None:
    """It refuses before it contributes; nothing of it is on disk to be sent later."""
    b = mesh.peers["b"]
    mesh.offer(mesh.plan(1, STAR))
    network = b.network()
    network.ledger = PrivacyLedger(
        b.directory / "privacy.ledger",
        b.directory / "privacy.head",
        level=Level.RECORD,
        delta=1e-6,
        demand=PrivacyPolicy(level=Level.RECORD, epsilon=0.1, delta=1e-6),
    )
    others = [asyncio.ensure_future(add_up(mesh.peers[name].network())) for name in "ac"]
    with pytest.raises(RefusedError, match="budget would be exceeded"):
        await add_up(network)
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    assert noisy_files(b) == {}
    assert ledger_of(b) == ()


async def test_without_a_ledger_there_is_no_noise(mesh: Mesh) -> None:
    """What isn't written down isn't spent."""
    mesh.offer(mesh.plan(1, {"a": ""}))
    network = mesh.peers["a"].network()
    network.ledger = None
    with pytest.raises(RefusedError, match="no ledger"):
        await add_up(network)

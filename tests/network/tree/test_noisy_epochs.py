"""A sum with noise across crashes: one draw an epoch, each paid for, and none sent twice."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from edge_node.config import Level, PrivacyPolicy
from edge_node.errors import CohortRefusedError, MachineError, RefusedError
from edge_node.federation.plan import Member, Plan
from edge_node.network.base import Network
from edge_node.network.exchange import records
from edge_node.network.exchange.records import RecordStore
from edge_node.network.tree.contribution import noisy_words
from edge_node.network.tree.tree import TreeNetwork
from edge_node.network.wire.fixed_point import to_bytes
from edge_node.network.wire.operation import Kind, Operation
from edge_node.network.wire.segments import Segments
from edge_node.security.privacy.discrete_gaussian import DiscreteGaussian
from edge_node.security.privacy.privacy_ledger import Entry, PrivacyLedger, read_ledger
from edge_node.step import Content, Step
from tests.support.mesh import DEADLINE, Mesh, Peer, copy_of, until

pytestmark = pytest.mark.timeout(60)

STAR = {"a": "", "b": "a", "c": "a"}
SUM = Step("s", Content.NOISY)
NOISE = DiscreteGaussian(Level.RECORD, multiplier=5.0, sensitivity=2.0**29, size=100)


@pytest.fixture
async def mesh(mesh: Mesh) -> Mesh:
    """Three peers, which have not heard of a plan."""
    return await mesh.start(STAR)


async def add_up(network: Network) -> bytes:
    """One step; every node gives ones."""
    return (await network.sum(SUM, np.ones(100), noise=NOISE)).tobytes()


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


@dataclass
class Site:
    """What `noisy_words` is given at one node, in one epoch; ``restart`` reads its disk again."""

    directory: Path
    plan: Plan

    def __post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Another process."""
        files = self.directory / "privacy.ledger", self.directory / "privacy.head"
        self.records = RecordStore(self.directory).run(1)
        self.ledger = PrivacyLedger(*files, level=Level.RECORD, delta=1e-6)

    def words(self) -> bytes:
        """What leaves this site, before it is masked."""
        operation = Operation(1, self.plan.epoch, Kind.KIND_SUM, 0, str(SUM))
        segments = Segments.of(NOISE.size)
        words = segments.encode(np.ones(NOISE.size))
        noisy = noisy_words(
            words, segments, NOISE, operation, self.plan, records=self.records, ledger=self.ledger
        )
        return to_bytes(noisy)

    @property
    def kept(self) -> Path:
        """Where the words are kept."""
        return self.directory / f"run-1/epoch-{self.plan.epoch}-step-00000000.noisy"

    @property
    def paid(self) -> int:
        """How many releases were paid for."""
        return len(read_ledger(self.directory / "privacy.ledger", self.directory / "privacy.head"))


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """One of three nodes."""
    members = tuple(Member(node, "", bytes(32), "") for node in "abc")
    return Site(tmp_path, Plan(1, 1, bytes(32), "a", members, ()))


def test_other_noise_never_goes_out_under_the_same_masks(site: Site) -> None:
    """A restart sends what is kept. Where that is lost, cut short, changed or forgotten, it sends
    nothing more in this epoch; the next epoch's masks are others, and so is its noise.
    """
    first = site.words()
    damages: list[Callable[[], object]] = [
        lambda: None,  # the control: what is kept is sent
        lambda: site.kept.unlink(),
        lambda: site.kept.write_bytes(b""),
        lambda: site.kept.write_bytes(site.kept.read_bytes()[:-1]),
        lambda: site.kept.write_bytes(site.kept.read_bytes()[:32]),
        lambda: site.kept.write_bytes(bytes(32) + site.kept.read_bytes()[32:]),
    ]
    kept = site.kept.read_bytes()
    for number, damage in enumerate(damages):
        site.kept.write_bytes(kept)
        damage()
        site.restart()
        if number == 0:
            assert site.words() == first
            continue
        with pytest.raises(CohortRefusedError, match=r"paid for.*lost or damaged.*next epoch"):
            site.words()
    assert site.paid == 1
    site.plan = replace(site.plan, epoch=2)
    assert site.words() != first
    assert site.paid == 2


def test_a_crash_between_keeping_and_paying_sends_nothing_unpaid(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Words are kept first. Those that were not paid for were not sent, and are paid for now."""
    with monkeypatch.context() as crash:
        crash.setattr(PrivacyLedger, "charge", full)
        with pytest.raises(MachineError):
            site.words()
    kept = site.records.noisy_contribution(1, 0)
    assert (site.paid, kept is None) == (0, False)
    site.restart()
    assert site.words() == kept
    assert site.paid == 1


def test_a_full_disk_sends_nothing_and_costs_nothing(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What could not be kept was never sent: so other noise may be drawn for it."""
    with monkeypatch.context() as crash:
        crash.setattr(records, "write_checked", full)
        with pytest.raises(MachineError):
            site.words()
    assert (site.paid, site.kept.exists()) == (0, False)
    site.restart()
    assert site.words() == site.records.noisy_contribution(1, 0)
    assert site.paid == 1


def full(*_: object, **__: object) -> None:
    """A disk on which there is no space."""
    raise MachineError("the file can't be written", found="No space left on device")


async def test_a_newer_plan_waits_until_a_draw_is_kept_and_paid_for(
    mesh: Mesh, hesitant: TreeNetwork
) -> None:
    """Work for an epoch that is over would go on in its thread, beside the next epoch's: both
    would write the ledger's next line.
    """
    mesh.offer(mesh.plan(1, STAR))
    others = [asyncio.ensure_future(add_up(mesh.peers[name].network())) for name in "ab"]
    mine = asyncio.ensure_future(add_up(hesitant))
    c = mesh.peers["c"]
    await until(lambda: noisy_files(c))
    mesh.offer(mesh.plan(2, STAR))
    await until(lambda: hesitant.feed.current.epoch == 2)
    for _ in range(20):
        await asyncio.sleep(0.005)
    assert (hesitant.epoch.number, ledger_of(c)) == (1, ())
    hesitant.ledger.told.set()
    async with asyncio.timeout(DEADLINE):
        await asyncio.gather(mine, *others)
    assert [entry.epoch for entry in ledger_of(c)] == [1, 2]


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
    hesitant.ledger.told.set()
    lost.cancel()
    await asyncio.gather(lost, return_exceptions=True)


async def test_a_site_without_budget_sends_nothing(mesh: Mesh) -> None:
    """It refuses before it contributes, and would refuse again after a restart."""
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
    assert ledger_of(b) == ()
    assert network.progress.step == ""  # no words are on the way


async def test_without_a_ledger_there_is_no_noise(mesh: Mesh) -> None:
    """What isn't written down isn't spent."""
    mesh.offer(mesh.plan(1, {"a": ""}))
    network = mesh.peers["a"].network()
    network.ledger = None
    with pytest.raises(RefusedError, match="no ledger"):
        await add_up(network)

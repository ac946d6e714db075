"""What nodes get from the discovery service, and what it does not take from them."""

import asyncio
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest

from aggregator.registry.registry import Registry
from edge_node.federation.plan import Plan
from edge_node.network.wire.plan import parse_plan
from edge_node.security.pki.authority import Authority
from edge_node.security.pki.certificates import der_of
from edge_node.security.pki.private_keys import generate_key
from edge_node.security.pki.signing_requests import signing_request
from edge_node.security.pki.tokens import Token
from tangentmesh.v1 import discovery_pb2, enrolment_pb2
from tests.aggregator.discovered import Aborted, Call, Discovered


@pytest.mark.parametrize("jump", [-1e6, 1e6])
async def test_the_calendar_kills_nobody(aggregator: Discovered, jump: float) -> None:
    """The machine's clock is set; nodes that were heard a moment ago are alive, and in the plan."""
    await aggregator.first_plan("a", "b", "c")
    aggregator.date += jump
    await aggregator.planning.update()
    assert aggregator.cohort == "abc"
    assert aggregator.registry.latest_plan().epoch == 1
    await aggregator.beat("a")
    await aggregator.members.write()
    assert aggregator.registry.heartbeats()["a"].last_seen == aggregator.date


async def test_the_calendar_keeps_nobody_alive(aggregator: Discovered) -> None:
    """A node that is silent for longer than `liveness` is gone, whatever the date."""
    await aggregator.first_plan("a", "b", "c", "d")
    aggregator.now += 16
    aggregator.date -= 3600
    for node in "abc":
        await aggregator.beat(node, epoch=1, run=1)
    await aggregator.planning.update()
    assert aggregator.cohort == "abc"


async def test_a_node_that_died_with_the_aggregator_is_not_planned(aggregator: Discovered) -> None:
    """After a restart the others wait for it, `liveness` at most, and then begin without it."""
    for node in "abcd":
        await aggregator.beat(node)
    await aggregator.members.write()
    aggregator.start()
    aggregator.now += 1
    for node in "abc":
        await aggregator.beat(node)
    await aggregator.planning.update()
    reply = await aggregator.beat("a")
    assert reply.waiting == "the aggregator has just started and waits to hear from d"
    aggregator.now += 13.9
    for node in "abc":
        await aggregator.beat(node)
    await aggregator.planning.update()
    assert aggregator.cohort == ""
    aggregator.now += 0.2
    await aggregator.planning.update()
    assert aggregator.cohort == "abc"


async def test_a_restart_loses_no_member(aggregator: Discovered) -> None:
    """Members that were never written down are waited for, too; heard again, they go on."""
    plan = await aggregator.first_plan("a", "b", "c")
    aggregator.start()  # nothing was flushed
    for node in "abc":
        aggregator.now += 4
        await aggregator.planning.update()
        await aggregator.beat(node, epoch=plan.epoch, run=plan.run)
    await aggregator.planning.update()
    assert aggregator.registry.latest_plan().epoch == plan.epoch


@contextmanager
def lock_held(path: Path) -> Iterator[None]:
    """Another program is writing to the registry, and doesn't end."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        connection.close()


@contextmanager
def disk_full(registry: Registry) -> Iterator[None]:
    """The database's file can't grow."""
    ((pages,),) = registry.database.read("PRAGMA page_count")
    registry.database.read(f"PRAGMA max_page_count = {pages}")
    yield
    registry.database.read("PRAGMA max_page_count = 1000000")


@pytest.fixture
def on_disk(authority: Authority, tmp_path: Path) -> Iterator[Discovered]:
    """The same with a registry in a file, which doesn't wait long for other programs."""
    with Registry.open(tmp_path / "registry.sqlite", patience=0.001) as opened:
        yield Discovered(authority, opened).enrol("a", "b", "c").start()


async def test_a_plan_that_cannot_be_written(on_disk: Discovered, tmp_path: Path) -> None:
    """Nobody hears of it, everybody hears why, and it is issued as soon as it is on disk."""
    for node in "abc":
        await on_disk.beat(node)
    on_disk.now += 3
    with lock_held(tmp_path / "registry.sqlite"):
        for _ in range(2):
            await on_disk.planning.update()
            reply = await on_disk.beat("a")
            assert not reply.HasField("plan")
            assert "the next plan can't be written" in reply.waiting
            assert "database is locked). End the program that keeps it locked" in reply.waiting
    assert on_disk.registry.latest_plan() is None
    await on_disk.planning.update()
    reply = await on_disk.beat("a")
    assert (reply.plan.epoch, reply.waiting) == (1, "")
    assert on_disk.registry.latest_plan().epoch == 1


async def test_heartbeats_that_cannot_be_written(
    on_disk: Discovered, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """They are kept, the newest of each node, and it is said once that they wait."""
    with lock_held(tmp_path / "registry.sqlite"):
        for step in ("first", "second"):
            await on_disk.beat("a", step=step)
            await on_disk.beat("b", step=step)
            await on_disk.members.write()
        await on_disk.beat("b", step="third")
    assert on_disk.registry.heartbeats() == {}
    await on_disk.members.write()
    steps = {node: beat.report.step for node, beat in on_disk.registry.heartbeats().items()}
    assert steps == {"a": "second", "b": "third"}
    errors = [record.message for record in caplog.records if record.levelname == "ERROR"]
    assert len(errors) == 1
    assert "database is locked" in errors[0]


async def test_a_full_disk(on_disk: Discovered) -> None:
    """The same, and what was on disk is still there."""
    await on_disk.beat("a", step="before")
    await on_disk.members.write()
    with disk_full(on_disk.registry):
        for node in "abc":
            await on_disk.beat(node, step="after", reason="x" * 2000)
        await on_disk.members.write()
        assert [b.report.step for b in on_disk.registry.heartbeats().values()] == ["before"]
        assert "Free some space" in on_disk.members.access.trouble
    await on_disk.members.write()
    assert [b.report.step for b in on_disk.registry.heartbeats().values()] == ["after"] * 3


async def test_an_enrolment_that_cannot_be_written(on_disk: Discovered, tmp_path: Path) -> None:
    """It is an error of the aggregator, not of the token, which is good for another try."""
    service, nodes = on_disk.enrolment, lambda: on_disk.members.certificates.nodes
    token = Token.create("localhost:1", "d", on_disk.authority.fingerprint)
    on_disk.registry.add_token(token.secret_hash(), "d", expires_at=on_disk.date)
    key = generate_key()
    request = enrolment_pb2.EnrolRequest(
        node="d", token=token.secret_text, csr=signing_request(key, "d")
    )
    with lock_held(tmp_path / "registry.sqlite"), pytest.raises(Aborted) as caught:
        await service.Enrol(request, Call(on_disk.identities["a"]))
    assert caught.value.code is grpc.StatusCode.INTERNAL
    assert "d" not in nodes()
    reply = await service.Enrol(request, Call(on_disk.identities["a"]))
    assert der_of(reply.certificate) == nodes()["d"].certificate


class Stuck(Registry):
    """A registry on a disk that doesn't answer until it is told to."""

    answering: threading.Event

    def save_plan(self, plan: Plan) -> None:
        """Wait."""
        assert self.answering.wait(60)
        super().save_plan(plan)


async def test_heartbeats_go_on_while_a_plan_is_made(authority: Authority) -> None:
    """They don't wait for it, and bring it once it is there."""
    with Stuck.open(":memory:") as stuck:
        stuck.answering = threading.Event()
        aggregator = Discovered(authority, stuck).enrol("a", "b", "c").start()
        for node in "abc":
            await aggregator.beat(node)
        aggregator.now += 3
        planning = asyncio.ensure_future(aggregator.planning.update())
        for _ in range(3):
            assert not (await aggregator.beat("a")).HasField("plan")
        assert not planning.done()
        stuck.answering.set()
        await planning
        assert (await aggregator.beat("a")).plan.epoch == 1


async def test_news_are_planned_at_once(aggregator: Discovered) -> None:
    """A node that comes, moves or completes is an occasion; one that only lives is not."""
    news = aggregator.members.news
    occasions: list[dict[str, object]] = [
        {},
        {"address": "elsewhere:7710"},
        {"session": bytes(range(16))},
        {"phase": discovery_pb2.PHASE_REFUSED},
    ]
    for changes in occasions:
        news.clear()
        await aggregator.beat("a", **changes)
        assert news.is_set(), changes
    news.clear()
    await aggregator.beat("a", **(changes | {"step": "statistics", "waiting_for": ["b"]}))
    aggregator.now += 1
    await aggregator.beat("a", **changes)
    assert not news.is_set()


async def test_each_node_gets_its_parents_certificate(aggregator: Discovered) -> None:
    """To be pinned; and nobody else's, whoever asked before."""
    await aggregator.first_plan("a", "b", "c")
    plan = aggregator.registry.latest_plan()
    for node in "abca":
        copy = (await aggregator.beat(node)).plan
        certificates = {m.node: m.certificate for m in copy.members if m.certificate}
        parent = plan.by_node[node].parent
        expected = aggregator.identities[parent].certificate_der if parent else b""
        assert certificates == ({parent: expected} if parent else {})
        assert parse_plan(copy) == plan

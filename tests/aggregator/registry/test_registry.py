"""What the registry promises, in memory and on disk alike."""

import os
import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest
from msgspec import msgpack

from aggregator.registry import database
from aggregator.registry.registry import EnrolledNode, Heartbeat, Registry
from edge_node.errors import IdentityError, MachineError, RefusedError
from edge_node.federation.plan import Member, Plan
from edge_node.federation.report import Phase, Report

NOW = 1_800_000_000.0
DATE = datetime.fromtimestamp(NOW, UTC)
HASH, OTHER_HASH = b"h" * 32, b"o" * 32


@pytest.fixture(params=["memory", "file"])
def registry(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Registry]:
    """An empty registry of either kind."""
    path = tmp_path / "registry.sqlite" if request.param == "file" else ":memory:"
    with Registry.open(path) as opened:
        yield opened


def certificate(node: str, number: int = 1) -> EnrolledNode:
    """As the authority would issue it."""
    return EnrolledNode(node, b"DER %d" % number, bytes([number]) * 32, NOW)


def enrol(registry: Registry, node: str, digest: bytes = HASH, number: int = 1) -> None:
    """Token and enrolment of a node."""
    registry.add_token(digest, node, expires_at=NOW + 600)
    registry.enrol(digest, node, now=NOW, issue=lambda: certificate(node, number))


def plan(epoch: int, run: int = 1) -> Plan:
    """A plan of two."""
    members = (Member("a", "a:1", b"a" * 32, ""), Member("b", "", b"b" * 32, "a"))
    return Plan(epoch, run, b"s" * 32, "a", members, (("a", "b"),), created=DATE)


def test_enrolment(registry):
    """A node enrols with the token that is its own."""
    enrol(registry, "a")
    assert registry.nodes() == [certificate("a")]


@pytest.mark.parametrize(
    ("digest", "node", "now", "problem"),
    [
        (OTHER_HASH, "a", NOW, "does not know"),
        (HASH, "b", NOW, "for another node"),
        (HASH, "a", NOW + 601, "expired"),
    ],
)
def test_bad_tokens(registry, digest, node, now, problem):
    """A wrong token issues nothing and stays as it was."""
    registry.add_token(HASH, "a", expires_at=NOW + 600)
    with pytest.raises(IdentityError, match=problem):
        registry.enrol(digest, node, now=now, issue=lambda: pytest.fail("issued"))
    assert registry.nodes() == []
    registry.enrol(HASH, "a", now=NOW + 600, issue=lambda: certificate("a"))


def test_used_tokens(registry):
    """A token is good for one enrolment."""
    enrol(registry, "a")
    with pytest.raises(IdentityError, match="used already"):
        registry.enrol(HASH, "a", now=NOW, issue=lambda: pytest.fail("issued"))


def test_one_of_many_at_once(registry):
    """Of many requests with one token at the same moment exactly one gets a certificate."""
    registry.add_token(HASH, "a", expires_at=NOW + 600)
    together = threading.Barrier(8)
    issued = []

    def attempt(number: int) -> bool:
        together.wait()
        try:
            registry.enrol(
                HASH, "a", now=NOW, issue=lambda: issued.append(number) or certificate("a", number)
            )
        except IdentityError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(attempt, range(8)))
    assert sum(won) == len(issued) == 1
    assert registry.nodes() == [certificate("a", won.index(True))]


def test_one_of_many_processes(tmp_path):
    """The same holds for connections of their own, as separate processes have them."""
    path = tmp_path / "registry.sqlite"
    with Registry.open(path) as first:
        first.add_token(HASH, "a", expires_at=NOW + 600)
    together = threading.Barrier(4)

    def attempt(number: int) -> bool:
        with Registry.open(path) as registry:
            together.wait()
            try:
                registry.enrol(HASH, "a", now=NOW, issue=lambda: certificate("a", number))
            except IdentityError:
                return False
            return True

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(attempt, range(4))) == 1


def test_a_failed_issue(registry):
    """If no certificate can be made, the token is not used up."""
    registry.add_token(HASH, "a", expires_at=NOW + 600)

    def fail() -> EnrolledNode:
        raise IdentityError("the signing request is broken")

    with pytest.raises(IdentityError, match="broken"):
        registry.enrol(HASH, "a", now=NOW, issue=fail)
    registry.enrol(HASH, "a", now=NOW, issue=lambda: certificate("a"))


def test_a_newer_token(registry):
    """A node's newer token voids the older one, which somebody may have lost."""
    registry.add_token(HASH, "a", expires_at=NOW + 600)
    registry.add_token(OTHER_HASH, "a", expires_at=NOW + 600)
    with pytest.raises(IdentityError, match="does not know"):
        registry.enrol(HASH, "a", now=NOW, issue=lambda: certificate("a"))
    registry.enrol(OTHER_HASH, "a", now=NOW, issue=lambda: certificate("a"))


def test_duplicate_names(registry):
    """A name that is taken gets no token, unless its node shall be replaced."""
    enrol(registry, "a")
    with pytest.raises(RefusedError, match=r"enrolled already.*--replace"):
        registry.add_token(OTHER_HASH, "a", expires_at=NOW + 600)
    with pytest.raises(RefusedError, match="nothing to replace"):
        registry.add_token(OTHER_HASH, "b", expires_at=NOW + 600, replace=True)


def test_replacement(registry):
    """The new certificate takes the place of the old one, and the old reports are forgotten."""
    enrol(registry, "a")
    registry.record([Heartbeat("a", Report(), NOW)])
    registry.add_token(OTHER_HASH, "a", expires_at=NOW + 600, replace=True)
    assert registry.nodes() == [certificate("a", 1)]
    registry.enrol(OTHER_HASH, "a", now=NOW, issue=lambda: certificate("a", 2))
    assert registry.nodes() == [certificate("a", 2)]
    assert registry.heartbeats() == {}


def test_heartbeats(registry):
    """The newest heartbeat of each enrolled node is kept, whole."""
    enrol(registry, "a")
    report = Report(
        address="a:7710",
        session=b"\x00" * 16,
        epoch=3,
        run=2,
        phase=Phase.RUNNING,
        step="statistics",
        waiting_for=("b",),
        waiting=1.5,
        unreachable=("c",),
        reason="",
    )
    registry.record([Heartbeat("a", Report(), NOW), Heartbeat("stranger", Report(), NOW)])
    registry.record([Heartbeat("a", report, NOW + 1)])
    registry.record([])
    assert registry.heartbeats() == {"a": Heartbeat("a", report, NOW + 1)}


def test_plans(registry):
    """The newest plan is kept as it was; an epoch never goes back."""
    assert registry.latest_plan() is None
    registry.save_plan(plan(1))
    registry.save_plan(plan(7, run=2))
    for epoch in (6, 7):
        with pytest.raises(ValueError, match="not greater than 7"):
            registry.save_plan(plan(epoch))
    kept = registry.latest_plan()
    assert kept == plan(7, run=2)
    assert kept.created == DATE


def test_restart(tmp_path):
    """A registry that is opened again knows all it knew."""
    path = tmp_path / "registry.sqlite"
    with Registry.open(path) as registry:
        enrol(registry, "a")
        registry.record([Heartbeat("a", Report(step="spread"), NOW)])
        registry.save_plan(plan(4))
    with Registry.open(path) as registry:
        assert registry.nodes() == [certificate("a")]
        assert registry.heartbeats()["a"].report.step == "spread"
        assert registry.latest_plan() == plan(4)
        with pytest.raises(ValueError, match="not greater"):
            registry.save_plan(plan(4))
        with pytest.raises(IdentityError, match="used already"):
            registry.enrol(HASH, "a", now=NOW, issue=lambda: certificate("a"))


def test_every_commit_is_flushed(tmp_path):
    """Write-ahead log with a flush at each commit: a power cut takes nothing back."""
    with Registry.open(tmp_path / "registry.sqlite") as registry:
        assert registry.database.read("PRAGMA journal_mode") == [("wal",)]
        assert registry.database.read("PRAGMA synchronous") == [(2,)]


def test_another_version(tmp_path):
    """A database of a later version is refused, not damaged."""
    path = tmp_path / "registry.sqlite"
    Registry.open(path).close()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(MachineError, match="another version"):
        Registry.open(path)


def test_an_earlier_version(tmp_path):
    """A database of the first version is brought up to date, and loses nothing."""
    path = tmp_path / "registry.sqlite"
    connection = sqlite3.connect(path)
    connection.executescript(database.VERSIONS[0] + "PRAGMA user_version = 1;")
    connection.execute("INSERT INTO nodes VALUES ('a', x'01', x'02', 3.0)")
    connection.commit()
    connection.close()
    for _ in range(2):
        with Registry.open(path) as registry:
            assert registry.nodes() == [EnrolledNode("a", b"\1", b"\2", 3.0)]
            assert registry.database.read("SELECT * FROM renewals") == []


def test_a_report_of_an_earlier_version(registry):
    """It had no spec's hash, and phases by number."""
    enrol(registry, "a")
    old = {"address": "a:1", "session": bytes(16), "epoch": 2, "run": 1, "phase": 3}
    with registry.database.transaction() as cursor:
        cursor.execute("INSERT INTO heartbeats VALUES ('a', ?, 4.0)", (msgpack.encode(old),))
    report = Report(address="a:1", session=bytes(16), epoch=2, run=1, phase=Phase.COMPLETE)
    assert registry.heartbeats() == {"a": Heartbeat("a", report, 4.0)}


def test_not_a_database(tmp_path):
    """A file of another kind is named, with what is wrong."""
    path = tmp_path / "registry.sqlite"
    path.write_bytes(b"something else entirely" * 100)
    with pytest.raises(MachineError, match=r"registry\.sqlite.*not a database"):
        Registry.open(path)


def test_no_directory(tmp_path):
    """A directory that isn't there, or can't be written, is an error of the machine."""
    with pytest.raises(MachineError, match="can't be read or written"):
        Registry.open(tmp_path / "missing" / "registry.sqlite")
    if os.geteuid() != 0:
        tmp_path.chmod(0o500)
        with pytest.raises(MachineError):
            Registry.open(tmp_path / "registry.sqlite")

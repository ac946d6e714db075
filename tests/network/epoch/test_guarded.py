"""Sums between sites with guards: what each says of itself, and what none of them lets pass."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

import msgspec
import numpy as np
import pytest

from edge_node.config import SitePolicy
from edge_node.errors import CohortRefusedError, IdentityError, NetworkError
from edge_node.federation.plan import Plan
from edge_node.network.base import Network
from edge_node.network.epoch.claims import claim_of, cohort_of
from edge_node.network.wire.combine import gathered, parse_gathered
from edge_node.network.wire.operation import Kind, Operation
from edge_node.security.disclosure.cohort import Claim, Cohort
from edge_node.security.disclosure.contribution import NOTHING, Fate, Telling
from edge_node.security.disclosure.guard import SiteGuard
from edge_node.security.disclosure.ledger import Ledger
from edge_node.security.pki.authority import Authority
from edge_node.security.pki.statement import Purpose, SignedBody, Statement
from edge_node.step import Content, Step
from tests.support.mesh import DEADLINE, Mesh, Peer, until

pytestmark = pytest.mark.timeout(60)

FIVE = {"a": "", "b": "a", "c": "a", "d": "b", "e": "b"}
FOUR = {"a": "", "b": "a", "c": "a", "d": "b"}


@pytest.fixture
async def mesh(mesh: Mesh) -> Mesh:
    """Five sites, each with a guard and a ledger of its own."""
    await mesh.start(FIVE)
    for peer in mesh.peers.values():
        guard(peer)
    return mesh


def guard(
    peer: Peer,
    *,
    kind: type[SiteGuard] = SiteGuard,
    version: str = "",
    policy: SitePolicy | None = None,
) -> Ledger:
    """Give a site its guard, as a new process does."""
    name = peer.identity.node
    ledger = Ledger.open(peer.directory / "ledger", peer.directory / "ledger.key", new=True)
    peer.guard = kind(name, policy or SitePolicy(), ledger, (name + version).encode().ljust(32))
    return ledger


def ledger_of(peer: Peer) -> Ledger:
    """As it is on disk."""
    return Ledger.open(peer.directory / "ledger", peer.directory / "ledger.key", new=False)


async def two_sums(network: Network) -> list[float]:
    """A program of two steps; every node gives 1."""
    return [float((await network.sum(Step(name), np.ones(3)))[0]) for name in ("s", "t")]


async def run(mesh: Mesh, nodes: str, number: int) -> list[object]:
    """What becomes of the program at these nodes: its result, or its error."""
    works = [two_sums(mesh.peers[node].network(number)) for node in nodes]
    async with asyncio.timeout(DEADLINE):
        return await asyncio.gather(*works, return_exceptions=True)


async def test_a_cohort_without_one_is_refused_by_all(mesh: Mesh) -> None:
    """Before anybody tells a masking key; the ledgers are as before, and the old cohort will do."""
    mesh.offer(mesh.plan(1, FIVE))
    assert await run(mesh, "abcde", 1) == [[5.0, 5.0]] * 5
    before = (mesh.peers["a"].directory / "ledger").read_bytes()
    mesh.offer(mesh.plan(2, FOUR, run=2))
    for error in await run(mesh, "abcd", 2):
        assert isinstance(error, CohortRefusedError)
        assert "of run 1 would differ by e alone" in str(error)
    keys = Operation.of_epoch(2, 2, Kind.KIND_KEYS)
    assert not any(mesh.peers[node].store.run(2).has(keys) for node in "abcd")
    assert (mesh.peers["a"].directory / "ledger").read_bytes() == before
    mesh.offer(mesh.plan(3, FIVE, run=3))
    assert await run(mesh, "abcde", 3) == [[5.0, 5.0]] * 5


POLICIES = {
    "another's": (SitePolicy(min_cohort=5, peers=tuple("abcd")), ""),
    "too small": (SitePolicy(min_cohort=6), "at least 6"),
    "a stranger": (SitePolicy(peers=tuple("abc")), "expected a, b, c, found d"),
}


@pytest.mark.parametrize(("policy", "complaint"), POLICIES.values(), ids=POLICIES)
async def test_one_site_refuses_by_its_policy(
    mesh: Mesh, policy: SitePolicy, complaint: str
) -> None:
    """Its words never leave: it tells no masking key, so there is no total. The first is the
    control: what it demands is there.
    """
    ledger = guard(mesh.peers["e"], policy=policy)
    mesh.offer(mesh.plan(1, FIVE))
    others = [asyncio.ensure_future(two_sums(mesh.peers[n].network())) for n in "abcd"]
    if not complaint:
        assert await two_sums(mesh.peers["e"].network()) == [5.0, 5.0]
        assert await asyncio.gather(*others) == [[5.0, 5.0]] * 4
        return
    with pytest.raises(CohortRefusedError, match=complaint):
        await two_sums(mesh.peers["e"].network())
    assert ledger.steps == {}
    keys = Operation.of_epoch(1, 1, Kind.KIND_KEYS)
    assert not any(peer.store.run(1).has(keys) for peer in mesh.peers.values())
    for task in others:
        assert not task.done()
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


async def test_changed_rows(mesh: Mesh) -> None:
    """Of one node they are refused, by it, too; of three they are not."""
    mesh.offer(mesh.plan(1, FIVE))
    await run(mesh, "abcde", 1)
    guard(mesh.peers["e"], version=" changed")
    mesh.offer(mesh.plan(2, FIVE, run=2))
    errors = await run(mesh, "abcde", 2)
    assert all("by e alone" in str(error) for error in errors)
    for node in "cd":
        guard(mesh.peers[node], version=" changed")
    mesh.offer(mesh.plan(3, FIVE, run=3))
    assert await run(mesh, "abcde", 3) == [[5.0, 5.0]] * 5


async def tell(mesh: Mesh, number: int, value: float) -> list[object]:
    """A run over five nodes of two sums with three numbers each, of rows that may tell six."""

    async def program(network: Network) -> Mapping[str, int]:
        for name in ("s", "t"):
            await network.sum(Step(name), np.full(3, value), most_numbers=6)
        return dict(network.told)

    mesh.offer(mesh.plan(number, FIVE, run=number))
    works = [program(mesh.peers[node].network(number)) for node in FIVE]
    async with asyncio.timeout(DEADLINE):
        return await asyncio.gather(*works, return_exceptions=True)


async def test_rows_tell_no_more_in_their_life(mesh: Mesh) -> None:
    """The same again is told for nothing; anything else is refused by all, before it is sent."""
    nothing = dict.fromkeys(FIVE, 0)
    assert await tell(mesh, 1, 1.0) == [nothing] * 5
    assert await tell(mesh, 2, 1.0) == [nothing] * 5
    before = [ledger_of(peer).life.told() for peer in mesh.peers.values()]
    for error in await tell(mesh, 3, 2.0):
        assert isinstance(error, CohortRefusedError)
        assert "at most 0 more, after 6, found 3" in str(error)
    sums = Operation(3, 3, Kind.KIND_SUM, 0, "s")
    assert not any(peer.store.run(3).has(sums) for peer in mesh.peers.values())
    assert [ledger_of(peer).life.told() for peer in mesh.peers.values()] == before == [6] * 5


async def test_one_site_has_told_more_than_the_others(mesh: Mesh) -> None:
    """They hear of it in its claim. If they don't heed that, it refuses, and there is no total."""
    ledger = guard(mesh.peers["e"])
    earlier = Cohort(1, 1, "e", {node: Claim(bytes(32)) for node in "exy"})
    ledger.contribute(earlier, 0, Step("before"), Telling(4))
    heard: list[Mapping[str, int]] = []

    async def heedless(network: Network) -> None:
        await network.sum(Step("counts", Content.COUNTS), np.ones(1))
        heard.append(dict(network.told))
        await network.sum(Step("s"), np.ones(3), most_numbers=6)

    mesh.offer(mesh.plan(2, FIVE, run=2))
    others = [asyncio.ensure_future(heedless(mesh.peers[n].network(2))) for n in "abcd"]
    with pytest.raises(CohortRefusedError, match="at most 2 more, after 4, found 3"):
        await heedless(mesh.peers["e"].network(2))
    await until(lambda: len(heard) == 5)
    assert heard == [dict.fromkeys("abcd", 0) | {"e": 4}] * 5
    for task in others:
        assert not task.done()
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


class KilledError(Exception):
    """The process has ended."""


class Killed(SiteGuard):
    """Its node is killed when a contribution is in the ledger, and no word of it has left."""

    def admit(self, cohort: Cohort, sequence: int, step: Step, telling: Telling = NOTHING) -> None:
        """Write, and die."""
        super().admit(cohort, sequence, step, telling)
        raise KilledError


async def kill_e(mesh: Mesh) -> tuple[Peer, list[asyncio.Future[list[float]]]]:
    """Begin run 1 at all five, and kill e in its first sum; e, and what the others do meanwhile."""
    victim = mesh.peers["e"]
    guard(victim, kind=Killed)
    mesh.offer(mesh.plan(1, FIVE))
    works = [asyncio.ensure_future(two_sums(mesh.peers[n].network())) for n in "abcd"]
    with pytest.raises(KilledError):
        await two_sums(victim.network())
    await victim.stop()
    return victim, works


async def test_a_node_killed_between_ledger_and_message(mesh: Mesh) -> None:
    """The others repeat the step without it: a crash costs a sweep. When it is back, they know."""
    victim, works = await kill_e(mesh)
    await until(lambda: all(ledger_of(mesh.peers[node]).steps for node in "abcd"))
    mesh.offer(mesh.plan(2, FOUR))
    async with asyncio.timeout(DEADLINE):
        assert await asyncio.gather(*works) == [[4.0, 4.0]] * 4
    for node in "abcd":
        fates = {each.epoch: each.fate for each in ledger_of(mesh.peers[node]).steps[Step("s")]}
        assert fates == {1: Fate.VOID, 2: Fate.RELEASED}
    await victim.start()
    ledger = guard(victim)
    assert [each.epoch for each in ledger.steps[Step("s")]] == [1], (
        "it can't know that it isn't in any"
    )
    mesh.offer(mesh.plan(3, FIVE, run=2))
    waits = asyncio.ensure_future(two_sums(victim.network(2)))
    errors = await run(mesh, "abcd", 2)
    assert all("by e alone" in str(error) for error in errors)
    waits.cancel()
    await asyncio.gather(waits, return_exceptions=True)


async def test_a_leaf_restarted_within_the_epoch(mesh: Mesh) -> None:
    """It contributes the same again, in the same cohort."""
    victim, works = await kill_e(mesh)
    await victim.start()
    guard(victim)
    async with asyncio.timeout(DEADLINE):
        assert await two_sums(victim.network()) == [5.0, 5.0]
        assert await asyncio.gather(*works) == [[5.0, 5.0]] * 4


class Peers:
    """A plan over nodes that only sign."""

    def __init__(self, authority: Authority, directory: Path) -> None:
        mesh = Mesh(authority, directory)
        for name in "abc":
            mesh.peers[name] = Peer(mesh.identity(name), directory / name, port=1)
        self.mesh = mesh

    def plan(self, epoch: int = 1) -> Plan:
        """Of that epoch."""
        return self.mesh.plan(epoch, {"a": "", "b": "a", "c": "a"})

    def said(self, plan: Plan, **others: bytes) -> bytes:
        """Everybody's claim of another version; ``others`` in place of some of them."""
        parts: dict[str, bytes] = {}
        for name, peer in self.mesh.peers.items():
            claim = Claim(name.encode() * 32, name == "c", 7, 300)
            parts |= parse_gathered(claim_of(claim, ord(name), peer.identity, plan))
        return gathered(parts | others)


@pytest.fixture
def peers(authority: Authority, tmp_path: Path) -> Peers:
    """Nodes a, b and c."""
    return Peers(authority, tmp_path)


def test_claims_are_read(peers: Peers) -> None:
    """Each one's, and how far it is, as it was signed."""
    plan = peers.plan()
    cohort = cohort_of(peers.mesh.peers["a"].identity, plan, peers.said(plan))
    assert cohort.claims == {n: Claim(n.encode() * 32, n == "c", 7, 300) for n in "abc"}
    assert cohort.completed == {n: ord(n) for n in "abc"}
    assert (cohort.run, cohort.epoch, cohort.root) == (1, 1, "a")


BODY = ["completed", "version", "consent", "size", "told"]
FORGERIES = ["none", *BODY, "name", "epoch", "signature"]


@pytest.mark.parametrize("forgery", FORGERIES)
def test_forged_claims_are_refused(peers: Peers, forgery: str) -> None:
    """No node on the way changes what b says: how far it is, its consent, anything of its rows."""
    plan = peers.plan()
    said = SignedBody.decode(parse_gathered(peers.said(plan))["b"], Purpose.CLAIM, node="b")
    body = msgspec.msgpack.decode(said.body)
    certificate, signature = said.certificate, said.signature
    match forgery:
        case "completed" | "version" | "consent" | "size" | "told":
            body[BODY.index(forgery)] = {"version": b"x" * 32, "consent": True}.get(forgery, 30)
        case "name":
            certificate = peers.mesh.peers["c"].identity.certificate_der
        case "epoch":
            earlier = parse_gathered(peers.said(peers.plan(7)))["b"]
            signature = SignedBody.decode(earlier, Purpose.CLAIM, node="b").signature
        case "signature":
            signature = b""
    forged = SignedBody(msgspec.msgpack.encode(body), certificate, signature).encode()
    if forgery == "none":
        cohort_of(peers.mesh.peers["a"].identity, plan, peers.said(plan, b=forged))
        return
    with pytest.raises((IdentityError, NetworkError)):
        cohort_of(peers.mesh.peers["a"].identity, plan, peers.said(plan, b=forged))


@pytest.mark.parametrize("content", [b"", b"\xff", msgspec.msgpack.encode((b"v" * 32, True))])
def test_claims_that_are_none(peers: Peers, content: bytes) -> None:
    """Garbage is an error with the node's name."""
    plan = peers.plan()
    with pytest.raises(IdentityError, match="node b: a node's claim statement can't be read"):
        cohort_of(peers.mesh.peers["a"].identity, plan, peers.said(plan, b=content))


UNFIT = [
    b"",
    b"\xff",
    (0, b"v" * 31, True, 5, 0),
    (0, b"v" * 32, True, 5),
    (0, b"v" * 32, 1, 5, 0),
    (-1, b"v" * 32, True, 5, 0),
    (0, b"v" * 32, True, -1, 0),
    (0, b"v" * 32, True, 41, 0),
    (0, b"v" * 32, True, 5, -1),
]


@pytest.mark.parametrize("body", UNFIT)
def test_claims_that_are_signed_and_none(peers: Peers, body: bytes | tuple[object, ...]) -> None:
    """What a member's own faulty program might sign."""
    plan = peers.plan()
    said = body if isinstance(body, bytes) else msgspec.msgpack.encode(body)
    statement = Statement(Purpose.CLAIM, ("b", plan.epoch, plan.hash), said)
    content = SignedBody.of(statement, peers.mesh.peers["b"].identity).encode()
    with pytest.raises(IdentityError, match=r"claim can't be read|not a version"):
        cohort_of(peers.mesh.peers["a"].identity, plan, peers.said(plan, b=content))


def test_a_claim_that_is_missing(peers: Peers) -> None:
    """Everybody's is needed, and nobody else's."""
    plan = peers.plan()
    parts = parse_gathered(peers.said(plan))
    for wrong in ({"a": parts["a"]}, parts | {"x": parts["b"]}):
        with pytest.raises(IdentityError, match="claim statements are not those of the cohort"):
            cohort_of(peers.mesh.peers["a"].identity, plan, gathered(wrong))

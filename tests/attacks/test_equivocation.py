"""A parent or root that tells some nodes one thing, and the others another."""

from collections.abc import Callable

import msgspec
import numpy as np
import pytest

from edge_node.errors import IdentityError, NetworkError, TangentMeshError
from edge_node.network.base import Network, decide
from edge_node.network.exchange.records import RunRecords
from edge_node.network.tree import agreement
from edge_node.network.tree.agreement import check_testimonies, confirm
from edge_node.network.tree.tree import TreeNetwork
from edge_node.network.wire.combine import RingSum, gathered, parse_gathered
from edge_node.network.wire.segments import Segments
from edge_node.security.pki.authority import Authority
from edge_node.security.pki.identity import Identity
from edge_node.security.pki.statement import Purpose, SignedBody
from edge_node.step import Step
from tangentmesh.v1 import exchange_pb2
from tests.attacks.tampering import Change, mislead, outcomes
from tests.support.mesh import Mesh
from tests.support.words import payload_of

pytestmark = pytest.mark.timeout(60)

CHAIN = {"a": "", "b": "a", "c": "b"}
STAR = {"a": "", "b": "a", "c": "a"}
ONE = np.ones(1).tobytes()


@pytest.fixture
def masks_bound_to_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: masks as they would be if they didn't depend on what nodes were told."""
    monkeypatch.setattr(RunRecords, "transcript_before", lambda _self, _sequence: bytes(32))


def add_one(record: exchange_pb2.Record) -> None:
    """A total that is one too large, in its first number, with the check word that it must have."""
    one = payload_of(np.eye(1, 12)[0], record.step, sequence=record.sequence)
    record.payload = RingSum(Segments.of(12)).combine([record.payload, one])


def say_zero(record: exchange_pb2.Record) -> None:
    """Another choice than the root's."""
    assert ONE in record.decision
    record.decision = record.decision.replace(ONE, bytes(len(ONE)))


async def two_sums(network: TreeNetwork) -> float:
    """The second vector doesn't depend on the first total."""
    await network.sum(Step("first"), np.full(12, 1.0))
    return float((await network.sum(Step("second"), np.full(12, 2.0)))[0])


async def one_sum(network: TreeNetwork) -> float:
    """And then all compare what they were told."""
    total = float((await network.sum(Step("only"), np.full(12, 1.0)))[0])
    await confirm(network)
    return total


async def test_after_a_total_that_differs_there_is_no_other(mesh: Mesh) -> None:
    """Masks depend on what was told: the next total is none, and everybody notices."""
    await mesh.start(CHAIN)
    mesh.offer(mesh.plan(1, CHAIN))
    mislead(mesh.peers["b"], "c", "first", add_one)
    for error in (await outcomes(mesh, two_sums)).values():
        assert isinstance(error, NetworkError)
        assert "the total is invalid" in str(error)


@pytest.mark.usefixtures("masks_bound_to_nothing")
async def test_without_that_nobody_would_notice(mesh: Mesh) -> None:
    """The control: the lie itself is accepted, and the run goes on."""
    await mesh.start(CHAIN)
    mesh.offer(mesh.plan(1, CHAIN))
    mislead(mesh.peers["b"], "c", "first", add_one)
    assert await outcomes(mesh, two_sums) == dict.fromkeys("abc", 6.0)


async def scaled(network: Network) -> float:
    """A program in which a choice scales what a node gives, as a metric scales its rows."""
    secret = {"a": 3.0, "b": 11.0, "c": 31.4}[network.node]
    scale = np.frombuffer(await decide(network, "scale", lambda: ONE))[0]
    return float((await network.sum(Step("scaled"), np.full(12, scale * secret)))[0])


@pytest.mark.usefixtures("masks_bound_to_nothing")
async def test_a_root_could_single_out_a_node(mesh: Mesh) -> None:
    """The control: told a scale of zero, all others give nothing, and the total is one node's."""
    await mesh.start(STAR)
    mesh.offer(mesh.plan(1, STAR))
    mislead(mesh.peers["a"], "b", "scale", say_zero)
    found = await outcomes(mesh, scaled)
    assert found["a"] == pytest.approx(3.0 + 31.4, abs=1e-12)


async def test_a_root_that_singles_out_a_node_is_given_noise(mesh: Mesh) -> None:
    """Masks depend on the transcript: where nodes were told different scales, they don't cancel."""
    await mesh.start(STAR)
    mesh.offer(mesh.plan(1, STAR))
    mislead(mesh.peers["a"], "b", "scale", say_zero)
    for error in (await outcomes(mesh, scaled)).values():
        assert isinstance(error, NetworkError)
        assert "the total is invalid" in str(error)


async def test_the_last_total_is_compared(mesh: Mesh) -> None:
    """After the last sum there are no masks: each node signs what it was told."""
    await mesh.start(CHAIN)
    mesh.offer(mesh.plan(1, CHAIN))
    mislead(mesh.peers["b"], "c", "only", add_one)
    found = await outcomes(mesh, one_sum)
    for node, others in {"a": "c", "b": "c", "c": "a, b"}.items():
        assert isinstance(found[node], NetworkError)
        assert f"something else at {others}" in str(found[node])


async def test_told_the_same_all_agree(mesh: Mesh) -> None:
    """The control: the same program without a lie; and again after a restart of a node."""
    await mesh.start(CHAIN)
    mesh.offer(mesh.plan(1, CHAIN))
    assert await outcomes(mesh, one_sum) == dict.fromkeys("abc", 3.0)
    await mesh.peers["b"].stop()
    await mesh.peers["b"].start()
    assert await one_sum(mesh.peers["b"].network()) == 3.0


FORGERIES: dict[str, tuple[Callable[[dict[str, bytes]], dict[str, bytes]], type]] = {
    "another-nodes": (lambda told: told | {"a": told["b"]}, IdentityError),
    "unreadable": (lambda told: told | {"a": told["a"][:-3]}, IdentityError),
    "left-out": (lambda told: {n: each for n, each in told.items() if n != "a"}, NetworkError),
    "changed": (lambda told: told | {"a": told["a"].replace(b"\x00", b"\x01")}, IdentityError),
}


@pytest.mark.parametrize(("forge", "expected"), FORGERIES.values(), ids=FORGERIES)
async def test_what_others_were_told_cannot_be_forged(
    mesh: Mesh, forge: Callable[[dict[str, bytes]], dict[str, bytes]], expected: type
) -> None:
    """A liar can't make its victim believe that all were told the same."""

    def change(record: exchange_pb2.Record) -> None:
        record.payload = gathered(forge(parse_gathered(record.payload)))

    await mesh.start(CHAIN)
    mesh.offer(mesh.plan(1, CHAIN))
    mislead(mesh.peers["b"], "c", "only", add_one)
    mislead(mesh.peers["b"], "c", "confirm", change)
    found = await outcomes(mesh, one_sum)
    assert isinstance(found["c"], expected)
    assert all(isinstance(each, TangentMeshError) for each in found.values())


def words_of(identity: Identity, transcript: bytes, *, run: int = 1) -> dict[str, bytes]:
    """What a node testifies to."""
    return {identity.node: agreement.testimony(identity, run, transcript)}


def unsigned(identity: Identity, transcript: bytes) -> dict[str, bytes]:
    """A node's certificate and signature, and another transcript than it has signed."""
    (content,) = words_of(identity, bytes(32)).values()
    signed = SignedBody.decode(content, Purpose.TRANSCRIPT, node=identity.node)
    return {identity.node: msgspec.structs.replace(signed, body=transcript).encode()}


LIES = ["none", "left out", "not signed", "another's key", "another authority", "another run"]


@pytest.mark.parametrize("lie", LIES)
def test_nobody_testifies_for_another(
    member: Callable[..., Identity], foreign_authority: Authority, lie: str
) -> None:
    """The liar b makes a's testimony what c, its victim, was told: all transcripts are the same."""
    a, b, c = (member(node) for node in "abc")
    told = bytes(range(32))
    of_a = {
        "none": words_of(a, told),
        "left out": {},
        "not signed": unsigned(a, told),
        "another's key": {"a": words_of(b, told)["b"]},
        "another authority": words_of(member("a", authority=foreign_authority), told),
        "another run": words_of(a, told, run=2),
    }[lie]
    testimonies = words_of(b, told) | words_of(c, told) | of_a

    def check() -> None:
        check_testimonies(testimonies, "abc", identity=c, run=1, transcript=told)

    if lie == "none":
        check()
    else:
        with pytest.raises((IdentityError, NetworkError)):
            check()


def without_c(record: exchange_pb2.Record) -> None:
    """Fewer than the plan's, in its epoch."""
    record.cohort[:] = ["a", "b"]


def earlier_without_c(record: exchange_pb2.Record) -> None:
    """As if of an earlier epoch; but a run's cohort only shrinks."""
    record.cohort[:] = ["a", "b", "d"]
    record.epoch -= 1


def a_word_less(record: exchange_pb2.Record) -> None:
    """Than the reader has given."""
    record.payload = record.payload[:-8]


UNFIT: list[tuple[Change, str]] = [
    (without_c, "not of the plan's cohort"),
    (earlier_without_c, "not of the plan's cohort"),
    (a_word_less, "different lengths"),
]


@pytest.mark.parametrize(("change", "complaint"), UNFIT)
async def test_a_record_that_can_not_be_the_total_is_refused(
    mesh: Mesh, change: Change, complaint: str
) -> None:
    """The reader's own part would not be in it. Nothing of it is kept on disk."""
    await mesh.start(CHAIN)
    mesh.offer(mesh.plan(5, CHAIN))
    mislead(mesh.peers["b"], "c", "only", change)
    found = await outcomes(mesh, the_sum_alone)
    assert isinstance(found["c"], NetworkError)
    assert complaint in str(found["c"])
    assert mesh.peers["c"].store.run(1).frontier == 0


async def the_sum_alone(network: TreeNetwork) -> float:
    """Without a comparison, for which the others would wait."""
    return float((await network.sum(Step("only"), np.full(12, 1.0)))[0])

"""Messages that are replayed, repeated, out of order, cut, foreign, or changed on their way."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from pathlib import Path

import grpc
import numpy as np
import pytest

from edge_node.errors import NetworkError
from edge_node.network.tree.tree import TreeNetwork
from edge_node.network.wire.fixed_point import Limbs, from_bytes, to_bytes
from edge_node.network.wire.framing import chunks
from edge_node.network.wire.operation import Kind, Operation
from edge_node.network.wire.segments import Segments
from edge_node.security.pki.authority import Authority
from edge_node.step import Step
from tangentmesh.v1 import exchange_pb2
from tests.attacks.eavesdropping import Heard, listening
from tests.attacks.tampering import Answer, call, outcomes, tampering
from tests.support.identities import issue
from tests.support.mesh import Mesh, until
from tests.support.words import payload_of

pytestmark = pytest.mark.timeout(60)

CHAIN = {"a": "", "b": "a", "c": "b"}
WORDS = 12
BOUNDS = [(WORDS // 2, None), (WORDS // 2, 8.0)]
SEGMENTS = Segments.of(WORDS, BOUNDS)


async def own_sum(network: TreeNetwork) -> float:
    """A program of one step; every node gives ones."""
    return float((await network.sum(Step("s"), np.ones(WORDS), bounds=BOUNDS))[0])


def changing_words(change: Callable[[Limbs], Limbs]) -> Callable[[Operation, bytes], bytes]:
    """Changes what a node hands up to be summed, and nothing else."""

    def lie(operation: Operation, payload: bytes) -> bytes:
        if operation.kind != Kind.KIND_SUM:
            return payload
        return to_bytes(change(from_bytes(payload)))

    return lie


def less(words: Limbs, others: Limbs) -> Limbs:
    """The difference in the ring."""
    difference = words - others
    for stretch in SEGMENTS.stretches:
        if stretch.wide:
            part = stretch.limbs
            difference[part][1::2] -= words[part][0::2] < others[part][0::2]
    return difference


def flipped(place: int, bit: int) -> Callable[[Limbs], Limbs]:
    """One bit of one limb is another."""

    def change(words: Limbs) -> Limbs:
        words = words.copy()
        words[place] ^= np.uint64(1 << bit)
        return words

    return change


TAMPERED: dict[str, Callable[[Limbs], Limbs]] = {
    "the last bit of a wide word": flipped(0, 0),
    "the first bit of a wide word": flipped(1, 63),
    "the last bit of a narrow word": flipped(WORDS + 3, 0),
    "the first bit of a narrow word": flipped(WORDS + 3, 63),
    "a bit of the check word": flipped(-1, 5),
    "a bit in each word": lambda words: words ^ np.uint64(1 << 63),
    "another's noise": lambda words: np.random.default_rng(0).integers(
        0, 2**64, words.shape, dtype=np.uint64, endpoint=False
    ),
    "nothing": np.zeros_like,
    "everything twice": lambda words: SEGMENTS.add(words, words),
    "in another order": lambda words: words[::-1].copy(),
}


@pytest.mark.parametrize("change", TAMPERED.values(), ids=TAMPERED)
async def test_words_that_a_parent_changes_make_no_total(
    mesh: Mesh, change: Callable[[Limbs], Limbs]
) -> None:
    """Words don't fit their check word then, and every node refuses what is left."""
    await mesh.start(CHAIN, link_types={"b": tampering(changing_words(change))})
    mesh.offer(mesh.plan(1, CHAIN))
    for error in (await outcomes(mesh, own_sum)).values():
        assert isinstance(error, NetworkError)
        assert "the total is invalid" in str(error)


async def test_what_a_parent_adds_to_the_words_is_not_noticed(mesh: Mesh) -> None:
    """The stated limit: it could as well have given other rows. It adds a check word that fits."""
    ones = from_bytes(payload_of(np.ones(WORDS), "s", bounds=BOUNDS))
    change = changing_words(lambda words: SEGMENTS.add(words, ones))
    await mesh.start(CHAIN, link_types={"b": tampering(change)})
    mesh.offer(mesh.plan(1, CHAIN))
    assert await outcomes(mesh, own_sum) == dict.fromkeys("abc", 4.0)


async def test_a_cohort_that_a_parent_shrinks_makes_no_total(mesh: Mesh) -> None:
    """A parent takes its child's part away again: the plan has five nodes, the sum has four."""
    parents = {"a": "", "b": "a", "c": "b", "d": "a", "e": "a"}
    heard: list[Heard] = []

    def without_c(words: Limbs) -> Limbs:
        (given,) = (each for each in heard if each.is_sum)
        return less(words, from_bytes(given.payload))

    await mesh.start(
        parents,
        link_types={"c": replaying_to(heard), "b": tampering(changing_words(without_c))},
    )
    mesh.offer(mesh.plan(1, parents))
    for error in (await outcomes(mesh, own_sum)).values():
        assert isinstance(error, NetworkError)
        assert "the total is invalid" in str(error)
    assert any(each.is_sum for each in heard)


def replaying_to(heard: list[Heard]) -> type:
    """A link whose payloads are known before their answers come."""

    def note(operation: Operation, payload: bytes) -> bytes:
        heard.append(Heard("c", "b", operation, payload, b""))
        return payload

    return tampering(note)


async def test_a_message_replayed_in_another_step_or_epoch_makes_no_total(mesh: Mesh) -> None:
    """The same words, masked for something else."""
    kept: list[bytes] = []

    def replay(operation: Operation, payload: bytes) -> bytes:
        if operation.kind != Kind.KIND_SUM:
            return payload
        kept.append(payload)
        return kept[0]

    async def two_sums(network: TreeNetwork) -> float:
        await network.sum(Step("first"), np.ones(WORDS))
        return float((await network.sum(Step("second"), np.ones(WORDS)))[0])

    await mesh.start(CHAIN, link_types={"c": tampering(replay)})
    mesh.offer(mesh.plan(1, CHAIN))
    for error in (await outcomes(mesh, two_sums)).values():
        assert isinstance(error, NetworkError)
        assert "the total is invalid" in str(error)
    assert len(kept) == 2


async def test_a_message_repeated_after_the_total_changes_nothing(mesh: Mesh) -> None:
    """It is answered with the total that was formed, and its payload isn't even asked for."""
    heard: list[Heard] = []
    await mesh.start(CHAIN, link_types={"c": listening(heard)})
    plan = mesh.plan(1, CHAIN)
    mesh.offer(plan)
    assert await outcomes(mesh, own_sum) == dict.fromkeys("abc", 3.0)
    (given,) = (each for each in heard if each.is_sum)
    for payload in (given.payload, bytes(len(given.payload)), b""):
        header = given.operation.header(plan.hash, payload)
        answer = await call(mesh.peers["c"].identity, mesh.peers["b"], header, payload)
        assert answer.code is grpc.StatusCode.OK
        assert not answer.wanted
        assert b"".join(chunk.data for chunk in answer.chunks) == given.answer


@dataclass(frozen=True)
class Waiting:
    """A root a that waits for its children b and c in the first sum.

    Attributes:
        mesh: with its peers.
        operation: the sum.
        plan_hash: of the plan.
        finish: lets b and c take part, and returns what becomes of all.
    """

    mesh: Mesh
    operation: Operation
    plan_hash: bytes
    running: dict[str, "asyncio.Task[float]"]

    async def finish(self) -> list[float]:
        """Let b and c take part; what becomes of all."""
        for node in "bc":
            network = self.mesh.peers[node].network()
            self.running[node] = asyncio.ensure_future(own_sum(network))
        return list(await asyncio.gather(*self.running.values()))

    def header(self, payload: bytes, **changes: object) -> exchange_pb2.Header:
        """A message's header, right but for ``changes``."""
        header = self.operation.header(self.plan_hash, payload)
        for name, value in changes.items():
            setattr(header, name, value)
        return header


@pytest.fixture
async def waiting(mesh: Mesh) -> AsyncIterator[Waiting]:
    """The root has begun its first operation, the claims, and nobody else has."""
    parents = {"a": "", "b": "a", "c": "a"}
    await mesh.start(parents)
    plan = mesh.plan(1, parents)
    mesh.offer(plan)
    network = mesh.peers["a"].network()
    running = {"a": asyncio.ensure_future(own_sum(network))}
    await until(lambda: network.progress.waiting_for == ("b", "c"))
    operation = Operation.of_epoch(1, 1, Kind.KIND_CLAIMS)
    yield Waiting(mesh, operation, plan.hash, running)
    for task in running.values():
        task.cancel()
    await asyncio.gather(*running.values(), return_exceptions=True)


GOOD = exchange_pb2.Gathered(by_node={"b": bytes(8)}).SerializeToString()
WRONG: dict[str, tuple[dict[str, object], grpc.StatusCode, str]] = {
    "another run": ({"run": 2}, grpc.StatusCode.FAILED_PRECONDITION, "different plans"),
    "another plan": (
        {"plan_hash": bytes(32)},
        grpc.StatusCode.FAILED_PRECONDITION,
        "hold different plans of epoch 1",
    ),
    "an epoch that is over": (
        {"epoch": 0},
        grpc.StatusCode.FAILED_PRECONDITION,
        "the message is of epoch 0",
    ),
    "no kind": (
        {"kind": 0},
        grpc.StatusCode.INVALID_ARGUMENT,
        "the message is of an unknown kind",
    ),
    "an epoch's operation with a number": (
        {"sequence": 7},
        grpc.StatusCode.INVALID_ARGUMENT,
        "the message is of an unknown kind",
    ),
    "too long": ({"length": 1 << 40}, grpc.StatusCode.INVALID_ARGUMENT, "it is too long"),
    "longer than said": (
        {"length": 3},
        grpc.StatusCode.INVALID_ARGUMENT,
        "longer than announced",
    ),
    "shorter than said": (
        {"length": len(GOOD) + 5},
        grpc.StatusCode.INVALID_ARGUMENT,
        "it is truncated",
    ),
    "another digest": ({"digest": bytes(32)}, grpc.StatusCode.INVALID_ARGUMENT, "its digest is"),
}


@pytest.mark.parametrize(("changes", "code", "reason"), WRONG.values(), ids=WRONG)
async def test_a_message_that_is_wrong_is_refused_and_changes_nothing(
    waiting: Waiting, changes: dict[str, object], code: grpc.StatusCode, reason: str
) -> None:
    """The right one comes later, and the sum is what it would have been."""
    b, a = waiting.mesh.peers["b"].identity, waiting.mesh.peers["a"]
    answer = await call(b, a, waiting.header(GOOD, **changes), GOOD)
    assert (answer.code, reason in answer.reason) == (code, True), answer
    assert await waiting.finish() == [3.0] * 3


FOREIGN: dict[str, bytes] = {
    "somebody else's": exchange_pb2.Gathered(by_node={"c": bytes(8)}).SerializeToString(),
    "two nodes'": exchange_pb2.Gathered(by_node={"b": b"", "c": b""}).SerializeToString(),
    "nobody's": b"",
    "noise": b"\xff" * 20,
    "too much": exchange_pb2.Gathered(by_node={"b": bytes(8193)}).SerializeToString(),
}


@pytest.mark.parametrize("payload", FOREIGN.values(), ids=FOREIGN)
async def test_a_payload_that_is_not_the_childs_is_refused(
    waiting: Waiting, payload: bytes
) -> None:
    """A child speaks for its own subtree only."""
    b, a = waiting.mesh.peers["b"].identity, waiting.mesh.peers["a"]
    answer = await call(b, a, waiting.header(payload), payload)
    assert answer.code is grpc.StatusCode.INVALID_ARGUMENT
    assert await waiting.finish() == [3.0] * 3


async def test_pieces_in_another_order_are_refused(waiting: Waiting) -> None:
    """Data before the header, two headers, an empty piece, no piece at all."""
    b, a = waiting.mesh.peers["b"].identity, waiting.mesh.peers["a"]
    header, data = chunks(waiting.header(GOOD), GOOD)
    empty = exchange_pb2.Chunk(data=b"")
    for written in ([data, header], [header, header, data], [header, empty, data], []):
        answer = await call(b, a, waiting.header(GOOD), written=written)
        assert answer.code is grpc.StatusCode.INVALID_ARGUMENT
    assert await waiting.finish() == [3.0] * 3


async def test_a_message_of_a_wrong_edge_is_refused(waiting: Waiting) -> None:
    """No parent may call its child, and nobody itself."""
    peers = waiting.mesh.peers
    for caller, server in (("a", "b"), ("b", "c"), ("a", "a")):
        answer = await call(peers[caller].identity, peers[server], waiting.header(GOOD), GOOD)
        assert answer.code is grpc.StatusCode.PERMISSION_DENIED
        assert f"{caller} is no child of {server}" in answer.reason
        assert not answer.wanted
    assert await waiting.finish() == [3.0] * 3


async def test_a_certificate_that_is_not_in_the_plan_is_refused(
    waiting: Waiting, tmp_path: Path
) -> None:
    """One of another authority in the handshake; one of the same authority by the service."""
    authority, a = waiting.mesh.authority, waiting.mesh.peers["a"]
    sister = Authority.create(tmp_path / "ca", "sisters")
    cousin = issue(authority, "b")
    strangers = {
        "of another authority": replace(issue(sister, "b"), ca_pem=authority.certificate_pem),
        "with a new certificate": cousin,
    }
    answers: dict[str, Answer] = {}
    for kind, identity in strangers.items():
        answers[kind] = await call(identity, a, waiting.header(GOOD), GOOD)
    assert answers["of another authority"].code is grpc.StatusCode.UNAVAILABLE
    assert not answers["of another authority"].epoch  # no byte of the service's
    assert answers["with a new certificate"].code is grpc.StatusCode.PERMISSION_DENIED
    assert await waiting.finish() == [3.0] * 3

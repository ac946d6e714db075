"""Decoders of what comes over a network: announcements, records, plans, streams, heartbeats."""

from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import numpy as np

from aggregator.services.heartbeat import read_report
from edge_node.federation.plan import Member, Plan
from edge_node.network.decision import chosen
from edge_node.network.epoch.claims import check_passed_on, claim_of, cohort_of
from edge_node.network.epoch.keys import announcement, pairwise_masks
from edge_node.network.tree.agreement import check_testimonies, testimony
from edge_node.network.wire.check_word import read_total
from edge_node.network.wire.combine import RecordUnion, RingSum, Union, gathered, parse_gathered
from edge_node.network.wire.fixed_point import from_bytes
from edge_node.network.wire.framing import CHUNK_BYTES, chunks, read_header, read_payload
from edge_node.network.wire.operation import Kind, Operation, parse_record
from edge_node.network.wire.plan import receive_plan
from edge_node.network.wire.segments import Segments
from edge_node.program import root_decisions as choices
from edge_node.security.disclosure.cohort import Claim
from edge_node.security.masks import MaskingKey
from edge_node.security.pki.authority import Authority
from edge_node.security.pki.certificates import der_of
from edge_node.security.pki.identity import Identity
from edge_node.security.pki.renewal import check_renewal, renewal_request
from edge_node.security.pki.signing_requests import requested_key, signing_request
from edge_node.security.pki.succession import Successor, succeed
from edge_node.serving.status import NodeStatus
from tangentmesh.v1 import discovery_pb2, exchange_pb2, prediction_pb2
from tests.fuzz.targets import Target
from tests.support.identities import issue
from tests.support.mesh import SPEC_HASH, copy_of

__all__ = ["message_targets"]

NODES = ("a", "b", "c")
STEP = Operation(1, 1, Kind.KIND_SUM, 2, "s")


def message_targets(directory: Path) -> Iterator[Target]:
    """All of them; an authority is made in ``directory``."""
    authority = Authority.create(directory / "ca", "fuzz")
    identities = {node: issue(authority, node) for node in NODES}
    plan = _plan(identities)
    yield from _sums_and_gathers()
    yield from _records()
    yield from _keys(identities, plan)
    yield from _choices()
    yield from _streams(plan)
    yield from _plans(plan)
    successor = Authority.create(directory / "successor", "fuzz")
    yield from _certificates(authority, successor, identities)


def _plan(identities: dict[str, Identity]) -> Plan:
    members = tuple(
        Member(
            node,
            f"{node}:1",
            identity.fingerprint,
            "" if node == "a" else "a",
            identity.certificate_der,
        )
        for node, identity in identities.items()
    )
    edges = tuple((node, "a") for node in NODES[1:])
    return Plan(1, 1, SPEC_HASH, "a", members, edges, datetime(2026, 1, 1, tzinfo=UTC))


def _sums_and_gathers() -> Iterator[Target]:
    segments, union = Segments.of(5, [(2, None), (3, 1.0)]), Union(64)
    ring, valid = RingSum(segments), bytes(segments.bytes)

    def summed(data: bytes) -> None:
        with_valid = [data, valid]
        for payload in with_valid:
            ring.check(payload, frozenset(NODES))
        read_total(ring.combine(with_valid), segments, "0/s", 3)

    def merged(data: bytes) -> None:
        union.check(data, frozenset(NODES))
        union.combine([data, data])

    yield Target("words", (valid, bytes(range(segments.bytes))), summed)
    yield Target("words of any length", (bytes(32),), from_bytes, 20)
    shares = gathered({node: node.encode() * 8 for node in NODES})
    yield Target("gathered", (shares, gathered({"a": b""})), merged)


def _records() -> Iterator[Target]:
    records = [replace(STEP, sequence=n).record(NODES, bytes([n] * 16)) for n in range(3)]
    union = RecordUnion(1, 0, 1 << 20)

    def caught_up(data: bytes) -> None:
        union.check(data, frozenset(NODES))
        union.combine([data, data])

    claims = [Operation.of_epoch(STEP.run, STEP.epoch, Kind.KIND_CLAIMS).record(NODES, b"claims")]
    several = exchange_pb2.Records(records=records, claims=claims).SerializeToString()
    one = exchange_pb2.Records(records=records[:1], claims=claims).SerializeToString()
    yield Target("records", (several, one), caught_up)
    yield Target(
        "record",
        tuple(each.SerializeToString() for each in records[::-1]),
        lambda data: STEP.check(parse_record(data, where="fuzz")),
    )


def _keys(identities: dict[str, Identity], plan: Plan) -> Iterator[Target]:
    keys = {node: MaskingKey.generate() for node in NODES}
    parts = [announcement(keys[node], identities[node], plan, b"claims") for node in NODES]
    said = {node: data for part in parts for node, data in parse_gathered(part).items()}

    def agree(payload: bytes) -> None:
        pairwise_masks(keys["a"], identities["a"], plan, b"claims", payload)

    def one_announcement(data: bytes) -> None:
        agree(gathered({**said, "b": data}))

    yield Target("keys", (gathered(said),), agree)
    yield Target("announcement", (said["b"], said["c"]), one_announcement, 50)
    told = {node: testimony(identities[node], 1, bytes(32)) for node in NODES}

    def testified(data: bytes) -> None:
        check_testimonies(
            {**told, "b": data}, NODES, identity=identities["a"], run=1, transcript=bytes(32)
        )

    yield Target("testimony", (told["b"], told["c"]), testified, 20)
    claims = [claim_of(Claim(bytes(32)), 7, identities[node], plan) for node in NODES]
    claimed = {node: data for part in claims for node, data in parse_gathered(part).items()}

    def one_claim(data: bytes) -> None:
        cohort_of(identities["a"], plan, gathered({**claimed, "b": data}))

    def passed_on(data: bytes) -> None:
        check_passed_on(gathered({**claimed, "b": data}), plan.epoch, NODES, identities["a"])

    yield Target("claim", (claimed["b"], claimed["c"]), one_claim, 20)
    yield Target("claim passed on", (claimed["b"], claimed["c"]), passed_on, 50)


def _choices() -> Iterator[Target]:
    """What a root shares: the choice itself, or why there is none."""
    with_choice = msgspec.msgpack.encode({"content": b"1", "error": "", "facts": {}})
    failed = {"content": b"", "error": "DataError", "facts": {"problem": "no", "found": "none"}}
    yield Target("decision", (with_choice, msgspec.msgpack.encode(failed)), chosen, 50)
    evidence = b'{"log_evidence":-1.5,"noise":0.1,"amplitude":2}'
    readers: dict[str, tuple[bytes, Callable[[bytes], object]]] = {
        "bases": (b"[[0,2,5],[1]]", lambda data: choices.read_bases(data, (9, 2), step="s")),
        "kept inputs": (
            msgspec.msgpack.encode(((0, 2), b"[[0]]")),
            lambda data: choices.read_kept(data, 3, step="s"),
        ),
        "judgements": (
            b"[" + evidence + b",null]",
            lambda data: choices.read_judgements(data, (0.1, 0.2), step="s"),
        ),
        "metric": (
            choices.MetricChoice(np.eye(2).tobytes(), [[0, 2]]).pack(),
            lambda data: choices.read_metric(data, 2, [3], step="s"),
        ),
        "next step": (
            np.array([1.0, 0.0, -3.5, 2.0]).tobytes(),
            lambda data: choices.read_sweep_choice(data, (0.1, 10.0), step="s"),
        ),
    }
    for name, (seed, read) in readers.items():
        yield Target(name, (seed,), read, 20)


def _streams(plan: Plan) -> Iterator[Target]:
    def header(data: bytes) -> None:
        Operation.from_header(exchange_pb2.Header.FromString(data))

    yield Target("header", (STEP.header(plan.hash, b"x").SerializeToString(),), header)
    payload = bytes(range(256)) * 4
    whole = [each.SerializeToString() for each in chunks(STEP.header(plan.hash, payload), payload)]
    proceed = exchange_pb2.Chunk(proceed=exchange_pb2.Proceed()).SerializeToString()
    seeds = tuple(map(_joined, (whole, [proceed, *whole], [*whole, whole[-1]], whole[::-1])))
    yield Target("stream", seeds, _read_stream)


def _joined(parts: list[bytes]) -> bytes:
    return b"".join(len(part).to_bytes(2, "big") + part for part in parts)


def _read_stream(data: bytes) -> None:
    """Chunks, each after its length in two bytes; all are there, so nothing is waited for."""

    async def stream() -> AsyncIterator[exchange_pb2.Chunk]:
        rest = data
        while rest:
            size = int.from_bytes(rest[:2], "big")
            yield exchange_pb2.Chunk.FromString(rest[2 : 2 + size])
            rest = rest[2 + size :]

    async def proceed() -> None:
        """Nothing."""

    async def read() -> None:
        incoming = stream()
        header = await read_header(incoming, proceed)
        Operation.from_header(header)
        await read_payload(incoming, header, CHUNK_BYTES)

    try:
        read().send(None)
    except StopIteration:
        return


def _plans(plan: Plan) -> Iterator[Target]:
    seeds = tuple(copy_of(plan, node).SerializeToString() for node in ("b", "a"))
    yield Target(
        "plan",
        seeds,
        lambda data: receive_plan(discovery_pb2.Plan.FromString(data), node="b").hash,
    )
    beat = discovery_pb2.HeartbeatRequest(
        address="a:1", spec_hash=SPEC_HASH, session=bytes(16), epoch=3, run=1, phase=2, step="s"
    )
    beat.waiting_for.extend(["b"])
    beat.waiting.FromNanoseconds(10**9)

    def heartbeat(data: bytes) -> None:
        read_report(discovery_pb2.HeartbeatRequest.FromString(data), "a", epoch=3, run=1)

    yield Target("heartbeat", (beat.SerializeToString(),), heartbeat)
    status = prediction_pb2.StatusReply(node="a", phase="running", waiting_for=["b"])
    status.posterior_time.GetCurrentTime()
    status.waiting.FromNanoseconds(10**9)

    def told(data: bytes) -> None:
        NodeStatus.from_message(prediction_pb2.StatusReply.FromString(data))

    yield Target("status", (status.SerializeToString(),), told)


def _certificates(
    authority: Authority, successor: Authority, identities: dict[str, Identity]
) -> Iterator[Target]:
    own = identities["a"]
    csr, proof = renewal_request(own, identities["b"].key_pem)

    def renewed(data: bytes) -> None:
        size = data[0] + 1 if data else 1
        check_renewal("a", own.certificate_der, data[size:], data[1:size])

    yield Target("renewal", (bytes([len(proof)]) + proof + csr,), renewed, 10)
    requests = (signing_request(own.key_pem, "a"), csr)
    yield Target("signing request", requests, lambda data: requested_key(data, "a"), 10)
    old, new = (der_of(each.certificate_pem) for each in (authority, successor))
    proof = Successor.of(new, authority).proof

    def succeeded(data: bytes) -> None:
        succeed(own, [Successor(old), Successor(data, proof)])

    yield Target("succession", (new, old), succeeded, 10)

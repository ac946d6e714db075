"""The committed vectors, bit by bit: what must come out, what must be refused, with which error."""

import json
from datetime import datetime
from functools import reduce
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

from edge_node import errors
from edge_node.federation.plan import Member, Plan
from edge_node.network.base import Network
from edge_node.network.epoch.keys import pairwise_masks
from edge_node.network.exchange.records import RecordStore
from edge_node.network.wire import fixed_point
from edge_node.network.wire.combine import RingSum, gathered
from edge_node.network.wire.operation import Operation
from edge_node.network.wire.plan import check_plan
from edge_node.security.masks import MaskingKey, PairwiseMasks
from edge_node.security.pki.authority import Authority
from edge_node.security.pki.certificates import pem_of
from edge_node.security.pki.identity import Identity
from edge_node.security.pki.private_keys import generate_key
from edge_node.step import Content, Step
from tests.support.mesh import Mesh
from tests.vectors import generate, oracle

VECTORS = Path(generate.__file__).parent
ZERO = np.zeros((3, 2), dtype=np.uint64)


def load(name: str) -> Any:
    """A file's content."""
    return json.loads((VECTORS / f"{name}.json").read_text(encoding="utf-8"))


def error_of(case: dict[str, Any]) -> type[errors.TangentMeshError]:
    """The error that a bad vector names."""
    found: type[errors.TangentMeshError] = getattr(errors, case["error"])
    return found


def hexadecimal(words: fixed_point.Words) -> list[str]:
    """Words as they stand in the files."""
    return [f"{int(low) + (int(high) << 64):032x}" for low, high in words]


def words_of(texts: list[str]) -> fixed_point.Words:
    """The inverse of ``hexadecimal``."""
    return fixed_point.from_bytes(oracle.to_bytes(int(text, 16) for text in texts))


def plan_of(facts: dict[str, Any]) -> Plan:
    """The product's plan of a vector's."""
    members = tuple(
        Member(each["node"], each["address"], bytes.fromhex(each["fingerprint"]), each["parent"])
        for each in facts["members"]
    )
    return Plan(
        facts["epoch"],
        facts["run"],
        bytes.fromhex(facts["spec_hash"]),
        facts["root"],
        members,
        tuple((a, b) for a, b in facts["edges"]),
        datetime.fromisoformat(facts["created"]),
    )


def test_the_files_are_what_the_generator_writes() -> None:
    """Nobody has changed a file by hand, and the generator gives the same bytes each time."""
    made = generate.files()
    assert sorted(made) == sorted(path.name for path in VECTORS.glob("*.json"))
    for name, text in made.items():
        assert (VECTORS / name).read_text(encoding="utf-8") == text


def test_numbers_become_words_and_words_numbers() -> None:
    """Both ways, and on the wire."""
    vectors = load("fixed_point")
    numbers = np.array([float.fromhex(case["number"]) for case in vectors["encode"]])
    assert hexadecimal(fixed_point.encode(numbers)) == [case["word"] for case in vectors["encode"]]
    decoded = fixed_point.decode(words_of([case["word"] for case in vectors["decode"]]))
    assert [value.hex() for value in decoded.tolist()] == [c["number"] for c in vectors["decode"]]
    wire = bytes.fromhex(vectors["wire"]["bytes"])
    assert hexadecimal(fixed_point.from_bytes(wire)) == vectors["wire"]["words"]
    assert fixed_point.to_bytes(words_of(vectors["wire"]["words"])) == wire


def test_what_has_no_word_is_refused() -> None:
    """NaN, infinity, overflow; and bytes that are no words."""
    vectors = load("fixed_point")
    for case in vectors["refused_numbers"]:
        with pytest.raises(error_of(case)):
            fixed_point.encode(np.array([0.0, float.fromhex(case["number"])]))
    for case in vectors["refused_bytes"]:
        with pytest.raises(error_of(case)):
            fixed_point.from_bytes(bytes.fromhex(case["bytes"]))


def test_a_plans_hash_binds_cohort_certificates_tree_and_spec() -> None:
    """As the files say, and no two that differ in one fact have the same."""
    vectors = load("plans")
    accepted = [plan_of(case["plan"]) for case in vectors["accepted"]]
    for plan in accepted:
        check_plan(plan)
    hashes = [plan.hash.hex() for plan in accepted]
    assert hashes == [case["hash"] for case in vectors["accepted"]]
    assert len(set(hashes)) == len(hashes)
    for case in vectors["refused"]:
        with pytest.raises(error_of(case)):
            check_plan(plan_of(case["plan"]))


def test_pairs_agree_on_a_mask() -> None:
    """The first words of the keystream, with the sign that belongs to the node."""
    for case in load("masks")["pairs"]:
        node, peer = case["node"], case["peer"]
        key = MaskingKey(bytes.fromhex(case["private"]))
        publics = {node: key.public, peer: bytes.fromhex(case["peer_public"])}
        assert key.public.hex() == case["public"]
        plan_hash = bytes.fromhex(case["plan_hash"])
        masks = PairwiseMasks(node, key, publics, case["epoch"], plan_hash)
        for step, words in case["steps"].items():
            sign = 1 if node < peer else -1
            expected = [f"{sign * int(word, 16) % oracle.RING:032x}" for word in words]
            assert hexadecimal(masks.mask(ZERO, step)) == expected


def test_a_transcript_is_that_of_the_records(tmp_path: Path) -> None:
    """Whatever was told before a step, in its own order."""
    records = RecordStore(tmp_path).run(2)
    for case in load("transcripts")["steps"]:
        assert records.transcript_before(case["position"]).hex() == case["before"]
        operation = Operation(2, 1, case["kind"], case["position"], case["step"])
        record = operation.record(case["cohort"], bytes.fromhex(case["payload"]))
        records.commit(record.SerializeToString(deterministic=True))
        assert records.transcript_before(records.frontier).hex() == case["after"]


async def test_masks_are_bound_to_position_name_and_transcript(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The label is that of the files, at every node."""
    labels: list[str] = []
    mask = PairwiseMasks.mask

    def noted(masks: PairwiseMasks, words: fixed_point.Words, step: str) -> fixed_point.Words:
        labels.append(step)
        return mask(masks, words, step)

    async def program(network: Network) -> None:
        await network.gather(Step("g", Content.CHOICE), b"x")
        await network.sum(Step("s/1"), np.ones(2))

    monkeypatch.setattr(PairwiseMasks, "mask", noted)
    async with Mesh(Authority.create(tmp_path / "ca", "labels"), tmp_path / "nodes") as mesh:
        parents = {"a": "", "b": "a", "c": "a"}
        await mesh.start(parents)
        mesh.offer(mesh.plan(1, parents))
        await mesh.run(program)
        transcript = mesh.peers["a"].store.run(1).transcript_before(1).hex()
    assert labels == [f"1/s/1/{transcript}"] * 3


def test_what_is_no_key_is_refused() -> None:
    """Points of small order, whose shared secret everybody knows, and other lengths."""
    for case in load("masks")["refused_keys"]:
        key = MaskingKey(bytes(range(32)))
        publics = {"a": key.public, "b": bytes.fromhex(case["public"])}
        with pytest.raises(error_of(case)):
            PairwiseMasks("a", key, publics, 1, bytes(32))


@pytest.mark.parametrize("vector", load("cohorts")["cohorts"], ids=lambda v: str(len(v["nodes"])))
def test_cohorts_send_and_sum_what_the_files_say(vector: dict[str, Any]) -> None:
    """Each node's message, and the total in a random order."""
    publics = {each["node"]: bytes.fromhex(each["public"]) for each in vector["nodes"]}
    messages = []
    for each in vector["nodes"]:
        key = MaskingKey(bytes.fromhex(each["private"]))
        plan_hash = bytes.fromhex(vector["plan_hash"])
        masks = PairwiseMasks(each["node"], key, publics, vector["epoch"], plan_hash)
        words = fixed_point.encode(np.array([float.fromhex(n) for n in each["numbers"]]))
        masked = masks.mask(words, vector["step"])
        assert hexadecimal(masked) == each["masked"]
        messages.append(masked)
    Random(1).shuffle(messages)
    total = reduce(fixed_point.add, messages)
    assert hexadecimal(total) == vector["total"]
    assert [value.hex() for value in fixed_point.decode(total).tolist()] == vector["numbers"]
    payloads = [fixed_point.to_bytes(words) for words in messages]
    combined = RingSum(len(payloads[0])).combine(payloads)
    assert combined == fixed_point.to_bytes(total)


def member_a(vectors: dict[str, Any]) -> tuple[MaskingKey, Identity]:
    """Whoever checks; it signs nothing, so its certificate doesn't matter."""
    ca = pem_of(bytes.fromhex(vectors["authority"]))
    identity = Identity("a", vectors["federation"], generate_key(), b"", ca)
    return MaskingKey(bytes.fromhex(vectors["private"])), identity


def payload_of(case: dict[str, Any]) -> bytes:
    """The gathered message of a vector's announcements."""
    return gathered({node: bytes.fromhex(said) for node, said in case["announcements"].items()})


def test_good_announcements_are_believed() -> None:
    """Masks come out of them, the oracle's."""
    vectors = load("announcements")
    case = vectors["accepted"]
    plan = plan_of(case["plan"])
    key, identity = member_a(vectors)
    masks = pairwise_masks(key, identity, plan, payload_of(case))
    publics = {node: bytes.fromhex(public) for node, public in case["publics"].items()}
    shared = {
        peer: oracle.keystream(
            oracle.pair_secret(
                oracle.x25519(key.private, publics[peer]),
                ("a", peer),
                publics,
                plan.epoch,
                oracle.plan_hash(case["plan"]),
            ),
            "0/s",
            3,
        )
        for peer in ("b", "c")
    }
    expected = [f"{word:032x}" for word in oracle.masked("a", [0, 0, 0], shared)]
    assert hexadecimal(masks.mask(ZERO, "0/s")) == expected


@pytest.mark.parametrize("case", load("announcements")["refused"], ids=lambda case: case["name"])
def test_bad_announcements_are_refused(case: dict[str, Any]) -> None:
    """Wrong signatures, keys, certificates, cohorts, plans and bytes."""
    key, identity = member_a(load("announcements"))
    with pytest.raises(errors.TangentMeshError) as caught:
        pairwise_masks(key, identity, plan_of(case["plan"]), payload_of(case))
    assert type(caught.value) is error_of(case)

"""The committed vectors, bit by bit: what must come out, what must be refused, with which error."""

import json
from collections.abc import Iterable
from datetime import datetime
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
from edge_node.network.wire.check_word import read_total, sealed
from edge_node.network.wire.combine import RingSum, gathered
from edge_node.network.wire.fixed_point import Limbs, from_bytes, to_bytes
from edge_node.network.wire.operation import Operation
from edge_node.network.wire.plan import check_plan
from edge_node.network.wire.segments import Segments
from edge_node.security.masks import MaskingKey, PairwiseMasks
from edge_node.security.pki.authority import Authority
from edge_node.security.pki.certificates import pem_of
from edge_node.security.pki.identity import Identity
from edge_node.security.pki.private_keys import generate_key
from edge_node.step import Content, Step
from tests.support.mesh import Mesh
from tests.vectors import generate, oracle

VECTORS = Path(generate.__file__).parent
RUNS = ((2, False), (2, True), (1, False), (2, True))  # of `generate.MASKED`
ZERO = np.zeros(7, dtype=np.uint64)


def load(name: str) -> Any:
    """A file's content."""
    return json.loads((VECTORS / f"{name}.json").read_text(encoding="utf-8"))


def error_of(case: dict[str, Any]) -> type[errors.TangentMeshError]:
    """The error that a bad vector names."""
    found: type[errors.TangentMeshError] = getattr(errors, case["error"])
    return found


def hexadecimal(limbs: Limbs, runs: Iterable[tuple[int, bool]]) -> list[str]:
    """Words as they stand in the files."""
    left, texts = iter(limbs.tolist()), []
    for length, wide in runs:
        for _ in range(length // 2 if wide else length):
            low = next(left)
            texts.append(f"{next(left):016x}{low:016x}" if wide else f"{low:016x}")
    return texts


def words_of(texts: list[str]) -> Limbs:
    """The inverse of ``hexadecimal``."""
    return from_bytes(b"".join(bytes.fromhex(text)[::-1] for text in texts))


def segments_of(case: dict[str, Any]) -> Segments:
    """The segments that a vector names."""
    bounds = [(n, None if b is None else float.fromhex(b)) for n, b in case["segments"]]
    return Segments.of(sum(count for count, _ in bounds), bounds)


def numbers_of(texts: list[str]) -> np.ndarray:
    """Numbers as they stand in the files."""
    return np.array([float.fromhex(text) for text in texts], float)


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
    """Both ways, for wide words and for narrow ones of each bound."""
    vectors = load("words")
    for case in (vectors["wide"], *vectors["narrow"]):
        bound, nodes = case.get("bound"), 1 << 14
        count = len(case["encode"])
        segments = segments_of({"segments": [[count, bound]]})
        if bound is not None:
            assert segments.parts[0].exponent == case["exponent"]
        words = segments.encode(numbers_of([each["number"] for each in case["encode"]]))
        assert hexadecimal(words, segments.runs)[:-1] == [each["word"] for each in case["encode"]]
        known = words_of([each["word"] for each in case["decode"]] + ["0" * 32])
        segments = segments_of({"segments": [[len(case["decode"]), bound]]})
        decoded = segments.decode(known, nodes).tolist()
        assert [value.hex() for value in decoded] == [each["number"] for each in case["decode"]]


@pytest.mark.parametrize("case", load("words")["vectors"], ids=lambda case: case["label"])
def test_vectors_go_over_the_wire_with_a_check_word(case: dict[str, Any]) -> None:
    """Words, check word and bytes; and the numbers again."""
    segments, numbers = segments_of(case), numbers_of(case["numbers"])
    assert segments.label == case["label"]
    words = sealed(segments.encode(numbers), segments, case["step"])
    assert hexadecimal(words, segments.runs) == case["words"]
    assert to_bytes(words).hex() == case["bytes"]
    assert read_total(to_bytes(words), segments, case["step"], 1).shape == numbers.shape


def test_what_has_no_word_is_refused() -> None:
    """NaN, infinity, what breaks its bound; and bytes that are not a number's words."""
    vectors = load("words")
    for case in vectors["refused_numbers"]:
        segments = segments_of({"segments": [[1, None], [1, case["bound"]]]})
        with pytest.raises(error_of(case)):
            segments.encode(np.array([0.0, float.fromhex(case["number"])]))
    for case in vectors["refused_bytes"]:
        with pytest.raises(error_of(case)):
            RingSum(Segments.of(1, [(1, 1.0)])).check(bytes.fromhex(case["bytes"]), frozenset("a"))


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
            sign, digits = 1 if node < peer else -1, [len(word) for word in words]
            signed = [sign * int(word, 16) % 16 ** len(word) for word in words]
            expected = [f"{word:0{n}x}" for word, n in zip(signed, digits, strict=True)]
            assert hexadecimal(masks.mask(ZERO, RUNS, step), RUNS) == expected


def test_a_transcript_is_that_of_the_records(tmp_path: Path) -> None:
    """Whatever was told before a step, in its own order."""
    records = RecordStore(tmp_path).run(2)
    for case in load("transcripts")["steps"]:
        assert records.transcript_before(case["position"]).hex() == case["before"]
        operation = Operation(2, case["epoch"], case["kind"], case["position"], case["step"])
        told = (bytes.fromhex(case[key]) for key in ("payload", "decision"))
        record = operation.record(case["cohort"], *told)
        records.commit(record.SerializeToString(deterministic=True))
        assert records.transcript_before(records.frontier).hex() == case["after"]


async def test_masks_are_bound_to_position_name_and_transcript(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The label is that of the files, at every node."""
    labels: list[str] = []
    mask = PairwiseMasks.mask

    def noted(masks: PairwiseMasks, words: Limbs, runs: Any, step: str) -> Limbs:
        labels.append(step)
        return mask(masks, words, runs, step)

    async def program(network: Network) -> None:
        await network.gather(Step("g", Content.PUBLIC), b"x")
        await network.sum(Step("s/1"), np.ones(3), bounds=[(1, None), (2, 8.0)])

    monkeypatch.setattr(PairwiseMasks, "mask", noted)
    async with Mesh(Authority.create(tmp_path / "ca", "labels"), tmp_path / "nodes") as mesh:
        parents = {"a": "", "b": "a", "c": "a"}
        await mesh.start(parents)
        mesh.offer(mesh.plan(1, parents))
        await mesh.run(program)
        transcript = mesh.peers["a"].store.run(1).transcript_before(1).hex()
    assert labels == [f"1/s/1/{transcript}/1@wide,2@59"] * 3


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
    messages, segments = [], segments_of(vector)
    for each in vector["nodes"]:
        key = MaskingKey(bytes.fromhex(each["private"]))
        plan_hash = bytes.fromhex(vector["plan_hash"])
        masks = PairwiseMasks(each["node"], key, publics, vector["epoch"], plan_hash)
        words = sealed(segments.encode(numbers_of(each["numbers"])), segments, vector["step"])
        masked = masks.mask(words, segments.runs, vector["step"])
        assert hexadecimal(masked, segments.runs) == each["masked"]
        messages.append(to_bytes(masked))
    Random(1).shuffle(messages)
    total = RingSum(segments).combine(messages)
    assert hexadecimal(from_bytes(total), segments.runs) == vector["total"]
    numbers = read_total(total, segments, vector["step"], len(messages))
    assert [value.hex() for value in numbers.tolist()] == vector["numbers"]


def member_a(vectors: dict[str, Any]) -> tuple[MaskingKey, Identity]:
    """Whoever checks; it signs nothing, so its certificate doesn't matter."""
    ca = pem_of(bytes.fromhex(vectors["authority"]))
    identity = Identity("a", vectors["federation"], generate_key(), b"", ca)
    return MaskingKey(bytes.fromhex(vectors["private"])), identity


def claims_of(vectors: dict[str, Any]) -> bytes:
    """What all have claimed."""
    return bytes.fromhex(vectors["claims"])


def payload_of(case: dict[str, Any]) -> bytes:
    """The gathered message of a vector's announcements."""
    return gathered({node: bytes.fromhex(said) for node, said in case["announcements"].items()})


def test_good_announcements_are_believed() -> None:
    """Masks come out of them, the oracle's."""
    vectors = load("announcements")
    case = vectors["accepted"]
    plan = plan_of(case["plan"])
    key, identity = member_a(vectors)
    masks = pairwise_masks(key, identity, plan, claims_of(vectors), payload_of(case))
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
            generate.MASKED,
        )
        for peer in ("b", "c")
    }
    expected = oracle.masked("a", [0] * 5, shared, generate.MASKED)
    assert to_bytes(masks.mask(ZERO, RUNS, "0/s")) == oracle.to_bytes(expected, generate.MASKED)


@pytest.mark.parametrize("case", load("announcements")["refused"], ids=lambda case: case["name"])
def test_bad_announcements_are_refused(case: dict[str, Any]) -> None:
    """Wrong signatures, keys, certificates, cohorts, plans and bytes."""
    vectors = load("announcements")
    (key, identity), claims = member_a(vectors), claims_of(vectors)
    with pytest.raises(errors.TangentMeshError) as caught:
        pairwise_masks(key, identity, plan_of(case["plan"]), claims, payload_of(case))
    assert type(caught.value) is error_of(case)

"""Writes the vectors beside this file, always the same: `python -m tests.vectors.generate`."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from itertools import combinations
from pathlib import Path
from random import Random
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

from tests.vectors import oracle
from tests.vectors.pki import Authority

__all__ = ["files"]

Json = dict[str, Any]
MASKED = [oracle.NARROW, oracle.NARROW, oracle.WIDE, oracle.NARROW, oracle.WIDE]
STEPS = ("0/survey", "12/noise/1", "3/ä")
BOUNDS = (1.0, 1.5, 2.0**62, 0.0, 341 * 31 / 2, 2.0**-60 / 3, 5e-324, 2.0**1000, 1e-300)
CLAIMS = b"what all have claimed"
SMALL_ORDER = (
    0,
    1,
    325606250916557431795983626356110631294008115727848805560023387167927233504,
    39382357235489614581723060781553021112529911719440698176882885853963445705823,
    oracle.PRIME - 1,
    oracle.PRIME,
    oracle.PRIME + 1,
)


def files() -> dict[str, str]:
    """Each file's text, by its name."""
    made = {
        "words": words(),
        "plans": plans(),
        "masks": masks(),
        "cohorts": {"cohorts": [cohort(size) for size in (3, 5, 64)]},
        "transcripts": {"steps": transcripts()},
        "announcements": announcements(),
    }
    return {
        f"{name}.json": json.dumps(content, indent=1, ensure_ascii=False) + "\n"
        for name, content in made.items()
    }


def words() -> Json:
    """Numbers and words, both ways; vectors with check words; and what has no word."""
    random = Random("fixed point")
    numbers = [0.0, 1.0, -1.0, 2.0**-60, -(2.0**-60), 2.0**-61, 3 * 2.0**-61, -(2.0**-61)]
    numbers += [5e-324, -5e-324, 0.1, -0.1, 1 / 3, 2.0**4, 2.0**4 - 2.0**-49, -(2.0**4)]
    numbers += [2.0**52, 2.0**53 - 1, -(2.0**53) + 1, 2.0**3 - 2.0**-50, 2.0**-7, 255.9999]
    numbers += [random.gauss(0, 1) * 2.0 ** random.randint(-70, 49) for _ in range(40)]
    decoded = [0, 1, oracle.WIDE - 1, 1 << 60, 1 << 127, (1 << 127) - 1, (1 << 64) - 1, 1 << 64]
    decoded += [(1 << 53) + 1, (1 << 117) + (1 << 64), (1 << 54) + 3 << 62]
    decoded += [random.getrandbits(112) - (1 << 111) for _ in range(20)]
    decoded = [w % oracle.WIDE for w in decoded if abs(oracle.signed(w % oracle.WIDE)) < 1 << 113]
    return {
        "wide": {
            "encode": [{"number": n.hex(), "word": _word(oracle.encode(n))} for n in numbers],
            "decode": [{"word": _word(w), "number": oracle.decode(w).hex()} for w in decoded],
        },
        "narrow": [_narrow(bound, random) for bound in BOUNDS],
        "vectors": [_vector(number) for number in range(8)],
        "refused_numbers": [
            {"number": number, "bound": bound, "error": "NumericalError"}
            for number, bound in (
                *((n, None) for n in ("nan", "inf", "-inf", "0x1p+53", "-0x1p+53", "0x1p+1023")),
                *((n, "0x1p+0") for n in ("nan", "inf", "0x1.01p+0", "-0x1.01p+0", "0x1p+53")),
                ("0x1p-1074", "0x0p+0"),
            )
        ],
        "refused_bytes": [
            {"bytes": bytes(length).hex(), "error": "NetworkError"} for length in (0, 8, 23, 25, 32)
        ],
    }


def _narrow(bound: float, random: Random) -> Json:
    """Numbers of a bound, with their words, and some words' numbers."""
    numbers = [0.0, bound, -bound, bound / 3, -bound * 2.0**-62, bound * (1 + 2.0**-11)]
    numbers += [random.uniform(-bound, bound) * 2.0 ** -random.randint(0, 63) for _ in range(9)]
    decoded = [oracle.encode(n, bound) for n in numbers]
    return {
        "bound": bound.hex(),
        "exponent": oracle.exponent(bound),
        "encode": [{"number": n.hex(), "word": f"{oracle.encode(n, bound):016x}"} for n in numbers],
        "decode": [{"word": f"{w:016x}", "number": oracle.decode(w, bound).hex()} for w in decoded],
    }


def segments_of(random: Random) -> list[tuple[int, float | None]]:
    """Some segments, wide and narrow ones."""
    count = random.randint(1, 4)
    return [(random.randint(1, 3), random.choice([None, *BOUNDS])) for _ in range(count)]


def numbers_of(random: Random, segments: oracle.Segments) -> list[float]:
    """A vector that fits, so that several do in total."""
    return [
        random.uniform(-1, 1) * (2.0 ** random.randint(-50, 50) if bound is None else bound / 64)
        for count, bound in segments
        for _ in range(count)
    ]


def _vector(number: int) -> Json:
    """A vector, its words with the check word of a step, and these on the wire."""
    random = Random(f"vector {number}")
    segments = segments_of(random) if number else []
    numbers, step = numbers_of(random, segments), f"{number}/{random.choice(STEPS)}"
    moduli = oracle.rings(segments)
    sealed = oracle.sealed(oracle.encoded(numbers, segments), segments, step)
    return {
        "segments": _segments(segments),
        "label": oracle.label(segments),
        "numbers": [each.hex() for each in numbers],
        "step": step,
        "words": _words(sealed, moduli),
        "bytes": oracle.to_bytes(sealed, moduli).hex(),
    }


def plan_of(fingerprints: Mapping[str, bytes], **changes: Any) -> Json:
    """A star around the first node."""
    root, *others = sorted(fingerprints)
    plan = {
        "epoch": 3,
        "run": 2,
        "spec_hash": _digest("spec").hex(),
        "root": root,
        "members": [
            {
                "node": node,
                "address": f"{node}.example:7710" if node == root else "",
                "fingerprint": fingerprints[node].hex(),
                "parent": "" if node == root else root,
            }
            for node in sorted(fingerprints)
        ],
        "edges": [[node, root] for node in others],
        "created": "2026-01-02T03:04:05.678901Z",
    }
    return {**plan, **changes}


def plans() -> Json:
    """Plans that differ in one fact, each with its hash; and what is no plan."""
    nodes = {node: _digest(node) for node in ("a", "b", "c", "d")}
    good = plan_of(nodes)
    members = good["members"]
    other = [*members[:3], {**members[3], "fingerprint": _digest("z").hex()}]
    deeper = [*members[:3], {**members[3], "parent": "b"}]
    dialled = [members[0], {**members[1], "address": "b.example:1"}, *members[2:]]
    accepted = {
        "star": good,
        "epoch": {**good, "epoch": 4},
        "run": {**good, "run": 3},
        "spec hash": {**good, "spec_hash": _digest("another spec").hex()},
        "certificate": {**good, "members": other},
        "address": {**good, "members": dialled},
        "tree": {
            **good,
            "members": [dialled[0], dialled[1], *deeper[2:]],
            "edges": [*good["edges"], ["d", "b"]],
        },
        "edge": {**good, "edges": [*good["edges"], ["d", "c"]]},
        "shrunk cohort": plan_of({node: nodes[node] for node in "abc"}),
        "whole second": {**good, "created": "2026-01-02T03:04:05Z"},
        "large numbers": {**good, "epoch": 2**63 - 1, "run": 2**40},
    }
    refused = {
        "no epoch": {**good, "epoch": 0},
        "short spec hash": {**good, "spec_hash": "00"},
        "nobody": {**good, "members": [], "edges": []},
        "two roots": {**good, "members": [members[0], {**members[1], "parent": ""}, *members[2:]]},
        "two of one certificate": {
            **good,
            "members": [*members[:3], {**members[3], "fingerprint": members[2]["fingerprint"]}],
        },
        "out of order": {**good, "members": members[::-1]},
        "no such parent": {**good, "members": [*members[:3], {**members[3], "parent": "z"}]},
        "circle": {
            **good,
            "members": [
                members[0],
                {**dialled[1], "parent": "c"},
                {**members[2], "parent": "b", "address": "c.example:1"},
                members[3],
            ],
            "edges": [*good["edges"], ["b", "c"]],
        },
    }
    return {
        "accepted": [
            {"name": name, "plan": plan, "hash": oracle.plan_hash(plan).hex()}
            for name, plan in accepted.items()
        ],
        "refused": [
            {"name": name, "plan": plan, "error": "NetworkError"} for name, plan in refused.items()
        ],
    }


def masks() -> Json:
    """From two private keys to the first words of the mask; and keys that are none."""
    random = Random("masks")
    pairs = []
    for pair in (("a", "b"), ("b", "a"), ("node-9", "node-10"), ("x", "x" * 63)):
        privates = {node: random.randbytes(32) for node in pair}
        publics = {node: oracle.public_key(private) for node, private in privates.items()}
        shared = oracle.x25519(privates[pair[0]], publics[pair[1]])
        for epoch in (1, 200, 2**40):
            plan_hash = _digest(f"plan {epoch}")
            secret = oracle.pair_secret(shared, pair, publics, epoch, plan_hash)
            pairs.append(
                {
                    "node": pair[0],
                    "peer": pair[1],
                    "private": privates[pair[0]].hex(),
                    "public": publics[pair[0]].hex(),
                    "peer_public": publics[pair[1]].hex(),
                    "epoch": epoch,
                    "plan_hash": plan_hash.hex(),
                    "secret": secret.hex(),
                    "steps": {
                        s: _words(oracle.keystream(secret, s, MASKED), MASKED) for s in STEPS
                    },
                }
            )
    keys = [number.to_bytes(32, "little") for number in SMALL_ORDER]
    keys += [bytes([9] * length) for length in (0, 31, 33)]
    refused = [{"public": key.hex(), "error": "IdentityError"} for key in keys]
    return {"pairs": pairs, "refused_keys": refused}


def cohort(size: int) -> Json:
    """Everybody's numbers and what they send; and the total."""
    random = Random(f"cohort {size}")
    nodes = sorted(f"n{random.getrandbits(32):x}-{i}" for i in range(size))
    privates = {node: random.randbytes(32) for node in nodes}
    publics = {node: oracle.public_key(private) for node, private in privates.items()}
    segments = segments_of(random)
    moduli = oracle.rings(segments)
    plan_hash, step = _digest(f"plan of {size}"), "7/statistics/0"
    shared: dict[str, dict[str, list[int]]] = {node: {} for node in nodes}
    for a, b in combinations(nodes, 2):
        agreed = oracle.x25519(privates[a], publics[b])
        secret = oracle.pair_secret(agreed, (a, b), publics, size, plan_hash)
        shared[a][b] = shared[b][a] = oracle.keystream(secret, step, moduli)
    numbers = {node: numbers_of(random, segments) for node in nodes}
    words = {
        node: oracle.sealed(oracle.encoded(numbers[node], segments), segments, step)
        for node in nodes
    }
    columns = zip(*words.values(), strict=True)
    total = [sum(column) % ring for column, ring in zip(columns, moduli, strict=True)]
    return {
        "epoch": size,
        "plan_hash": plan_hash.hex(),
        "step": step,
        "segments": _segments(segments),
        "nodes": [
            {
                "node": node,
                "private": privates[node].hex(),
                "public": publics[node].hex(),
                "numbers": [number.hex() for number in numbers[node]],
                "masked": _words(oracle.masked(node, words[node], shared[node], moduli), moduli),
            }
            for node in nodes
        ],
        "total": _words(total, moduli),
        "numbers": [number.hex() for number in oracle.decoded(total, segments)],
    }


def transcripts() -> list[Json]:
    """The steps of a run, each with the transcript before it and the label of its masks."""
    random, before, steps = Random("transcripts"), bytes(32), []
    cohort = ["a", "b", "c", "d"]
    for position, (step, kind, length) in enumerate(
        [("survey", 1, 48), ("basis/0", 2, 5), ("statistics/0", 1, 320), ("choice/0", 2, 0)]
    ):
        record = {
            "position": position,
            "step": step,
            "kind": kind,
            "epoch": 5 + position // 2,
            "cohort": cohort[position // 2 :],
            "payload": random.randbytes(length).hex(),
            "decision": random.randbytes(3 * position if kind == 1 else 0).hex(),
        }
        segments = [(length // 8 - 2, 1.0)] if kind == 1 else []
        label = f"{position}/{step}/{before.hex()}/{oracle.label(segments)}"
        after = oracle.transcript(before, record)
        steps.append({**record, "before": before.hex(), "label": label, "after": after.hex()})
        before = after
    return steps


class _Cohort:
    """Three nodes with certificates and masking keys; what they announce under a plan."""

    def __init__(self, authority: Authority) -> None:
        self.authority = authority
        self.certificates = {node: authority.issue(node) for node in ("a", "b", "c")}
        self.privates = {node: _digest(f"masking key {node}") for node in self.certificates}
        self.publics = {node: oracle.public_key(key) for node, key in self.privates.items()}

    @property
    def plan(self) -> Json:
        """The star around a."""
        return plan_of({node: _sha(der) for node, (_, der) in self.certificates.items()})

    def announce(self, plan: Json, node: str, **changes: Any) -> bytes:
        """What ``node`` says; ``changes``: of what it signs, and of what it sends."""
        key, certificate = self.certificates[node]
        public = changes.get("public", self.publics[node])
        context = [
            changes.get("name", node),
            changes.get("epoch", plan["epoch"]),
            changes.get("plan_hash", oracle.plan_hash(plan)),
            hashlib.sha256(changes.get("claims", CLAIMS)).digest(),
        ]
        purpose = changes.get("purpose", "masking-key")
        statement = oracle.statement(purpose, context, changes.get("signed", public))
        signature = key.sign(statement, ec.ECDSA(SHA256(), deterministic_signing=True))
        return oracle.msgpack(
            [public, certificate, bytes(b ^ changes.get("flip", 0) for b in signature)]
        )

    def all(self, plan: Json, **changed: bytes | None) -> dict[str, str]:
        """Everybody's announcement in hexadecimal; None: there is none."""
        said = {node: self.announce(plan, node) for node in self.certificates} | changed
        return {node: data.hex() for node, data in sorted(said.items()) if data is not None}


def announcements() -> Json:
    """What node a accepts from its cohort, and what it doesn't."""
    authority = Authority("vectors")
    good = _Cohort(authority)
    plan = good.plan
    refused = [
        {"name": name, "plan": plan, "announcements": said, "error": error}
        for name, said, error in _wrong_words(good, plan)
    ]
    for name, certificate in _wrong_certificates(authority).items():
        invented = _Cohort(authority)
        invented.certificates["b"] = certificate
        theirs = invented.plan
        refused.append(
            {
                "name": name,
                "plan": theirs,
                "announcements": invented.all(theirs),
                "error": "IdentityError",
            }
        )
    return {
        "federation": "vectors",
        "claims": CLAIMS.hex(),
        "authority": authority.certificate.hex(),
        "private": good.privates["a"].hex(),
        "accepted": {
            "plan": plan,
            "announcements": good.all(plan),
            "publics": {node: key.hex() for node, key in good.publics.items()},
        },
        "refused": refused,
    }


def _wrong_words(good: _Cohort, plan: Json) -> Iterable[tuple[str, dict[str, str], str]]:
    """Each with everything right but one thing."""
    said = {node: good.announce(plan, node) for node in "abc"}
    wrong, foreign = "IdentityError", "NetworkError"
    other = {**plan, "spec_hash": _digest("another spec").hex()}
    shrunk = plan_of({n: _sha(good.certificates[n][1]) for n in ("a", "b")})
    changes: dict[str, Any] = {
        "signature for another purpose": {"purpose": "claim"},
        "signature of another name": {"name": "c"},
        "signature of another epoch": {"epoch": 2},
        "signature of another plan": {"plan_hash": _digest("another plan")},
        "signature of another spec": {"plan_hash": oracle.plan_hash(other)},
        "signature of a shrunk cohort": {"plan_hash": oracle.plan_hash(shrunk)},
        "key that was not signed": {"signed": good.publics["c"]},
        "signature for other claims": {"claims": b"other claims"},
        "signature that is none": {"flip": 0x55},
        "key of 31 bytes": {"public": good.publics["b"][:31]},
        "key of 33 bytes": {"public": good.publics["b"] + b"\0"},
    }
    for number in SMALL_ORDER:
        changes[f"point of small order {number:x}"] = {"public": number.to_bytes(32, "little")}
    for name, change in changes.items():
        yield name, good.all(plan, b=good.announce(plan, "b", **change)), wrong
    replaced = good.announce(plan, "a", public=good.publics["b"])
    yield "own key replaced", good.all(plan, a=replaced), wrong
    yield "announcements swapped", good.all(plan, b=said["c"], c=said["b"]), foreign
    yield "node missing", good.all(plan, c=None), wrong
    yield "node too many", good.all(plan, d=said["c"]), wrong
    yield "truncated", good.all(plan, b=said["b"][:-1]), wrong
    yield "something behind it", good.all(plan, b=said["b"] + b"\0"), wrong
    yield "four fields", good.all(plan, b=b"\x94" + said["b"][1:] + b"\0"), wrong
    yield "two fields", good.all(plan, b=b"\x92" + said["b"][1:]), wrong
    yield "a map", good.all(plan, b=b"\x83" + said["b"][1:]), wrong
    yield "text for bytes", good.all(plan, b=b"\x93\xa1x" + said["b"][35:]), wrong
    yield "nothing", good.all(plan, b=b""), wrong


def _wrong_certificates(authority: Authority) -> dict[str, tuple[Any, bytes]]:
    """Certificates for b whose fingerprint stands in the plan, but which prove nothing."""
    return {
        "certificate of another authority": Authority("vectors", "somebody else").issue("b"),
        "certificate of another node": authority.issue("d"),
        "certificate of another federation": authority.issue("b", federation="others"),
        "certificate of the aggregator": authority.issue("aggregator"),
        "expired certificate": authority.issue(
            "b", life=(datetime(2020, 1, 1, tzinfo=UTC), datetime(2020, 2, 1, tzinfo=UTC))
        ),
        "certificate for one end only": authority.issue("b", server=False),
    }


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def _sha(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def _segments(segments: oracle.Segments) -> list[list[Any]]:
    """Counts and bounds."""
    return [[count, None if bound is None else bound.hex()] for count, bound in segments]


def _words(words: Iterable[int], moduli: Iterable[int]) -> list[str]:
    """Words in hexadecimal, each with the digits of its ring."""
    pairs = zip(words, moduli, strict=True)
    return [f"{word:016x}" if ring == oracle.NARROW else f"{word:032x}" for word, ring in pairs]


def _word(word: int) -> str:
    return f"{word:032x}"


if __name__ == "__main__":
    for name, text in files().items():
        Path(__file__).with_name(name).write_text(text, encoding="utf-8")

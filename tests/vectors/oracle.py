"""The secure sum in plain Python integers, written from docs/secure-sum.md.

Nothing of the product is imported: numbers are `Fraction`s, words are integers modulo 2^64 or
2^128, X25519 is RFC 7748's ladder, HKDF is RFC 5869's over `hmac`; only AES comes from a library.
"""

import base64
import hashlib
import hmac
import json
import struct
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from functools import cache
from typing import Any

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import CTR

NARROW, WIDE = 1 << 64, 1 << 128
PRIME = (1 << 255) - 19

Segments = Sequence[tuple[int, float | None]]
"""How many numbers, and the bound on the absolute value of their total; None: none is known."""

__all__ = [
    "NARROW",
    "PRIME",
    "WIDE",
    "Segments",
    "decode",
    "decoded",
    "encode",
    "encoded",
    "exponent",
    "keystream",
    "label",
    "masked",
    "msgpack",
    "pair_secret",
    "plan_hash",
    "public_key",
    "rings",
    "sealed",
    "signed",
    "statement",
    "to_bytes",
    "transcript",
    "x25519",
]


@cache
def exponent(bound: float) -> int:
    """A narrow word's unit is 2^-exponent."""
    if bound == 0:
        return 1000
    power = -1074  # of the smallest power of two that isn't below the bound
    while Fraction(2) ** power < Fraction(bound):
        power += 1
    return min(62 - power, 1000)


def rings(segments: Segments) -> list[int]:
    """The modulus of each word of a vector, and of its check word."""
    moduli = [WIDE if bound is None else NARROW for count, bound in segments for _ in range(count)]
    return [*moduli, WIDE] if moduli else []


def label(segments: Segments) -> str:
    """The segments as text."""
    runs: list[tuple[int, str]] = []
    for count, bound in segments:
        unit = "wide" if bound is None else str(exponent(bound))
        if runs and runs[-1][1] == unit:
            runs[-1] = runs[-1][0] + count, unit
        elif count:
            runs.append((count, unit))
    return ",".join(f"{count}@{unit}" for count, unit in runs)


def encode(number: float, bound: float | None = None) -> int:
    """A number's word. Raises ValueError if it has none."""
    if bound is None:
        if not abs(number) < 2.0**53:
            raise ValueError(f"{number} has no word")
        return round(Fraction(number) * (1 << 60)) % WIDE
    if not abs(number) <= bound * (1 + 2.0**-10):
        raise ValueError(f"{number} has no word")
    return round(Fraction(number) * Fraction(2) ** exponent(bound)) % NARROW


def encoded(numbers: Sequence[float], segments: Segments) -> list[int]:
    """A vector's words."""
    bounds = [bound for count, bound in segments for _ in range(count)]
    return [encode(number, bound) for number, bound in zip(numbers, bounds, strict=True)]


def signed(word: int, ring: int = WIDE) -> int:
    """A word as the signed integer it stands for, in its units."""
    return word - ring if 2 * word >= ring else word


def decode(word: int, bound: float | None = None) -> float:
    """The number of a word, as it is computed in binary64."""
    if bound is not None:
        return float(signed(word, NARROW)) / 2.0 ** exponent(bound)
    low = word % (1 << 64)
    low -= low >> 63 << 64
    high = ((signed(word) - low >> 64) + (1 << 63)) % (1 << 64) - (1 << 63)
    return float(high) * 2.0**4 + float(low) * 2.0**-60


def decoded(words: Sequence[int], segments: Segments) -> list[float]:
    """The numbers of a vector's words, of which the last is the check word."""
    bounds = [bound for count, bound in segments for _ in range(count)]
    return [decode(word, bound) for word, bound in zip(words[:-1], bounds, strict=True)]


def sealed(words: Sequence[int], segments: Segments, step: str) -> list[int]:
    """A vector's words with its check word; ``step`` is what masks are derived with."""
    key = hashlib.sha256(b"tangentmesh/v1/check\0" + step.encode()).digest()
    stream = Cipher(AES256(key), CTR(bytes(16))).encryptor().update(bytes(4 * len(words)))
    check = 0
    for i, (word, ring) in enumerate(zip(words, rings(segments)[:-1], strict=True)):
        factor = int.from_bytes(stream[4 * i : 4 * i + 4], "little") | 1
        check += factor * word * (WIDE // ring)
    return [*words, check % WIDE] if words else []


def to_bytes(words: Iterable[int], moduli: Iterable[int]) -> bytes:
    """Words as they travel."""
    pairs = zip(words, moduli, strict=True)
    return b"".join(word.to_bytes(_size(ring), "little") for word, ring in pairs)


def _size(ring: int) -> int:
    """How many bytes its words have."""
    return 8 if ring == NARROW else 16


def msgpack(value: object) -> bytes:
    """The canonical msgpack of texts, bytes, unsigned integers and sequences of them."""
    if isinstance(value, str):
        data = value.encode()
        return _sized(data, len(data), 0xA0, 32, (0xD9, 0xDA, 0xDB))
    if isinstance(value, bytes):
        return _sized(value, len(value), None, 0, (0xC4, 0xC5, 0xC6))
    if isinstance(value, int):
        return _unsigned(value)
    if isinstance(value, Sequence):
        body = b"".join(map(msgpack, value))
        return _sized(body, len(value), 0x90, 16, (None, 0xDC, 0xDD))
    raise TypeError(type(value).__name__)


def _sized(
    body: bytes, size: int, short: int | None, below: int, codes: tuple[int | None, int, int]
) -> bytes:
    if short is not None and size < below:
        return bytes([short | size]) + body
    for code, form, most in zip(codes, (">B", ">H", ">I"), (8, 16, 32), strict=True):
        if code is not None and size < 1 << most:
            return bytes([code]) + struct.pack(form, size) + body
    raise ValueError("too long")


def _unsigned(value: int) -> bytes:
    if value < 0x80:
        return bytes([value])
    for code, form, bits in ((0xCC, ">B", 8), (0xCD, ">H", 16), (0xCE, ">I", 32), (0xCF, ">Q", 64)):
        if value < 1 << bits:
            return bytes([code]) + struct.pack(form, value)
    raise ValueError("too large")


def plan_hash(plan: Mapping[str, Any]) -> bytes:
    """What binds a message to cohort, certificates, tree and spec; bytes in ``plan`` are hex."""
    facts = [
        plan["epoch"],
        plan["run"],
        _base64(plan["spec_hash"]),
        plan["root"],
        [
            [member["node"], member["address"], _base64(member["fingerprint"]), member["parent"]]
            for member in sorted(plan["members"], key=lambda member: member["node"].encode())
        ],
        sorted(sorted(edge) for edge in plan["edges"]),
        plan["created"],
    ]
    text = json.dumps(facts, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(b"tangentmesh/v1/plan\0" + text.encode()).digest()


def _base64(hexadecimal: str) -> str:
    return base64.b64encode(bytes.fromhex(hexadecimal)).decode()


def statement(purpose: str, context: Sequence[str | int | bytes], body: bytes) -> bytes:
    """What is signed for a purpose in a context."""
    return b"tangentmesh/v1/signed\0" + msgpack([purpose, context, body])


def x25519(private: bytes, point: bytes) -> bytes:
    """RFC 7748, section 5. The result is zero for a point of small order."""
    scalar = int.from_bytes(private, "little") & ~7 & ((1 << 254) - 1) | (1 << 254)
    x1 = int.from_bytes(point, "little") % (1 << 255)
    x2, z2, x3, z3, swap = 1, 0, x1, 1, 0
    for position in reversed(range(255)):
        bit = scalar >> position & 1
        if swap ^ bit:
            x2, x3, z2, z3 = x3, x2, z3, z2
        swap = bit
        a, b, c, d = x2 + z2, x2 - z2, x3 + z3, x3 - z3
        aa, bb, da, cb = a * a % PRIME, b * b % PRIME, d * a % PRIME, c * b % PRIME
        x3, z3 = (da + cb) ** 2 % PRIME, x1 * (da - cb) ** 2 % PRIME
        x2, z2 = aa * bb % PRIME, (aa - bb) * (aa + 121665 * (aa - bb)) % PRIME
    if swap:
        x2, z2 = x3, z3
    return (x2 * pow(z2, PRIME - 2, PRIME) % PRIME).to_bytes(32, "little")


def public_key(private: bytes) -> bytes:
    """The public half of an X25519 key."""
    return x25519(private, (9).to_bytes(32, "little"))


def pair_secret(
    shared: bytes, pair: tuple[str, str], publics: Mapping[str, bytes], epoch: int, plan_hash: bytes
) -> bytes:
    """What two nodes derive from their shared X25519 secret, in either order of the pair."""
    first, second = sorted(pair, key=str.encode)
    transcript = msgpack([first, second, publics[first], publics[second], epoch, plan_hash])
    key = hmac.digest(plan_hash, shared, "sha256")
    return _expand(key, b"tangentmesh/v1/pair\0" + transcript)


def step_key(secret: bytes, step: str) -> bytes:
    """The key of one pair's keystream in one step."""
    return _expand(secret, b"tangentmesh/v1/step\0" + step.encode())


def keystream(secret: bytes, step: str, moduli: Sequence[int]) -> list[int]:
    """The words of a mask."""
    encryptor = Cipher(AES256(step_key(secret, step)), CTR(bytes(16))).encryptor()
    return [int.from_bytes(encryptor.update(bytes(_size(ring))), "little") for ring in moduli]


def transcript(before: bytes, record: Mapping[str, Any]) -> bytes:
    """All that a node was told in a run, with one more step; bytes in ``record`` are hex."""
    told = [hashlib.sha256(bytes.fromhex(record[key])).digest() for key in ("payload", "decision")]
    keys = ("position", "step", "kind", "epoch", "cohort")
    facts = [*(record[key] for key in keys), *told]
    return hashlib.sha256(before + msgpack(facts)).digest()


def masked(
    node: str, words: Sequence[int], masks: Mapping[str, Sequence[int]], moduli: Sequence[int]
) -> list[int]:
    """What ``node`` sends: its words, with the masks that it shares with each peer."""
    sent = list(words)
    for peer, mask in masks.items():
        sign = 1 if node.encode() < peer.encode() else -1
        parts = zip(sent, mask, moduli, strict=True)
        sent = [(word + sign * part) % ring for word, part, ring in parts]
    return sent


def _expand(key: bytes, info: bytes) -> bytes:
    """HKDF-Expand (RFC 5869, section 2.3) to 32 bytes, one block of SHA-256."""
    return hmac.digest(key, info + b"\1", "sha256")

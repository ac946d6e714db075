"""The check word of a vector: it shows that a part is missing from a total, or that a word changed.

If a node's part is missing, masks don't cancel, and all words of the total are random. Nothing in
a narrow word's range would tell. So each node adds to its words one more, a linear function of
them; being linear, the total's check word must be the same function of the total's words. A random
total passes once in 2^128. A word that is altered is seen in any case, since coefficients are odd;
several that are altered pass once in about 2^31, unless somebody computes what fits: coefficients
are public. So a member can still change a total by as much as its own part could.

All is computed in Z_2^128, in which a narrow word w stands as 2^64 w: that is a homomorphism, and
w itself would not be.
"""

import hashlib

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import CTR

from edge_node.arrays import Vector
from edge_node.errors import NetworkError
from edge_node.network.wire.fixed_point import Limbs, from_bytes
from edge_node.network.wire.segments import CHECK_LIMBS, Segments

__all__ = ["read_total", "sealed", "step_label"]

_BLOCK = 1 << 13  # numbers
_RING = 1 << 128
_LIMB = 1 << 64
_ZEROS = bytes(4 * _BLOCK)
_HALF = np.uint64(32)
_LOW = np.uint64((1 << 32) - 1)


def step_label(sequence: int, step: str, transcript: bytes, segments: Segments) -> str:
    """What a sum's masks and coefficients are bound to.

    Nodes that were told different things before it, or scale differently, have different labels:
    their masks don't cancel.

    Args:
        sequence: the step's position in the run.
        step: its text.
        transcript: all that was told before it, as 32 bytes.
        segments: the words that are summed.
    """
    return f"{sequence}/{step}/{transcript.hex()}/{segments.label}"


def sealed(limbs: Limbs, segments: Segments, label: str) -> Limbs:
    """A copy of the words with their check word.

    Args:
        limbs: words as ``segments`` encodes them.
        segments: which words they are.
        label: the step's, to which coefficients are bound.
    """
    word = np.array(_check_limbs(limbs, segments, label), np.uint64)
    return np.concatenate([limbs[:-CHECK_LIMBS], word])


def read_total(payload: bytes, segments: Segments, label: str, nodes: int) -> Vector:
    """A total's numbers (k,), read-only.

    Args:
        payload: the words of all nodes, added up.
        segments: which words they are.
        label: the step's, as they gave it to ``sealed``.
        nodes: how many they are.

    Raises:
        NetworkError: it is no such total.
    """
    words = from_bytes(payload)
    if words[-CHECK_LIMBS:].tolist() != _check_limbs(words, segments, label):
        raise NetworkError(
            "the total is invalid: a node's part is missing from it, or was changed on the way",
            expected="words that fit their check word",
            found="others",
            remedy="Ask who operates the tree's inner nodes; no node's part can be read",
        )
    total = segments.decode(words, nodes)
    total.setflags(write=False)
    return total


def _check_limbs(limbs: Limbs, segments: Segments, label: str) -> list[int]:
    """Sum of the coefficients times the words, in the ring; of no words there is none."""
    coefficients, total = _Coefficients(label), 0
    for stretch in segments.stretches[:-1]:
        words, width = limbs[stretch.limbs], 2 if stretch.wide else 1
        for start in range(0, len(words), width * _BLOCK):
            block = words[start : start + width * _BLOCK]
            factors = coefficients.read(len(block) // width)
            if stretch.wide:
                total += _wide_product(factors, block[0::2], block[1::2])
            else:
                total += int(factors @ block) * _LIMB
    high, low = divmod(total % _RING, _LIMB)
    return [low, high] if segments.numbers else []


def _wide_product(factors: Limbs, low: Limbs, high: Limbs) -> int:
    """Sum of the factors, below 2^32, times wide words; modulo 2^128."""
    total = int(factors @ high) * _LIMB
    for place, half in ((0, low & _LOW), (32, low >> _HALF)):
        products = factors * half  # below 2^64
        total += int((products & _LOW).sum()) << place
        total += int((products >> _HALF).sum()) << place + 32
    return total


class _Coefficients:
    """Odd numbers below 2^32, one for each number of a vector: AES-256-CTR under the label's hash.

    They are public. That they look random keeps one altered word from making up for another.
    """

    def __init__(self, label: str) -> None:
        key = hashlib.sha256(b"tangentmesh/v1/check\0" + label.encode()).digest()
        self._encryptor = Cipher(AES256(key), CTR(bytes(16))).encryptor()

    def read(self, count: int) -> Limbs:
        """The next ``count``."""
        stream = self._encryptor.update(memoryview(_ZEROS)[: 4 * count])
        return np.frombuffer(stream, "<u4").astype(np.uint64) | np.uint64(1)

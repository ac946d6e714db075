"""Numbers as fixed point in the ring Z_2^128, where sums are exact and can be masked.

A word is two uint64 limbs, low and high, in two's complement; 60 bits are fractional. Integer
addition is associative, so a total is bit-identical whatever the tree. Nothing is clipped: what
does not fit is refused before it is sent.

A vector of k numbers is a uint64 array (k, 2); on the wire 16 bytes a word, little-endian, the low
limb first.
"""

from collections.abc import Iterator
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from edge_node.errors import NetworkError, NumericalError

__all__ = [
    "BOUND",
    "WORD_BYTES",
    "Words",
    "add",
    "check_total",
    "decode",
    "encode",
    "from_bytes",
    "to_bytes",
]

Words: TypeAlias = NDArray[np.uint64]

WORD_BYTES = 16

BOUND = 2.0**53
"""Values must be smaller in absolute value: LARGEST_COHORT = 2^14 of them stay below 2^67, where
the ring ends."""

_UNITS = 2.0**60  # in one; a product with a power of two is exact
_LIMB = 2.0**64
_BLOCK = 1 << 13  # numbers
_WIRE = np.dtype("<u8")


def encode(vector: NDArray[np.float64]) -> Words:
    """The nearest fixed-point words (k, 2) to k numbers; exact for multiples of 2^-60.

    Raises:
        NumericalError: a value is NaN, infinite, or not below ``BOUND`` in absolute value.
    """
    unfit = ~(np.abs(vector) < BOUND)
    if unfit.any():
        first = int(np.argmax(unfit))
        raise NumericalError(
            "a value can't be summed",
            where=f"position {first} of {len(vector)}",
            expected="a finite number below 2^53 in absolute value",
            found="a larger one" if np.isfinite(vector[first]) else "no finite number",
            remedy="Look for extreme values in the data file; nothing was sent",
        )
    words = np.empty((len(vector), 2), dtype=np.uint64)
    for block in _blocks(len(vector)):
        _encode(vector[block], words[block])
    return words


def decode(words: Words) -> NDArray[np.float64]:
    """The numbers (k,) that words stand for, to one unit in the last place."""
    vector = np.empty(len(words))
    for block in _blocks(len(words)):
        _decode(words[block], vector[block])
    return vector


def check_total(total: NDArray[np.float64], nodes: int) -> None:
    """Check that a decoded total (k,) can be one of as many nodes' vectors.

    If a node's part is missing or was changed, the masks don't cancel, and the words are random in
    the ring. Each word then passes with a probability of ``nodes`` / 2^14: ten numbers from five
    nodes pass once in 10^35.

    Raises:
        NetworkError: a number is larger than that many nodes can have given.
    """
    if (np.abs(total) >= nodes * BOUND).any():
        raise NetworkError(
            "the total is invalid: a node's part is missing from it, or was changed on the way",
            expected=f"numbers that {nodes} nodes can give",
            found="numbers as random as masks",
            remedy="Ask who operates the tree's inner nodes; no node's part can be read",
        )


def add(a: Words, b: Words) -> Words:
    """The sum in the ring, word by word."""
    total = a + b
    total[:, 1] += total[:, 0] < a[:, 0]  # the carry
    return total


def to_bytes(words: Words) -> bytes:
    """Words as they travel: 16 bytes each."""
    return words.astype(_WIRE, copy=False).tobytes()


def from_bytes(content: bytes) -> Words:
    """The inverse of ``to_bytes``. Raises NetworkError for a length that no vector has."""
    if len(content) % WORD_BYTES:
        raise NetworkError(
            "not a vector of fixed-point words",
            expected=f"a multiple of {WORD_BYTES} bytes",
            found=f"{len(content)} bytes",
        )
    return np.frombuffer(content, dtype=_WIRE).astype(np.uint64, copy=False).reshape(-1, 2)


def _blocks(length: int) -> Iterator[slice]:
    """Pieces of a vector that stay in the processor's cache while they are worked on."""
    return (slice(start, start + _BLOCK) for start in range(0, length, _BLOCK))


def _encode(values: NDArray[np.float64], words: Words) -> None:
    """Split each scaled integer into signed halves; a negative low half borrows from the high."""
    scaled = np.rint(values * _UNITS)  # an integer below 2^113 in absolute value, exact
    high = np.rint(scaled / _LIMB)
    low = scaled - high * _LIMB  # exact: what is left has fewer digits
    if (ends := low == _LIMB / 2).any():  # a tie, rounded down: 2^63 fits no signed limb
        high[ends] += 1
        low[ends] -= _LIMB
    limbs = words.view(np.int64)
    limbs[:, 0] = low
    limbs[:, 1] = high - (low < 0)


def _decode(words: Words, values: NDArray[np.float64]) -> None:
    """Join the halves as signed numbers: without its sign, a low half would lose the digits of
    numbers next to zero.
    """
    limbs = words.view(np.int64)
    low, high = limbs[:, 0], limbs[:, 1]
    np.multiply(high + (low < 0), _LIMB / _UNITS, out=values)
    values += low / _UNITS

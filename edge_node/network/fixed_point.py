"""Numbers as fixed point in the ring Z_2^128, where sums are exact and can be masked.

A word is two uint64 limbs, low and high, in two's complement; 60 bits are fractional. Integer
addition is associative, so a total is bit-identical whatever the tree. Nothing is clipped: what
does not fit is refused before it is sent.

A vector of k numbers is a uint64 array (k, 2); on the wire 16 bytes a word, little-endian, the low
limb first.
"""

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
FRACTION_BITS = 60

BOUND = 2.0**56
"""Values must be smaller in absolute value: 2^11 of them can't reach the ring's end at 2^67."""

_LIMB = 2.0**64
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
            expected="a finite number below 2^56 in absolute value",
            found=repr(float(vector[first])),
            remedy="Look for extreme values in the data file; nothing was sent",
        )
    scaled = np.rint(np.ldexp(np.abs(vector), FRACTION_BITS))  # an integer below 2^116, exact
    high = np.floor(scaled / _LIMB)
    words = np.empty((len(vector), 2), dtype=np.uint64)
    words[:, 0] = (scaled - high * _LIMB).astype(np.uint64)
    words[:, 1] = high.astype(np.uint64)
    negative = np.signbit(vector)
    words[negative] = negate(words[negative])
    return words


def decode(words: Words) -> NDArray[np.float64]:
    """The numbers (k,) that words stand for, to one unit in the last place.

    The magnitude is decoded, then the sign: next to zero, two's complement would lose all digits.
    """
    negative = words[:, 1] >> np.uint64(63) == 1
    magnitude = words.copy()
    magnitude[negative] = negate(words[negative])
    value = magnitude[:, 1].astype(np.float64) * _LIMB + magnitude[:, 0].astype(np.float64)
    return np.ldexp(np.where(negative, -value, value), -FRACTION_BITS)


def check_total(total: NDArray[np.float64], nodes: int) -> None:
    """Check that a decoded total (k,) can be one of as many nodes' vectors.

    Masks that don't cancel, because somebody's part is missing or was changed, leave words that
    are random in the ring: each passes with a probability of ``nodes`` / 2^11, so a vector of ten
    numbers from five nodes does so once in 10^26.

    Raises:
        NetworkError: a number is larger than that many nodes can have given.
    """
    if (np.abs(total) >= nodes * BOUND).any():
        raise NetworkError(
            "the total is none: somebody's part is missing from it, or was changed on the way",
            expected=f"numbers that {nodes} nodes can give",
            found="numbers as random as masks",
            remedy="Ask who operates the tree's inner nodes; nothing of anybody's can be read",
        )


def add(a: Words, b: Words) -> Words:
    """The sum in the ring, word by word."""
    total = a + b
    total[:, 1] += total[:, 0] < a[:, 0]  # the carry
    return total


def negate(words: Words) -> Words:
    """The additive inverse, word by word."""
    inverse = ~words
    inverse[:, 0] += np.uint64(1)
    inverse[:, 1] += inverse[:, 0] == 0
    return inverse


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

"""Numbers as fixed point in a ring, where sums are exact and can be masked.

Two kinds of words. A *narrow* one is an integer modulo 2^64, in units of a power of two that is
chosen from a bound on the total. A *wide* one is an integer modulo 2^128, of which 60 bits are
fractional, for numbers of whose total no bound is known. Both are in two's complement. Integer
addition is associative, so a total is bit-identical whatever the tree.

The arithmetic only, on arrays of *limbs* (uint64): a narrow word is one limb, a wide one two, the
low one first. `segments` says which words a vector takes.
"""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from edge_node.arrays import Vector
from edge_node.errors import NetworkError

__all__ = [
    "BOUND",
    "LIMB_BYTES",
    "Limbs",
    "carry",
    "decode_narrow",
    "decode_wide",
    "encode_narrow",
    "encode_wide",
    "from_bytes",
    "to_bytes",
]

Limbs: TypeAlias = NDArray[np.uint64]

LIMB_BYTES = 8

BOUND = 2.0**53
"""Wide values must be smaller in absolute value: LARGEST_COHORT = 2^14 of them stay below 2^67,
where the ring ends."""

_UNITS = 2.0**60  # in one, of a wide word; a product with a power of two is exact
_LIMB = 2.0**64
_BLOCK = 1 << 13  # numbers that stay in the processor's cache while they are worked on
_WIRE = np.dtype("<u8")


def encode_narrow(values: Vector, units: Vector, limbs: Limbs) -> None:
    """Write the nearest integers to ``values`` (k,) times ``units`` (k,) into ``limbs`` (k,).

    The products must be below 2^63 in absolute value.
    """
    integers = limbs.view(np.int64)
    scaled = np.empty(min(len(values), _BLOCK))
    for start in range(0, len(values), _BLOCK):
        block = slice(start, start + _BLOCK)
        part = scaled[: len(values[block])]
        np.multiply(values[block], units[block], out=part)
        integers[block] = np.rint(part, out=part)


def decode_narrow(limbs: Limbs, units: Vector, values: Vector) -> None:
    """The inverse of ``encode_narrow``, to one unit in the last place."""
    np.divide(limbs.view(np.int64), units, out=values)


def encode_wide(values: Vector, limbs: Limbs) -> None:
    """Write ``values`` (k,), below ``BOUND`` in absolute value, into ``limbs`` (2 k,).

    Multiples of 2^-60 are exact. A scaled integer is split into signed halves; a negative low half
    borrows from the high one.
    """
    halves = limbs.view(np.int64).reshape(-1, 2)
    for start in range(0, len(values), _BLOCK):
        block = slice(start, start + _BLOCK)
        scaled = np.rint(values[block] * _UNITS)  # below 2^113 in absolute value, exact
        high = np.rint(scaled / _LIMB)
        low = scaled - high * _LIMB  # exact: what is left has fewer digits
        if (ends := low == _LIMB / 2).any():  # a tie, rounded down: 2^63 fits no signed limb
            high[ends] += 1
            low[ends] -= _LIMB
        halves[block, 0] = low
        halves[block, 1] = high - (low < 0)


def decode_wide(limbs: Limbs, values: Vector) -> None:
    """The inverse of ``encode_wide``, to one unit in the last place.

    The halves are joined as signed numbers: without its sign, a low half would lose the digits of
    numbers next to zero.
    """
    halves = limbs.view(np.int64).reshape(-1, 2)
    low, high = halves[:, 0], halves[:, 1]
    np.multiply(high + (low < 0), _LIMB / _UNITS, out=values)
    values += low / _UNITS


def carry(total: Limbs, added: Limbs) -> None:
    """After ``total += added``, limb by limb, carry from low limbs to high ones: wide words."""
    total[1::2] += total[0::2] < added[0::2]


def to_bytes(limbs: Limbs) -> bytes:
    """Limbs as they travel: 8 bytes each, little-endian."""
    return limbs.astype(_WIRE, copy=False).tobytes()


def from_bytes(content: bytes) -> Limbs:
    """The inverse of ``to_bytes``. Raises NetworkError for a length that no limbs have."""
    if len(content) % LIMB_BYTES:
        raise NetworkError(
            "not a vector of fixed-point words",
            expected=f"a multiple of {LIMB_BYTES} bytes",
            found=f"{len(content)} bytes",
        )
    return np.frombuffer(content, dtype=_WIRE).astype(np.uint64, copy=False)

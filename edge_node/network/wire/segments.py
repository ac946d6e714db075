"""Which words a vector takes: narrow ones where a bound on the total is known, wide ones elsewhere.

A bound comes from totals that all nodes share, so all take the same words, and what they take is
part of what masks are derived from (`label`). Nothing is clipped: what doesn't fit is refused
before it is sent.

On the wire a vector of k numbers is its words in order, and then one wide word: the *check word*
(`check_word`). A vector without numbers has none.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from typing import Self

import numpy as np
from numpy.typing import NDArray

from edge_node.arrays import Vector
from edge_node.errors import NetworkError, NumericalError
from edge_node.network.wire.fixed_point import (
    BOUND,
    LIMB_BYTES,
    Limbs,
    carry,
    decode_narrow,
    decode_wide,
    encode_narrow,
    encode_wide,
)

__all__ = ["CHECK_LIMBS", "Segment", "Segments", "Stretch"]

CHECK_LIMBS = 2
"""Limbs of the check word."""

_BITS = 62  # of a bound in units: another bit is for what rounding adds, and one for the sign
_SLACK = 1 + 2.0**-10  # a bound may come from a total, and is then rounded like one
_FINEST = 1000  # the largest exponent: a factor of 2^1000 is still a number


@dataclass(frozen=True)
class Segment:
    """Numbers, one after the other, that share a scale.

    Attributes:
        count: how many.
        exponent: a unit of their narrow words is 2^-exponent; None: they have wide words.
        limit: the largest absolute value that one node may give, and their total have.
    """

    count: int
    exponent: int | None
    limit: float

    @classmethod
    def of(cls, count: int, bound: float | None) -> Self:
        """The segment of numbers whose total's absolute value is at most ``bound``; None: unknown.

        The unit is 2^-62 of the smallest power of two that the bound doesn't exceed.

        Raises:
            ValueError: no such count, or bound.
        """
        if count < 0 or (bound is not None and not 0 <= bound < math.inf):
            raise ValueError(f"no segment has {count} numbers with totals up to {bound}")
        if bound is None:
            return cls(count, None, math.nextafter(BOUND, 0))
        mantissa, power = math.frexp(bound)
        exponent = _BITS - (power - 1 if mantissa == 1 / 2 else power)
        return cls(count, min(exponent, _FINEST) if bound else _FINEST, bound * _SLACK)


@dataclass(frozen=True)
class Stretch:
    """Neighbouring segments with words of one width.

    Attributes:
        wide: whether their words are.
        numbers: where in the vector they are.
        limbs: where their words are.
    """

    wide: bool
    numbers: slice
    limbs: slice


class Segments:
    """The words of a vector.

    Args:
        parts: its segments, in order.
    """

    def __init__(self, parts: Iterable[Segment]) -> None:
        self.parts = tuple(part for part in parts if part.count)

    @classmethod
    def of(cls, length: int, bounds: Sequence[tuple[int, float | None]] | None = None) -> Self:
        """The words of a vector of ``length`` numbers.

        Args:
            length: k.
            bounds: how many numbers, and the bound on the absolute value of their total, again and
                again; without them no bound is known.

        Raises:
            ValueError: the bounds are for another number of numbers, or there is no such bound.
        """
        made = cls(Segment.of(*each) for each in bounds or [(length, None)])
        if made.numbers != length:
            raise ValueError(f"bounds for {made.numbers} numbers, and there are {length}")
        return made

    @cached_property
    def numbers(self) -> int:
        """How many numbers the vector has, k."""
        return sum(part.count for part in self.parts)

    @cached_property
    def limbs(self) -> int:
        """How many limbs the words have, with the check word."""
        return sum(length for length, _ in self.runs)

    @property
    def bytes(self) -> int:
        """How many bytes the words have on the wire."""
        return LIMB_BYTES * self.limbs

    @cached_property
    def label(self) -> str:
        """The segments as text, equal for equal words: ``36@44,12@wide``."""
        kinds = groupby(self.parts, lambda part: part.exponent)
        counts = ((kind, sum(part.count for part in parts)) for kind, parts in kinds)
        return ",".join(f"{n}@{'wide' if kind is None else kind}" for kind, n in counts)

    @property
    def runs(self) -> tuple[tuple[int, bool], ...]:
        """How many limbs have words of one width, and whether that is wide; in order."""
        return tuple((each.limbs.stop - each.limbs.start, each.wide) for each in self.stretches)

    @cached_property
    def stretches(self) -> tuple[Stretch, ...]:
        """All words by width, the check word last."""
        return tuple(self._stretches())

    def encode(self, vector: Vector) -> Limbs:
        """The words of a vector (k,), with an empty check word.

        Raises:
            NumericalError: a value is NaN, infinite, or larger than its segment's limit.
        """
        self._check_values(vector)
        limbs = np.zeros(self.limbs, np.uint64)
        for stretch in self.stretches[:-1]:
            values, words = vector[stretch.numbers], limbs[stretch.limbs]
            if stretch.wide:
                encode_wide(values, words)
            else:
                encode_narrow(values, self._units[stretch.numbers], words)
        return limbs

    def add(self, a: Limbs, b: Limbs) -> Limbs:
        """The sum in the ring, word by word."""
        total = a.copy()
        self.add_to(total, b)
        return total

    def add_to(self, total: Limbs, b: Limbs) -> None:
        """Add ``b`` to a total, in its place."""
        total += b
        for stretch in self.stretches:
            if stretch.wide:
                carry(total[stretch.limbs], b[stretch.limbs])

    def decode(self, limbs: Limbs, nodes: int) -> Vector:
        """The numbers (k,) of a total over as many nodes.

        Raises:
            NetworkError: a number is larger than it can be.
        """
        total = np.empty(self.numbers)
        for stretch in self.stretches[:-1]:
            words, values = limbs[stretch.limbs], total[stretch.numbers]
            if stretch.wide:
                decode_wide(words, values)
            else:
                decode_narrow(words, self._units[stretch.numbers], values)
        self._check_total(total, nodes)
        return total

    @cached_property
    def _units(self) -> Vector:
        """How many units each number has in one; wide ones have a one here."""
        exponents = [part.exponent or 0 for part in self.parts]
        return np.repeat(np.exp2(exponents), [part.count for part in self.parts])

    @cached_property
    def _limits(self) -> Vector:
        """The limit of each number's segment."""
        limits = np.array([part.limit for part in self.parts], float)
        return np.repeat(limits, [part.count for part in self.parts])

    def _stretches(self) -> Iterator[Stretch]:
        number = limb = 0
        for wide, parts in groupby(self.parts, lambda part: part.exponent is None):
            count = sum(part.count for part in parts)
            length = 2 * count if wide else count
            yield Stretch(wide, slice(number, number + count), slice(limb, limb + length))
            number, limb = number + count, limb + length
        if number:
            yield Stretch(True, slice(number, number), slice(limb, limb + CHECK_LIMBS))

    def _check_values(self, vector: Vector) -> None:
        unfit: NDArray[np.bool_] = ~(np.abs(vector) <= self._limits)
        if unfit.any():
            first = int(np.argmax(unfit))
            raise NumericalError(
                "a value can't be summed",
                where=f"position {first} of {len(vector)}",
                expected=f"a finite number up to {self._limits[first]:.4g} in absolute value",
                found="a larger one" if np.isfinite(vector[first]) else "no finite number",
                remedy="Look for extreme values in the data file; nothing was sent",
            )

    def _check_total(self, total: Vector, nodes: int) -> None:
        """Narrow totals stay within their bounds, but for rounding; wide ones within what the nodes
        may give.
        """
        for stretch in self.stretches[:-1]:
            limits, units = self._limits[stretch.numbers], self._units[stretch.numbers]
            most = nodes * limits if stretch.wide else limits + nodes / 2 / units
            if (np.abs(total[stretch.numbers]) > most).any():
                raise NetworkError(
                    "the total is invalid: its numbers are larger than they can be",
                    expected=f"what {nodes} nodes can give, within the bounds that are known",
                    found="a larger number",
                    remedy="Run the same version at all nodes; if they do, one of them has given"
                    " what no rows give",
                )

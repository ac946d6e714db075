"""Messages as arrays over slots, and what the engine asks of a family of factors.

Slot (f, l) of a family is the l-th variable of factor f. A family answers for all its factors at
once: from an array of what the variables send, an array of what they are told (`respond`). All
inverses are of precisions alone (`Gains`), so they are taken once where only shifts change.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, Self, TypeAlias

import numpy as np

from edge_node.arrays import Matrix
from edge_node.inference.messages.canonical import Canonical
from edge_node.inference.messages.gaussian import Gaussian
from edge_node.inference.messages.propagation.solution import Mask, Slots

__all__ = ["Factors", "Gains", "Inbox", "Messages", "respond"]


@dataclass(frozen=True)
class Messages(Canonical):
    """An array of Gaussians in canonical form: of a family's slots, or of the variables.

    Attributes:
        precision: (F, a, d, d), or (n, d, d).
        shift: (F, a, d, q), or (n, d, q): q columns share a precision.
    """

    @classmethod
    def flat(cls, places: tuple[int, ...], dimension: int, columns: int) -> Self:
        """Messages that say nothing, at an array of places."""
        return cls(
            np.zeros((*places, dimension, dimension)), np.zeros((*places, dimension, columns))
        )

    @classmethod
    def of(cls, gaussians: Sequence[Gaussian]) -> Self:
        """What nodes of a federation say, as an array (n,)."""
        shifts = [each.shift.reshape(each.size, -1) for each in gaussians]
        return cls(np.stack([each.precision for each in gaussians]), np.stack(shifts))

    def __getitem__(self, index: Slots | Mask | slice | tuple[Slots, ...]) -> Self:
        """Those at some places."""
        return type(self)(self.precision[index], self.shift[index])

    def replaced(self, by: Self, where: Mask) -> Self:
        """With those of ``by`` at some places; ``where`` has the places' shape."""
        mask = where[..., None, None]
        precision = np.where(mask, by.precision, self.precision)
        return type(self)(precision, np.where(mask, by.shift, self.shift))

    def parts(self, numbers: int) -> Iterator[slice]:
        """Slices of the first axis with about so many numbers each, at least one place."""
        places = len(self.shift)
        each = (self.precision.size + self.shift.size) // max(places, 1)
        step = max(numbers // max(each, 1), 1)
        return (slice(start, start + step) for start in range(0, places, step))

    def gaussian(self, *place: int) -> Gaussian:
        """The one at a place, its shift (d, q)."""
        return Gaussian(self.precision[place], self.shift[place])

    @property
    def finite(self) -> bool:
        """Whether all parameters are."""
        return bool(np.isfinite(self.precision).all() and np.isfinite(self.shift).all())


class Gains(Protocol):
    """What a family answers at given precisions of its variables' cavities."""

    @property
    def precision(self) -> Matrix:
        """The answers' (F, a, d, d)."""

    def shift(self, incoming: Matrix) -> Matrix:
        """The answers' (F, a, d, q) to the cavities' shifts (F, a, d, q): linear, but for z."""


class Factors(Protocol):
    """A family of F factors, each over a variables: all that the engine knows of them."""

    @property
    def scope(self) -> Slots:
        """Each factor's variables, int (F, a); -1: the slot is empty."""

    @property
    def copies(self) -> bool:
        """Whether a factor says that its variables are equal, and has no share of A."""

    def check(self) -> None:
        """Raises NumericalError: a parameter is not finite, or a slot empty that mustn't be."""

    def gains(self, precision: Matrix) -> Gains:
        """What factors answer to cavities of these precisions (F, a, d, d)."""

    def apply(self, x: Matrix) -> Matrix:
        """The family's share of A x, for x (n, d, q)."""

    def shift(self, size: int) -> Matrix:
        """The family's share of h, (n, d, q) or (n, d, 1) for n = ``size``."""

    def take(self, index: Slots | slice) -> Self:
        """Some of the factors, as a family."""


def respond(family: Factors, incoming: Messages) -> Messages:
    """Each factor's message to each of its variables, from what these send it (F, a).

    Raises:
        PropagationError: something to be inverted is singular.
    """
    gains = family.gains(incoming.precision)
    return Messages(gains.precision, gains.shift(incoming.shift))


Inbox: TypeAlias = tuple[Messages, ...]
"""One message a slot, family by family."""

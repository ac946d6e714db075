"""The algebra of Gaussian messages: a product adds parameters, a quotient subtracts them.

A Gaussian in canonical form is exp(-1/2 u' Lambda u + eta' u). A product of two is the sum of their
parameters, and the cavity, a belief without one message's share in it, their difference. What a
federation sums (`gaussian.Gaussian`) and what graphs pass along their edges
(`propagation.messages.Messages`) are both this.

Reference: Koller & Friedman 2009, section 14.2.1 (canonical forms).
"""

from dataclasses import dataclass
from typing import Self

from edge_node.arrays import Matrix, Vector

__all__ = ["Canonical"]


@dataclass(frozen=True)
class Canonical:
    """Precision and shift of one Gaussian, or of an array of them.

    Attributes:
        precision: Lambda, symmetric in its last two axes.
        shift: eta.
    """

    precision: Matrix
    shift: Vector

    def __mul__(self, other: Self) -> Self:
        """The product: parameters add."""
        return type(self)(self.precision + other.precision, self.shift + other.shift)

    def __truediv__(self, other: Self) -> Self:
        """The quotient, what is left without the ``other``'s share: parameters subtract."""
        return type(self)(self.precision - other.precision, self.shift - other.shift)

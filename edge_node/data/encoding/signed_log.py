"""The signed logarithm, by which a heavy-tailed column enters.

One value of a thousand deviations leaves all others within a thousandth of the range. The inverse
hyperbolic sine is linear near its centre and logarithmic far from it, for both signs, and defined
at zero (Burbidge, Magee & Robb 1988).
"""

import msgspec
import numpy as np

from edge_node.arrays import Vector

__all__ = ["SignedLog"]


class SignedLog(msgspec.Struct, frozen=True):
    """asinh((x - centre) / unit).

    Attributes:
        centre: where it is linear, in the column's unit.
        unit: the distance from there at which it begins to be a logarithm, in the column's unit.
    """

    centre: float
    unit: float

    def __call__(self, values: Vector) -> Vector:
        """Of values (n,); NaN, a missing one, stays NaN."""
        with np.errstate(over="ignore"):
            logs: Vector = np.arcsinh((values - self.centre) / self.unit)
        return logs

"""Names for arrays, and rounding that makes results the same however rows are split over nodes.

A leaf: `data`, `inference` and `network` stand on it without knowing each other.
"""

from collections.abc import Iterable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["Matrix", "Rows", "Vector", "round_absolute", "round_significant"]

Vector: TypeAlias = NDArray[np.float64]
Matrix: TypeAlias = NDArray[np.float64]

Rows: TypeAlias = Iterable[tuple[Matrix, Vector]]
"""Chunks (X (n, d) encoded inputs, y (n,) targets). Iterable more than once, each time in the same
order; a chunk is small enough to fit in memory whatever the number of rows."""


def round_absolute(values: NDArray[np.float64], bits: int = 32) -> NDArray[np.float64]:
    """Each value, rounded to a multiple of 2^-bits.

    For values of the order of one that may have cancelled to next to nothing, such as means and
    covariances.
    """
    rounded: NDArray[np.float64] = np.ldexp(np.rint(np.ldexp(values, bits)), -bits)
    return rounded + 0.0  # no negative zero


def round_significant(values: NDArray[np.float64], bits: int = 32) -> NDArray[np.float64]:
    """Each value, rounded to ``bits`` significant binary digits.

    Sums over other partitions of the same rows differ in their last places. Means, scales and
    landmarks are rounded far above that, and so are equal but for rare ties.
    """
    mantissa, exponent = np.frexp(values)
    rounded: NDArray[np.float64] = np.ldexp(np.rint(np.ldexp(mantissa, bits)), exponent - bits)
    return rounded

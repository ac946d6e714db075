"""Rounding of model parts, so that two ways of summing the same rows give the same part."""

import numpy as np
from numpy.typing import NDArray

__all__ = ["round_absolute", "round_significant"]


def round_absolute(values: NDArray[np.float64], bits: int = 32) -> NDArray[np.float64]:
    """Each value, rounded to a multiple of 2^-bits: for values of the order of one that may have
    cancelled to next to nothing, such as means and covariances.
    """
    rounded: NDArray[np.float64] = np.ldexp(np.rint(np.ldexp(values, bits)), -bits)
    return rounded + 0.0  # no negative zero


def round_significant(values: NDArray[np.float64], bits: int = 32) -> NDArray[np.float64]:
    """Each value, rounded to ``bits`` significant binary digits.

    Sums over other partitions of the same rows differ in their last places; means, scales and
    landmarks made of them are rounded far above that, and so are equal but for rare ties.
    """
    mantissa, exponent = np.frexp(values)
    rounded: NDArray[np.float64] = np.ldexp(np.rint(np.ldexp(mantissa, bits)), exponent - bits)
    return rounded

"""The names of arrays and of a stream of rows, as the mathematics sees them."""

from collections.abc import Iterable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["Matrix", "Rows", "Vector"]

Vector: TypeAlias = NDArray[np.float64]
Matrix: TypeAlias = NDArray[np.float64]

Rows: TypeAlias = Iterable[tuple[Matrix, Vector]]
"""Chunks (X (n, d) encoded inputs, y (n,) targets). Iterable more than once, each time in the same
order; a chunk is small enough to fit in memory whatever the number of rows."""

"""Hashes of rows: the same wherever a row lies, and one for all its duplicates."""

import numpy as np
from numpy.typing import NDArray

from edge_node.arrays import Matrix, round_absolute

__all__ = ["row_hashes"]

_BITS = 20


def row_hashes(X: Matrix, salt: int = 0) -> NDArray[np.uint64]:
    """A hash (n,) of each row of X (n, d); another ``salt`` gives unrelated ones.

    Multiply and xor-shift over the bits of its numbers (the finaliser of MurmurHash3). Numbers are
    rounded to six digits first: a column in another unit differs in the last digits only, and
    must give the same hashes.
    """
    state = np.full(len(X), X.shape[1] + (salt << 32), dtype=np.uint64)
    for column in round_absolute(np.ascontiguousarray(X.T), _BITS).view(np.uint64):
        state ^= column
        for factor in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
            state ^= state >> np.uint64(33)
            state *= np.uint64(factor)
        state ^= state >> np.uint64(33)
    return state

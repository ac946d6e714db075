"""Which rows are copies of others, in one pass and constant memory.

Copies of a row say nothing new: a sum over them has as few unknowns as a sum over one. So what
totals may say, and which groups of rows are large enough for a sum, is measured in distinct rows.
"""

import hashlib

import numpy as np
from numpy.typing import NDArray

from edge_node.data.sources.source import Batch

__all__ = ["DistinctRows", "FirstCopies", "batch_hashes"]

_BITS = 26  # of a place in the bitmap, which has 8 MiB
_MISSING = 0x9E3779B97F4A7C15


class FirstCopies:
    """Which of the hashes that stream by have not come before.

    Every hash sets a bit. Two may share a bit, so a few that are new count as copies: of a thousand
    rows, one in a hundred times; of a million, 7,400.
    """

    def __init__(self) -> None:
        self._bitmap = np.zeros(1 << (_BITS - 3), dtype=np.uint8)

    def add(self, hashes: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Which of the hashes (n,) are new."""
        places, first = np.unique(hashes >> np.uint64(64 - _BITS), return_index=True)
        bits = np.left_shift(np.uint8(1), (places & np.uint64(7)).astype(np.uint8))
        cells = (places >> np.uint64(3)).astype(np.intp)
        new = np.zeros(len(hashes), dtype=bool)
        new[first] = (self._bitmap[cells] & bits) == 0
        np.bitwise_or.at(self._bitmap, cells, bits)
        return new


class DistinctRows:
    """Counts distinct inputs of rows that stream by, the target left out.

    Attributes:
        count: at least how many of the rows are distinct.
    """

    def __init__(self) -> None:
        self._copies = FirstCopies()
        self.count = 0

    def add(self, batch: Batch) -> NDArray[np.bool_]:
        """Take some rows into account: which of them (n,) are copies of none before."""
        first = self._copies.add(batch_hashes(batch))
        self.count += int(np.count_nonzero(first))
        return first


def batch_hashes(batch: Batch, *, with_target: bool = False) -> NDArray[np.uint64]:
    """A hash (n,) of each row's inputs, or of these and its target: one for all its copies.

    Multiply and xor-shift (the finaliser of MurmurHash3) over the bits of numbers, and over a hash
    of each label.
    """
    state = np.zeros(len(batch), dtype=np.uint64)
    numbers = np.where(np.isnan(batch.numeric), np.nan, batch.numeric + 0.0)  # one NaN, one zero
    for column in np.ascontiguousarray(numbers.T).view(np.uint64):
        state = _mixed(state, column)
    for labels in batch.categorical.T:
        known = {label: _label_hash(label) for label in set(labels.tolist())}
        column = np.array([known[label] for label in labels.tolist()], dtype=np.uint64)
        state = _mixed(state, column)
    if with_target and batch.target is not None:
        state = _mixed(state, np.ascontiguousarray(batch.target + 0.0).view(np.uint64))
    return state


def _mixed(state: NDArray[np.uint64], column: NDArray[np.uint64]) -> NDArray[np.uint64]:
    state = (state + np.uint64(_MISSING)) ^ column
    for factor in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
        state ^= state >> np.uint64(33)
        state *= np.uint64(factor)
    return state ^ (state >> np.uint64(33))


def _label_hash(label: str | None) -> int:
    if label is None:
        return _MISSING
    return int.from_bytes(hashlib.blake2b(label.encode(), digest_size=8).digest(), "big")

"""How many different rows a source has, in one pass and constant memory.

Copies of a row say nothing new: a sum over them has as few unknowns as a sum over one. So what
totals may say is measured in distinct rows.
"""

import hashlib

import numpy as np
from numpy.typing import NDArray

from edge_node.config import DataSpec, FederationSpec, Floors, SitePolicy
from edge_node.data.sources.rare_classes import without_rare_classes
from edge_node.data.sources.source import Batch, Source

__all__ = ["DistinctRows", "distinct_rows", "distinct_rows_given"]

_BITS = 26  # of a place in the bitmap, which has 8 MiB
_MISSING = 0x9E3779B97F4A7C15


class DistinctRows:
    """Counts distinct inputs of rows that stream by, the target left out.

    Every row sets the bit of its hash. Two rows may share a bit, so the bits that are set are a
    lower bound: of a thousand distinct rows it misses one in a hundred times, of a million 7,400.
    """

    def __init__(self) -> None:
        self._bitmap = np.zeros(1 << (_BITS - 3), dtype=np.uint8)

    def add(self, batch: Batch) -> None:
        """Take some rows into account."""
        places = _hashes(batch) >> np.uint64(64 - _BITS)
        bits = np.left_shift(np.uint8(1), (places & np.uint64(7)).astype(np.uint8))
        np.bitwise_or.at(self._bitmap, (places >> np.uint64(3)).astype(np.intp), bits)

    @property
    def count(self) -> int:
        """At least how many of the rows are distinct."""
        return int(np.bitwise_count(self._bitmap).sum(dtype=np.int64))


def distinct_rows(source: Source, data: DataSpec) -> int:
    """At least how many distinct rows a source has, as `data` describes them.

    Raises:
        DataError: the source can't be read any more.
    """
    rows = DistinctRows()
    for batch in source.batches():
        rows.add(batch)
    return rows.count


def distinct_rows_given(source: Source, spec: FederationSpec, policy: SitePolicy) -> int:
    """At least how many distinct rows a site takes part with: what it signs, and what it counts.

    Raises:
        DataError: the source can't be read any more.
    """
    fewest = Floors.of(spec, policy).category
    return distinct_rows(without_rare_classes(source, spec.data, fewest), spec.data)


def _hashes(batch: Batch) -> NDArray[np.uint64]:
    """A hash (n,) of each row's inputs: one for all its copies.

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

"""Shares of the rows that have no row in common, by a hash of the row.

Each time that landmarks are moved, a new share of the rows is summed. If the same rows were summed
twice, the difference of two totals could be a single row: one whose nearest landmark has changed.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from edge_node.arrays import Matrix, Rows, Vector
from edge_node.inference.numerics.hashing import row_hashes

__all__ = ["DisjointSubset"]

_SALT = 1  # shares have nothing to do with other uses of the hash
_PARTS = 16
"""One part is in no share: the sum over all rows less the shares' sums is a sum over that part, so
it must hold enough rows, too."""


@dataclass(frozen=True)
class DisjointSubset:
    """The rows of one share: the same wherever they lie, and all duplicates of them.

    Each share has twice as many rows as the one before it; a sixteenth of all rows is in none.

    Attributes:
        rows: chunks (X, y) of all.
        share: 0 to shares - 1.
        shares: how many there are.
    """

    rows: Rows
    share: int
    shares: int

    def __iter__(self) -> Iterator[tuple[Matrix, Vector]]:
        for X, y in self.rows:
            hashes = row_hashes(X, _SALT)
            part, others = np.divmod(hashes, np.uint64(_PARTS))
            part %= np.uint64(2**self.shares - 1)
            share = np.frexp(part + np.uint64(1))[1] - 1  # parts 0; 1, 2; 3, 4, 5, 6; ...
            chosen = (share == self.share) & (others > 0)
            yield X[chosen], y[chosen]

"""The federation's category lists, from sums only: of the labels that some site gives.

A site gives a label if it has enough rows of it (`edge_node.data.sums.given`). Every column has
three tables of hash buckets. Rows of the labels that are given are counted in them; then, in the
buckets that are not empty, rows, a checksum and bytes are summed. A bucket with a single label
reveals it: bytes over rows. The label's sums are then taken out of its other two buckets, and so on
until nothing is left (peeling, as in an invertible Bloom table: Goodrich & Mitzenmacher 2011). If
something is left, larger tables are tried. Nobody learns who gave a label.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from edge_node.arrays import Vector
from edge_node.config import Column, DataSpec
from edge_node.data.sources.schema import LONGEST_LABEL, categorical_columns, unlisted_columns
from edge_node.errors import DataError

__all__ = [
    "ATTEMPTS",
    "Sieve",
    "Tally",
    "add_labels",
    "count_length",
    "label_bytes",
    "label_counts",
    "label_tallies",
    "read_labels",
    "too_many",
]

Tally = Counter[bytes]
"""How many of a site's rows hold each label (in UTF-8) that it gives of a column."""

ATTEMPTS = 4
_TABLES = 3
_BUCKETS = 128  # of each table at first; each further attempt has eight times as many
_FULL = 0.85  # share of buckets that aren't empty: fuller tables can hardly be read
_MOST = 1 << 16  # labels of a column at one node: more wouldn't fit the largest tables
_WORDS = 2 + LONGEST_LABEL  # of a bucket: rows, checksum, bytes


def add_labels(counted: Counter[str], cells: NDArray[np.object_], column: Column) -> None:
    """Count the labels of some rows (n,): those that the column lists, or all. None is no label.

    Raises:
        DataError: there are more than 65,536 different ones.
    """
    for label, rows in Counter(cells.tolist()).items():
        if label is not None and (not column.categories or label in column.categories):
            counted[label] += rows
    if len(counted) > _MOST:
        raise too_many(repr(column.name), f"more than {_MOST} at this node")


def label_tallies(given: Sequence[Mapping[str, int]], data: DataSpec) -> tuple[Tally, ...]:
    """What a site gives of each column that the spec doesn't list.

    Args:
        given: rows with each label, by categorical column.
        data: the schema.

    Raises:
        DataError: a label is longer than 64 bytes.
    """
    names = [column.name for column in categorical_columns(data)]
    return tuple(
        Counter({_utf8(label, names[j]): rows for label, rows in given[j].items()})
        for j in unlisted_columns(data)
    )


def count_length(columns: int, attempt: int) -> int:
    """How many numbers ``label_counts`` has for this many columns."""
    return columns * _TABLES * _buckets(attempt)


def label_counts(tallies: Sequence[Tally], columns: Sequence[int], attempt: int) -> Vector:
    """Rows per bucket, (columns, tables, buckets) flattened.

    Args:
        tallies: the node's rows per label, of each unlisted column.
        columns: which of them to count.
        attempt: 0 at first; decides the size of the tables and their hashes.
    """
    counts = np.zeros((len(columns), _TABLES, _buckets(attempt)))
    for place, column in enumerate(columns):
        for label, rows in tallies[column].items():
            counts[place, np.arange(_TABLES), _hashes(label, column, attempt)] += rows
    return counts.ravel()


@dataclass(frozen=True)
class Sieve:
    """In which buckets there are labels, as the federation's counts say.

    Attributes:
        columns: the columns that were counted.
        attempt: as in ``label_counts``.
        occupied: which buckets have rows, (columns, tables, buckets).
    """

    columns: tuple[int, ...]
    attempt: int
    occupied: NDArray[np.bool_]

    @classmethod
    def read(cls, total: Vector, columns: Sequence[int], attempt: int) -> "Sieve":
        """The sieve of those columns whose tables are empty enough; the others are left out.

        Args:
            total: the federation's sum of ``label_counts``.
            columns: as for ``label_counts``.
            attempt: as for ``label_counts``.
        """
        occupied = total.reshape(len(columns), _TABLES, _buckets(attempt)) != 0
        readable = occupied.mean(axis=(1, 2)) <= _FULL
        kept = tuple(column for column, fits in zip(columns, readable, strict=True) if fits)
        return cls(kept, attempt, occupied[readable])

    @cached_property
    def _slots(self) -> NDArray[np.int64]:
        """The slot in which an occupied bucket's bytes are summed: (columns, tables, buckets)."""
        slots: NDArray[np.int64] = np.cumsum(self.occupied).reshape(self.occupied.shape) - 1
        return slots

    @property
    def size(self) -> int:
        """How many buckets have bytes summed."""
        return int(self.occupied.sum())

    def column_of(self, slot: int) -> int:
        """The place of a slot's column among ``columns``."""
        return int(np.searchsorted(self._slots[:, -1, -1], slot))

    def slots(self, place: int, label: bytes) -> NDArray[np.int64] | None:
        """A label's three slots; None if one of its buckets is empty, so nobody gave the label."""
        buckets = _hashes(label, self.columns[place], self.attempt)
        if not self.occupied[place, np.arange(_TABLES), buckets].all():
            return None
        found: NDArray[np.int64] = self._slots[place, np.arange(_TABLES), buckets]
        return found


def label_bytes(tallies: Sequence[Tally], sieve: Sieve) -> Vector:
    """Sums over rows of one, the checksum and the bytes of labels: (slots, 66) flattened."""
    sums = np.zeros((sieve.size, _WORDS))
    for place, column in enumerate(sieve.columns):
        for label, rows in tallies[column].items():
            slots = sieve.slots(place, label)
            if slots is not None:
                sums[slots] += rows * _words(label)
    return sums.ravel()


def read_labels(total: Vector, sieve: Sieve) -> dict[int, dict[str, int]]:
    """The labels, ascending, and their rows, of each column of the sieve that could be read.

    Args:
        total: the federation's sum of ``label_bytes``.
        sieve: as for ``label_bytes``.
    """
    left = total.reshape(-1, _WORDS).copy()
    found: list[dict[str, int]] = [{} for _ in sieve.columns]
    for place, label, rows in _peeled(left, sieve):
        found[place][label.decode()] = int(rows)
    unread = {sieve.column_of(int(slot)) for slot in np.flatnonzero(left.any(axis=1))}
    return {
        column: dict(sorted(found[place].items()))
        for place, column in enumerate(sieve.columns)
        if place not in unread
    }


def _peeled(left: Vector, sieve: Sieve) -> Iterator[tuple[int, bytes, float]]:
    """(column's place, label, rows) of label after label, each taken out of ``left``."""
    waiting = list(range(len(left)))
    while waiting:
        slot = waiting.pop()
        label = _alone(left[slot])
        place = sieve.column_of(slot)
        slots = None if label is None else sieve.slots(place, label)
        if label is not None and slots is not None and slot in slots:
            yield place, label, float(left[slot, 0])
            left[slots] -= left[slot].copy()
            waiting.extend(slots.tolist())


def _alone(words: Vector) -> bytes | None:
    """The only label in a slot; None where there is none, or more than one."""
    if words[0] <= 0:
        return None
    content = words[2:] / words[0]
    if np.any(content != np.rint(content)) or content.min() < 0 or content.max() > 255:
        return None
    label = content.astype(np.uint8).tobytes().rstrip(b"\0")
    try:
        label.decode()
    except UnicodeDecodeError:
        return None
    return label if np.array_equal(words, words[0] * _words(label)) else None


def _words(label: bytes) -> Vector:
    """One, a checksum below 2^24, and the bytes: rows times these stay far below 2^53."""
    words = np.zeros(_WORDS)
    words[0] = 1.0
    words[1] = int.from_bytes(hashlib.blake2b(label, digest_size=3).digest(), "little")
    words[2 : 2 + len(label)] = np.frombuffer(label, dtype=np.uint8)
    return words


def _utf8(label: str, column: str) -> bytes:
    content = label.encode()
    if len(content) > LONGEST_LABEL or b"\0" in content:
        raise DataError(
            "a category's label can't be agreed on",
            where=f"column {column!r}",
            expected=f"at most {LONGEST_LABEL} bytes in UTF-8, none of them zero",
            found=f"{len(content)} bytes",
            remedy="Shorten it, or list the column's `categories` in the federation spec",
        )
    return content


def too_many(columns: str, found: str) -> DataError:
    """The error for columns whose categories can't be listed."""
    return DataError(
        "too many different categories to be agreed on by sums",
        where=f"column {columns}",
        found=found,
        remedy="List the column's `categories` in the federation spec, or leave the column out",
    )


def _buckets(attempt: int) -> int:
    return _BUCKETS << (3 * attempt)


def _hashes(label: bytes, column: int, attempt: int) -> NDArray[np.int64]:
    """A label's bucket in each table (tables,): sixteen bits each of one long hash."""
    content = f"{column}/{attempt}/".encode() + label
    digest = hashlib.shake_128(content).digest(2 * _TABLES)
    hashes: NDArray[np.int64] = np.frombuffer(digest, dtype="<u2").astype(np.int64)
    return hashes % _buckets(attempt)

"""The federation's category lists, from sums only.

Rows are counted in hash buckets. For buckets with enough rows in the whole federation the labels'
bytes are summed, too: divided by the count they are the label again. The sum of squares tells a
bucket that two labels share (its variance is not zero); then all is repeated with a larger table.
Nobody learns who holds which label, and rare ones are not revealed at all.
"""

import hashlib
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from edge_node.data.source import Source
from edge_node.errors import DataError

__all__ = ["ATTEMPTS", "label_bytes", "label_counts", "read_labels"]

Vector = NDArray[np.float64]

ATTEMPTS = 4
_BUCKETS = 2048  # of the first attempt; each further one has eight times as many
_LONGEST = 64  # bytes of a label in UTF-8


def label_counts(source: Source, columns: Sequence[int], attempt: int) -> Vector:
    """Rows per bucket, (columns, buckets) flattened.

    Args:
        source: the node's rows.
        columns: positions among the categorical columns.
        attempt: 0 at first; decides the size of the table and the hash.

    Raises:
        DataError: a label is longer than 64 bytes.
    """
    counts = np.zeros((len(columns), _buckets(attempt)))
    for j, label, rows in _labels(source, columns):
        counts[j, _bucket(label, j, attempt)] += rows
    return counts.ravel()


def label_bytes(
    source: Source, columns: Sequence[int], attempt: int, common: NDArray[np.bool_]
) -> Vector:
    """Sums over rows of the labels' bytes and of their squares, for common buckets only.

    Args:
        source: the node's rows.
        columns: as in ``label_counts``.
        attempt: as in ``label_counts``.
        common: which buckets have enough rows in the federation, (columns * buckets,).

    Returns:
        (common buckets, 2, 64) flattened.
    """
    place = np.cumsum(common) - 1
    sums = np.zeros((int(common.sum()), 2, _LONGEST))
    for j, label, rows in _labels(source, columns):
        bucket = j * _buckets(attempt) + _bucket(label, j, attempt)
        if common[bucket]:
            content = np.zeros(_LONGEST)
            content[: len(label)] = np.frombuffer(label, dtype=np.uint8)
            sums[place[bucket]] += rows * np.stack([content, content**2])
    return sums.ravel()


def read_labels(
    total: Vector, counts: Vector, common: NDArray[np.bool_], columns: int
) -> list[tuple[str, ...]] | None:
    """Each column's labels, ascending; None if two labels share a bucket.

    Args:
        total: the federation's sum of ``label_bytes``.
        counts: the federation's sum of ``label_counts``.
        common: as in ``label_bytes``.
        columns: how many there are.
    """
    rows = counts[common]
    sums = total.reshape(-1, 2, _LONGEST)
    if np.any(sums[:, 1] * rows[:, None] != sums[:, 0] ** 2):
        return None
    content = np.rint(sums[:, 0] / rows[:, None]).astype(np.uint8)
    column_of = np.flatnonzero(common) // (len(common) // columns)
    labels: list[list[str]] = [[] for _ in range(columns)]
    for column, each in zip(column_of, content, strict=True):
        labels[column].append(each.tobytes().rstrip(b"\0").decode())
    return [tuple(sorted(each)) for each in labels]


def _labels(source: Source, columns: Sequence[int]) -> Iterator[tuple[int, bytes, int]]:
    """(place in ``columns``, label in UTF-8, rows), batch by batch; missing ones are left out."""
    for batch in source.batches():
        for j, column in enumerate(columns):
            values = batch.categorical[:, column]
            labels, rows = np.unique(values[values != None].astype(str), return_counts=True)  # noqa: E711 - elementwise
            for label, count in zip(labels.tolist(), rows.tolist(), strict=True):
                yield j, _utf8(label), count


def _utf8(label: str) -> bytes:
    content = label.encode()
    if len(content) > _LONGEST or b"\0" in content:
        raise DataError(
            "a category's label is too long to be agreed on",
            expected=f"at most {_LONGEST} bytes",
            found=repr(label[:80]),
            remedy="Shorten it, or list the column's `categories` in the federation spec",
        )
    return content


def _buckets(attempt: int) -> int:
    return _BUCKETS << (3 * attempt)


def _bucket(label: bytes, column: int, attempt: int) -> int:
    digest = hashlib.blake2b(label, digest_size=8, salt=f"{column}/{attempt}".encode()).digest()
    return int.from_bytes(digest, "little") % _buckets(attempt)

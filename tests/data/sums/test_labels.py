"""Category lists come from sums of the labels that sites give."""

from collections import Counter
from functools import reduce
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_node.config import Column, ColumnKind, DataSpec, Task
from edge_node.data.sums.labels import (
    Sieve,
    add_labels,
    label_bytes,
    label_counts,
    label_tallies,
    read_labels,
)
from edge_node.errors import DataError


def total(vectors: list[np.ndarray]) -> np.ndarray:
    """What ``network.sum`` returns, but for the ring."""
    return reduce(np.add, vectors)


def find(tallies: list[Counter[bytes]], attempt: int = 0) -> tuple[str, ...] | None:
    """One column's list as several nodes find it; None if it can't be read."""
    counts = total([label_counts([tally], [0], attempt) for tally in tallies])
    sieve = Sieve.read(counts, [0], attempt)
    content = total([label_bytes([tally], sieve) for tally in tallies])
    found = read_labels(content, sieve).get(0)
    if found is None:
        return None
    rows: Counter[bytes] = sum(tallies, Counter())
    assert found == {label: rows[label.encode()] for label in found}
    return tuple(found)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.dictionaries(st.text(max_size=12).filter(lambda t: "\0" not in t), st.integers(1, 9)),
        min_size=1,
        max_size=5,
    )
)
def test_the_labels_are_those_that_some_node_gives(nodes: list[dict[str, int]]) -> None:
    """Whoever it is; rows of a label add up."""
    tallies = [Counter({label.encode(): n for label, n in node.items()}) for node in nodes]
    assert find(tallies) == tuple(sorted({label for node in nodes for label in node}))


def buckets_of(label: bytes) -> np.ndarray:
    """The label's bucket in each table: where one row with it is counted."""
    counts = label_counts([Counter({label: 1})], [0], 0)
    (places,) = np.nonzero(counts)
    return places % (len(counts) // len(places))


def test_full_tables_are_not_used() -> None:
    """They couldn't be read, so nothing is summed: larger ones are tried."""
    names = Counter(dict.fromkeys((f"name-{i}".encode() for i in range(400)), 5))
    for attempt in range(2):
        sieve = Sieve.read(label_counts([names], [0], attempt), [0], attempt)
        assert sieve.columns == ((), (0,))[attempt]
    assert find([names], attempt=1) == tuple(sorted(name.decode() for name in names))


def test_labels_that_share_buckets_are_told_apart_or_not_read() -> None:
    """Two labels in one bucket are no third label, and a damaged sum is none at all."""
    names = [f"label-{i}".encode() for i in range(3000)]
    first = [tuple(buckets_of(name)[:2].tolist()) for name in names]
    a, b = next(pair for pair in combinations(range(3000), 2) if first[pair[0]] == first[pair[1]])
    found = find([Counter({names[a]: 7, names[b]: 7})])
    assert found == tuple(sorted((names[a].decode(), names[b].decode())))  # by the third table
    sieve = Sieve.read(label_counts([Counter({b"red": 9})], [0], 0), [0], 0)
    content = label_bytes([Counter({b"red": 9})], sieve)
    assert read_labels(content, sieve) == {0: {"red": 9}}
    for damaged in (content + (np.arange(len(content)) == 2), content * 1.5 + 1, -content):
        assert read_labels(damaged, sieve) == {}


def test_columns_are_read_by_themselves() -> None:
    """One that is too full keeps no other back, and the same label may be in both."""
    full = Counter(dict.fromkeys((f"name-{i}".encode() for i in range(400)), 5))
    tallies = [full, Counter({b"red": 6, b"blue": 5}), Counter(), Counter({b"red": 9})]
    sieve = Sieve.read(label_counts(tallies, range(4), 0), range(4), 0)
    found = read_labels(label_bytes(tallies, sieve), sieve)
    assert found == {1: {"blue": 5, "red": 6}, 2: {}, 3: {"red": 9}}
    sieve = Sieve.read(label_counts(tallies, [0], 1), [0], 1)
    assert len(read_labels(label_bytes(tallies, sieve), sieve)[0]) == 400


def test_labels_that_no_table_can_hold_are_refused_by_column() -> None:
    """Too long, with a zero byte, or too many; a label itself is not said."""
    ward = Column(name="ward", kind=ColumnKind.CATEGORICAL)
    data = DataSpec(task=Task.REGRESSION, target="y", columns=(ward,))
    for bad in ("Erika " * 20, "Erika\0"):
        with pytest.raises(DataError, match=r"'ward'.*64 bytes") as caught:
            label_tallies([{bad: 9}], data)
        assert "Erika" not in str(caught.value)
    many = np.array([f"name-{i}" for i in range(70_000)], dtype=object)
    with pytest.raises(DataError, match=r"'ward'.*more than 65536.*categories"):
        add_labels(Counter(), many, ward)


def test_only_listed_labels_are_counted_where_the_spec_lists_them() -> None:
    """Others are none; a missing cell is none either."""
    counted: Counter[str] = Counter()
    cells = np.array(["n", None, "s", "n", "x"], dtype=object)
    add_labels(counted, cells, Column(name="ward", categories=("n", "s")))
    assert counted == {"n": 2, "s": 1}

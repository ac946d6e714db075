"""Category lists come from sums, and no sum holds the bytes of a rare label."""

from collections import Counter
from functools import reduce
from itertools import combinations, count

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_node.data.sums import labels
from edge_node.data.sums.labels import Sieve, label_bytes, label_counts, read_labels
from edge_node.errors import DataError

FEWEST = 5


def total(vectors: list[np.ndarray]) -> np.ndarray:
    """What ``network.sum`` returns, but for the ring."""
    return reduce(np.add, vectors)


def find(
    tallies: list[Counter[bytes]], attempt: int = 0
) -> tuple[tuple[str, ...] | None, np.ndarray]:
    """One column's list as several nodes find it, or None; and the bytes' total."""
    counts = total([label_counts([tally], [0], attempt) for tally in tallies])
    sieve = Sieve.read(counts, [0], attempt, FEWEST)
    content = total([label_bytes([tally], sieve) for tally in tallies])
    found = read_labels(content, sieve, FEWEST).get(0)
    if found is not None:
        rows = total_rows(tallies)
        assert found == {label: rows[label.encode()] for label in found}
    return None if found is None else tuple(found), content


def total_rows(tallies: list[Counter[bytes]]) -> Counter[bytes]:
    """Rows per label over all nodes."""
    return sum(tallies, Counter())


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.dictionaries(st.text(max_size=12).filter(lambda t: "\0" not in t), st.integers(1, 9)),
        min_size=1,
        max_size=5,
    )
)
def test_the_labels_are_those_that_enough_rows_hold(nodes: list[dict[str, int]]) -> None:
    """Whoever holds them."""
    tallies = [Counter({label.encode(): n for label, n in node.items()}) for node in nodes]
    rows = total([tally for tally in tallies if tally] or [Counter()])
    expected = sorted(label.decode() for label, n in rows.items() if n >= FEWEST)
    found, _ = find(tallies)
    assert found == tuple(expected)


def buckets_of(label: bytes) -> np.ndarray:
    """The label's bucket in each table: where one row with it is counted."""
    counts = label_counts([Counter({label: 1})], [0], 0)
    (places,) = np.nonzero(counts)
    return places % (len(counts) // len(places))


def rivals(victim: bytes, tables: int) -> list[bytes]:
    """Labels, common ones, that share the victim's bucket in the first so many tables."""
    wanted = buckets_of(victim)[:tables]
    found: dict[int, bytes] = {}
    for name in (f"rival-{i}".encode() for i in count()):
        for table in np.flatnonzero(buckets_of(name)[:tables] == wanted):
            found.setdefault(int(table), name)
        if len(found) == tables:
            return sorted(set(found.values()))
    raise AssertionError("counting never ends")


def test_a_rare_label_stays_out_though_others_fill_most_of_its_buckets() -> None:
    """In all tables but one somebody common sits in the victim's bucket: not a byte is added."""
    victim = b"Erika Mustermann"
    tables = len(buckets_of(victim))
    common = Counter(dict.fromkeys(rivals(victim, tables - 1), FEWEST))
    assert tables / 2 < len(common) < tables
    with_victim, content = find([common, Counter({victim: FEWEST - 1})])
    without, same = find([common])
    assert with_victim == without == tuple(sorted(name.decode() for name in common))
    np.testing.assert_array_equal(content, same)


def test_full_tables_are_not_used() -> None:
    """Where rare labels fill each other's buckets, nothing is summed: larger tables are tried."""
    names = Counter(dict.fromkeys((f"name-{i}".encode() for i in range(120)), 1))
    for attempt in range(2):
        sieve = Sieve.read(label_counts([names], [0], attempt), [0], attempt, FEWEST)
        assert sieve.columns == ((), (0,))[attempt]
    assert not label_bytes([names], sieve).any()
    common = Counter({b"common": FEWEST})
    found, content = find([names + common], attempt=1)
    assert found == ("common",)
    np.testing.assert_array_equal(content, find([common], attempt=1)[1])  # not a byte of the names


def test_a_member_that_gives_false_counts_can_only_fill_the_tables() -> None:
    """It can't know which buckets a label has that it doesn't know."""
    honest = Counter({b"Erika Mustermann": 1, b"red": FEWEST})
    counts = label_counts([honest], [0], 0)
    random = np.random.default_rng(0)
    for share in (0.2, 0.45, 1.0):
        false = FEWEST * (random.random(len(counts)) < share)
        sieve = Sieve.read(counts + false, [0], 0, FEWEST)
        assert sieve.columns == () or sieve.slots(0, b"Erika Mustermann") is None
        assert (sieve.columns == ()) == (share == 1.0)


def test_the_stated_probability_bounds_what_gets_through() -> None:
    """It is at most the product of the tables' shares: counted where all but four are full."""
    common = Counter(dict.fromkeys((f"common-{i}".encode() for i in range(80)), FEWEST))
    tables = len(buckets_of(b"any"))
    counts = label_counts([common], [0], 0).reshape(tables, -1)
    counts[4:] = FEWEST
    bound = np.prod(np.mean(counts != 0, axis=1))
    assert Sieve.read(counts.ravel(), [0], 0, FEWEST).columns == ()  # it is too much for use
    sieve = Sieve((0,), 0, counts[None] >= FEWEST)
    through = np.mean([sieve.slots(0, f"rare-{i}".encode()) is not None for i in range(20_000)])
    assert 0.01 < bound < 0.2
    assert through == pytest.approx(bound, abs=4 * np.sqrt(bound / 20_000))


def test_labels_that_share_buckets_are_told_apart_or_not_read() -> None:
    """Two labels in one bucket are no third label, and a damaged sum is none at all."""
    names = [f"label-{i}".encode() for i in range(3000)]
    first = [tuple(buckets_of(name)[:2].tolist()) for name in names]
    a, b = next(pair for pair in combinations(range(3000), 2) if first[pair[0]] == first[pair[1]])
    found, _ = find([Counter({names[a]: 7, names[b]: 7})])
    assert found == tuple(sorted((names[a].decode(), names[b].decode())))  # by the third table
    sieve = Sieve.read(label_counts([Counter({b"red": 9})], [0], 0), [0], 0, FEWEST)
    content = label_bytes([Counter({b"red": 9})], sieve)
    assert read_labels(content, sieve, FEWEST) == {0: {"red": 9}}
    for damaged in (content + (np.arange(len(content)) == 2), content * 1.5 + 1, -content):
        assert read_labels(damaged, sieve, FEWEST) == {}


def test_columns_are_read_by_themselves() -> None:
    """One that is too full keeps no other back, and the same label may be in both."""
    full = Counter(dict.fromkeys((f"name-{i}".encode() for i in range(300)), FEWEST))
    tallies = [full, Counter({b"red": 6, b"blue": 5}), Counter(), Counter({b"red": 9, b"rare": 1})]
    sieve = Sieve.read(label_counts(tallies, range(4), 0), range(4), 0, FEWEST)
    found = read_labels(label_bytes(tallies, sieve), sieve, FEWEST)
    assert found == {1: {"blue": 5, "red": 6}, 2: {}, 3: {"red": 9}}
    sieve = Sieve.read(label_counts(tallies, [0], 1), [0], 1, FEWEST)
    assert len(read_labels(label_bytes(tallies, sieve), sieve, FEWEST)[0]) == 300


def test_labels_that_no_table_can_hold_are_refused_by_column() -> None:
    """Too long, with a zero byte, or too many; a label itself is not said."""
    tally: Counter[bytes] = Counter()
    for bad in ("Erika " * 20, "Erika\0"):
        with pytest.raises(DataError, match=r"'ward'.*64 bytes") as caught:
            labels.add_labels(tally, np.array([bad], dtype=object), "ward")
        assert "Erika" not in str(caught.value)
    many = np.array([f"name-{i}" for i in range(70_000)], dtype=object)
    with pytest.raises(DataError, match=r"'ward'.*more than 65536.*categories"):
        labels.add_labels(tally, many, "ward")

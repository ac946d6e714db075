"""A site takes part with some of its rows only: the same ones each time, from all over its file."""

import numpy as np

from edge_node.config import parse_spec
from edge_node.data.sources.limited import LimitedRows, limited_rows
from edge_node.data.sources.source import Batch, MemorySource
from tests.config.test_private_spec import GOOD

SPEC = parse_spec(GOOD)


def rows_of(count: int, size: int) -> MemorySource:
    """Numbered rows, some at a time."""
    numbers = np.arange(count, dtype=np.float64)[:, None]
    labels = np.full((count, 1), "north", dtype=object)
    starts = range(0, count, size)
    return MemorySource(tuple(Batch(numbers[i : i + size], labels[i : i + size]) for i in starts))


def test_a_site_takes_part_with_so_many_rows() -> None:
    """From all over the file, the same ones however it is read, and each at most once."""
    chosen = [
        np.concatenate([b.numeric[:, 0] for b in LimitedRows(rows_of(100, size), 30, 7).batches()])
        for size in (100, 7, 1)
    ]
    assert len(chosen[0]) == len(set(chosen[0])) == 30
    assert chosen[0].tolist() == chosen[1].tolist() == chosen[2].tolist() == sorted(chosen[0])
    assert chosen[0].min() < 20
    assert chosen[0].max() > 80
    other = [b.numeric[:, 0] for b in LimitedRows(rows_of(100, 100), 30, 8).batches()]
    assert set(other[0]) != set(chosen[0])


def test_fewer_rows_are_all_taken() -> None:
    """And where the spec sets no limit, the source is used as it is."""
    source = rows_of(10, 4)
    assert sum(len(batch) for batch in LimitedRows(source, 30, 7).batches()) == 10
    assert limited_rows(source, SPEC) is source
    site = parse_spec(GOOD.replace('"record"', '"site"\nrows_per_site = 3'))
    assert sum(len(batch) for batch in limited_rows(source, site).batches()) == 3

"""Distinct rows are counted in one pass: exactly where they are few, never too many."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_node.config import Column, ColumnKind, DataSpec, Task
from edge_node.data.sources.distinct import distinct_rows
from edge_node.data.sources.source import Batch, MemorySource

DATA = DataSpec(
    task=Task.REGRESSION,
    target="y",
    columns=(Column(name="x"), Column(name="kind", kind=ColumnKind.CATEGORICAL)),
)


def source_of(cells: list[tuple[float, str | None]], batches: int = 1) -> MemorySource:
    """Rows with targets that all differ."""
    numbers = np.array([x for x, _ in cells], dtype=float).reshape(-1, 1)
    labels = np.empty((len(cells), 1), dtype=object)
    labels[:, 0] = [label for _, label in cells]
    parts = np.array_split(np.arange(len(cells)), batches)
    return MemorySource(tuple(Batch(numbers[p], labels[p], p.astype(float)) for p in parts))


@settings(deadline=None, max_examples=30)
@given(
    st.lists(
        st.tuples(st.sampled_from([0.0, 1.0, 1.5, -2.0]), st.sampled_from(["a", "b", None])),
        min_size=1,
        max_size=40,
    ),
    st.integers(1, 4),
)
def test_copies_count_once(cells: list[tuple[float, str | None]], batches: int) -> None:
    """Whatever their targets are, and in whichever batch they lie."""
    assert distinct_rows(source_of(cells, batches), DATA) == len(set(cells))


def test_one_zero_and_one_missing_value() -> None:
    """A negative zero is a zero; no value is no value."""
    cells = [(0.0, None), (-0.0, None), (np.nan, None), (-np.nan, None)]
    assert distinct_rows(source_of(cells), DATA) == 2


@pytest.mark.parametrize("rows", [1000, 300_000])
def test_many_rows_are_a_lower_bound(rows: int) -> None:
    """Close, and never more."""
    numbers = np.random.default_rng(0).normal(size=(rows, 1))
    empty = np.empty((rows, 0), dtype=object)
    source = MemorySource((Batch(np.repeat(numbers, 2, axis=0), np.repeat(empty, 2, axis=0)),))
    assert 0.995 * rows <= distinct_rows(source, DATA) <= rows

"""What a site gives of its rows: enough of a group, or none of it; and no extremes of a column."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_node.config import Column, ColumnKind, DataSpec, Task
from edge_node.data.sources.source import Batch, MemorySource
from edge_node.data.sums.extremes import Extremes
from edge_node.data.sums.given import given_by

DATA = DataSpec(
    task=Task.REGRESSION,
    target="y",
    columns=(
        Column(name="x"),
        Column(name="ward", kind=ColumnKind.CATEGORICAL),
        Column(name="sex", kind=ColumnKind.CATEGORICAL, categories=("f", "m")),
    ),
)


def source_of(x: list[float], ward: list[str | None], sex: list[str | None]) -> MemorySource:
    """In two batches."""
    labels = np.array([ward, sex], dtype=object).T
    numbers = np.array(x, dtype=float)[:, None]
    halves = np.array_split(np.arange(len(x)), 2)
    return MemorySource(
        tuple(Batch(numbers[half], labels[half], np.arange(len(x))[half] * 1.0) for half in halves)
    )


def test_groups_are_whole_or_missing() -> None:
    """Labels, gaps and values; what is left out is enough, too."""
    ward = ["a"] * 8 + ["b"] * 8 + ["rare"] * 2 + [None] * 2
    sex = ["f"] * 18 + ["m"] * 2
    found = given_by(source_of([np.nan] * 4 + [1.0] * 16, ward, sex), DATA, 4)
    assert (found.rows, found.distinct) == (20, 5)
    assert found.labels == ({"a": 8, "b": 8}, {})  # four others; two m would be told by 18 f
    assert found.missing == (4, 0, 0)
    assert found.values.tolist() == [16, 20]
    found = given_by(source_of([np.nan] * 17 + [1.0] * 3, ward, sex), DATA, 4)
    assert found.values.tolist() == [0, 20]
    assert found.missing[0] == 0  # it would say how many values there are
    everything = given_by(source_of([np.nan] * 17 + [1.0] * 3, ward, sex), DATA, 1)
    assert everything.labels == ({"a": 8, "b": 8, "rare": 2}, {"f": 18, "m": 2})


@settings(deadline=None)
@given(
    st.lists(st.one_of(st.integers(-9, 9).map(float), st.just(np.nan)), max_size=40),
    st.integers(1, 6),
    st.integers(0, 40),
)
def test_the_outermost_values_count_as_the_next(values: list[float], keep: int, cut: int) -> None:
    """As sorting says, however rows are cut into batches."""
    extremes = Extremes(1, keep)
    for part in np.split(np.array(values), [min(cut, len(values))]):
        extremes.add(part[:, None])
    low, high = extremes.bounds()
    held = sorted(value for value in values if not np.isnan(value))
    assert extremes.values[0] == len(held)
    if held:
        place = max(min(keep, -(-len(held) // 4)), 1)
        assert (low[0], high[0]) == (held[place - 1], held[-place])


def test_an_extreme_leaves_no_trace() -> None:
    """What is summed is the same for any value beyond the others; without floors it isn't, unless
    the value is wild.
    """

    def summed(extreme: float, fewest: int) -> np.ndarray:
        source = source_of([*range(30), extreme], ["a"] * 31, ["f"] * 31)
        found = given_by(source, DATA, fewest)
        return np.concatenate([found.numbers(batch, DATA)[:, 0] for batch in source.batches()])

    np.testing.assert_array_equal(summed(1e9, 3), summed(1e12, 3))
    assert summed(1e9, 3).max() == 28.0
    assert summed(40.0, 1).max() == 40.0


@pytest.mark.parametrize("fewest", [3, 5])
def test_too_few_values_for_k_still_hide_the_outermost(fewest: int) -> None:
    """Of eight, a quarter at each end stands in for k."""
    source = source_of([*range(7), 1e9], ["a"] * 8, ["f"] * 8)
    found = given_by(source, DATA, fewest)
    assert (found.low[0], found.high[0]) == (1.0, 6.0)

"""What is counted of rows that may tell little: columns hardly unknown, classes of few rows."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_node.arrays import Matrix
from edge_node.config import Column, DataSpec, Task
from edge_node.data.sources.source import Batch, MemorySource
from edge_node.data.sums.census import Census, sizes_of
from edge_node.data.sums.given import given_by
from edge_node.data.sums.hardly_unknown import HardlyUnknown

CLASSES = ("a", "b", "c")
DATA = DataSpec(
    task=Task.CLASSIFICATION,
    target="y",
    columns=(Column(name="flag"), Column(name="x")),
    classes=CLASSES,
)


@settings(deadline=None)
@given(
    st.lists(st.one_of(st.integers(0, 12).map(float), st.just(np.nan)), max_size=60),
    st.integers(0, 60),
)
def test_few_values_are_found_however_rows_are_cut(values: list[float], cut: int) -> None:
    """At most eight among at least sixteen; or a third of at least sixteen rows without any."""
    known = HardlyUnknown(1)
    for part in np.split(np.array(values), [min(cut, len(values))]):
        known.add(part[:, None])
    held = [value for value in values if not np.isnan(value)]
    few = len(held) >= 16 and len(set(held)) <= 8
    sparse = len(values) >= 16 and len(held) < 2 / 3 * len(values)
    assert known.columns(np.array([0.0]), np.array([12.0])) == (few or sparse,)


def test_rows_without_numbers_have_no_columns_that_are_hardly_unknown() -> None:
    """Such as those of a classification whose columns are all categories."""
    for columns in (0, 1):
        known = HardlyUnknown(columns)
        known.add(np.zeros((20, columns)))
        assert known.columns(np.zeros(columns), np.ones(columns)) == columns * (True,)


def judged(rows: Matrix, cut: int = 1000) -> list[int]:
    """Which columns are hardly unknowns, of rows that come ``cut`` at a time."""
    known = HardlyUnknown(rows.shape[1])
    for start in range(0, len(rows), cut):
        known.add(rows[start : start + cut])
    low, high = np.nanquantile(rows, (0.003, 0.997), axis=0)
    return np.flatnonzero(known.columns(low, high)).tolist()


def derived(rows: int, residual: float) -> Matrix:
    """Three independent columns, and two that are linear in them but for a residual."""
    random = np.random.default_rng(rows)
    own = random.normal(size=(rows, 3))
    sums = own @ random.normal(size=(3, 2))
    sums /= sums.std(axis=0)
    return np.hstack([own, sums + residual * random.normal(size=sums.shape)])


@pytest.mark.parametrize(("rows", "cut"), [(40, 7), (500, 1000), (9000, 611)])
def test_columns_that_others_settle_are_hardly_unknowns(rows: int, cut: int) -> None:
    """Those that are linear in earlier ones, within a tenth of their deviation, in any units."""
    units = np.array([1.0, 1e-90, 1e90, 1e-3, 1e100])
    assert judged(units * derived(rows, 0.05), cut) == [3, 4]
    assert judged(1e6 + derived(rows, 0.05), cut) == [3, 4]
    assert judged(units * derived(rows, 0.2), cut) == []


def test_neither_gaps_nor_wild_values_hide_that() -> None:
    """Rows that lack values are left out while others suffice; wild values are moved inwards."""
    rows = derived(1900, 0.02)
    rows[np.random.default_rng(1).random(rows.shape) < 0.05] = np.nan
    assert judged(rows) == [3, 4]
    rows[0, 3] = rows[1, 4] = 1e5
    rows[2, 0] = -1e7
    assert judged(rows) == [3, 4]
    rows[5] = -999.0  # a mark for missing values is no relation between columns
    assert judged(rows) == [3, 4]


def test_columns_that_are_sums_of_flags_are_hardly_unknowns() -> None:
    """A score of twenty questions has many values, and none that the answers leave open."""
    answers = np.random.default_rng(2).integers(0, 2, size=(300, 20)).astype(float)
    score = answers @ np.arange(1.0, 21.0)
    other = np.random.default_rng(3).normal(size=300)
    rows = np.column_stack([score, other, answers])
    assert judged(rows) == [0, *range(2, 22)]


def test_few_rows_cant_say_what_is_linear() -> None:
    """Two rows a column are needed, or any column would be."""
    assert judged(derived(15, 0.0)) == []
    assert judged(np.random.default_rng(4).normal(size=(24, 12))) == []


def of(flags: list[float], y: list[float]) -> Census:
    """A site's."""
    random = np.random.default_rng(len(y))
    numbers = np.column_stack([flags, random.normal(size=len(y))])
    batch = Batch(numbers, np.empty((len(y), 0), dtype=object), np.array(y))
    return Census.read(given_by(MemorySource((batch,)), DATA, 3).census, DATA)


def together(*sites: Sequence[int]) -> tuple[tuple[int, ...], ...]:
    """`Census.sizes` of sites with so many rows of each class."""
    classes = zip(*sites, strict=True)
    return tuple(tuple(map(sum, zip(*map(sizes_of, rows), strict=True))) for rows in classes)


def test_four_hospitals() -> None:
    """Each of the largest may hold less than its size says; the better of two bounds counts."""
    sites = [(124, 103), (140, 80), (6, 86), (38, 112)]
    census = Census(689, 689, (308, 381), (), together(*sites))
    assert census.smallest_class(1, 5) == 64 + 32 + 4
    assert census.smallest_class(2, 5) == 32 + 4


def test_a_census_is_read_as_it_was_summed() -> None:
    """Of two sites: one has flags, the other can't say."""
    one, two = of([0.0, 1.0] * 10, [0.0] * 12 + [1.0] * 8), of([0.0] * 6, [0.0] * 6)
    assert one == Census(20, 20, (12, 8, 0), (1, 0), tuple(map(sizes_of, (12, 8, 0))))
    assert two == Census(6, 6, (6, 0, 0), (0, 0), tuple(map(sizes_of, (6, 0, 0))))
    both = Census.read(one.vector + two.vector, DATA)
    assert both == Census(26, 26, (18, 8, 0), (1, 0), together((12, 8, 0), (6, 0, 0)))


@given(
    st.lists(st.lists(st.integers(0, 500), min_size=3, max_size=3), min_size=2, max_size=12),
    st.integers(1, 3),
)
def test_no_class_has_fewer_rows_without_the_largest_sites(
    rows: list[list[int]], coalition: int
) -> None:
    """Whoever gives rows of a class gives five; what is said to remain does, or is a floor."""
    held = np.where(np.array(rows) < 5, 0, np.array(rows))
    total = int(held.sum())
    census = Census(total, total, tuple(held.sum(axis=0).tolist()), (), together(*held.tolist()))
    remain = [int(np.sort(column)[:-coalition].sum()) for column in held.T if column.any()]
    found = census.smallest_class(coalition, 5)
    assert found is None if not remain else found <= max(5, min(remain))


def test_copies_and_absent_classes() -> None:
    """Copies count for nothing; a class that nobody gives limits nothing."""
    census = Census(1000, 1000, (600, 400, 0), (), together(*[(60, 40, 0)] * 10))
    assert census.smallest_class(1, 5) == 400 - 63
    copies = Census(1000, 900, (600, 400, 0), (), census.sizes)
    assert copies.smallest_class(1, 5) == 400 - 63 - 100
    assert Census(9, 9, (), (0,), ()).smallest_class(1, 5) is None


def test_a_total_that_lacks_what_a_site_has_counted_is_found() -> None:
    """A liar may count more than it has, and lowers the budget. It can't undo what others count."""
    own = Census(20, 20, (12, 8), (1, 0), together((12, 8)))
    honest = Census(60, 60, (36, 24), (2, 0), together((12, 8), (12, 8), (12, 8)))
    assert not honest.lacks(own)
    assert replace(honest, known=(0, 0)).lacks(own)
    assert not replace(honest, known=(9, 9)).lacks(own)
    assert replace(honest, sizes=together((99, 8), (99, 8))).lacks(own)

"""Counts, times and events in a file: what they become, and which cells are refused."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from edge_node.config import Column, DataSpec, Task
from edge_node.data.encoding.targets import as_summed
from edge_node.data.sources.rare_classes import ClassRows, without_rare_classes
from edge_node.data.sources.source import Batch, MemorySource, batch_from_rows, open_source
from edge_node.data.sums.given import given_by
from edge_node.errors import DataError

COLUMNS = (Column(name="a"),)
COUNT = DataSpec(task=Task.COUNT, target="visits", columns=COLUMNS)
ORDINAL = DataSpec(
    task=Task.ORDINAL, target="pain", columns=COLUMNS, classes=("none", "some", "much")
)
SURVIVAL = DataSpec(task=Task.SURVIVAL, target="months", event="died", columns=COLUMNS)


def test_targets_are_read(tmp_path: Path) -> None:
    """Counts as they are, classes by their order, a time that ended without its event as minus."""
    path = tmp_path / "rows.csv"
    for data, text, expected in (
        (COUNT, "a,visits\n1,0\n2,7\n", [0, 7]),
        (ORDINAL, "a,pain\n1,much\n2,none\n", [2, 0]),
        (SURVIVAL, "a,months,died\n1,2.5,1\n2,9,0\n", [2.5, -9]),
    ):
        path.write_text(text)
        (batch,) = open_source(path, data).batches()
        assert batch.target is not None
        assert batch.target.tolist() == expected


def test_an_event_may_be_yes_or_no_in_parquet(tmp_path: Path) -> None:
    """True is 1."""
    path = tmp_path / "rows.parquet"
    table = pa.table({"a": [1.0, 2.0], "months": [2.5, 9.0], "died": [True, False]})
    pyarrow.parquet.write_table(table, path)
    (batch,) = open_source(path, SURVIVAL).batches()
    assert batch.target is not None
    assert batch.target.tolist() == [2.5, -9]


@pytest.mark.parametrize(
    ("data", "text", "where", "expected"),
    [
        (COUNT, "a,visits\n1,0\n2,2.5\n", "column 'visits', row 2", "a whole number from 0"),
        (COUNT, "a,visits\n1,-1\n2,2\n", "column 'visits', row 1", "a whole number from 0"),
        (COUNT, "a,visits\n1,1\n2,\n", "column 'visits', row 2", "a whole number from 0"),
        (COUNT, "a,visits\n1,1\n2,2e9\n", "column 'visits', row 2", "to 1,000,000,000"),
        (SURVIVAL, "a,months,died\n1,0,1\n", "column 'months', row 1", "a positive number"),
        (SURVIVAL, "a,months,died\n1,-3,1\n", "column 'months', row 1", "a positive number"),
        (SURVIVAL, "a,months,died\n1,3,2\n", "column 'died', row 1", "1 where the event was seen"),
        (SURVIVAL, "a,months,died\n1,3,\n", "column 'died', row 1", "0 where the row was lost"),
        (SURVIVAL, "a,months\n1,3\n", "rows.csv", "a, months, died"),
        (ORDINAL, "a,pain\n1,very\n", "column 'pain', row 1", "one of none, some, much"),
    ],
)
def test_a_cell_that_is_none_is_refused_with_its_place(
    tmp_path: Path, data: DataSpec, text: str, where: str, expected: str
) -> None:
    """File, column, row, and what was expected."""
    path = tmp_path / "rows.csv"
    path.write_text(text)
    with pytest.raises(DataError) as caught:
        open_source(path, data)
    assert where in caught.value.where
    assert "rows.csv" in caught.value.where
    assert expected in str(caught.value)


def test_rows_to_predict_may_have_a_time_and_an_event(tmp_path: Path) -> None:
    """Both are ignored, there or not."""
    path = tmp_path / "rows.csv"
    for text in ("a\n1\n", "a,months,died\n1,2,1\n"):
        path.write_text(text)
        assert open_source(path, SURVIVAL, with_target=False).rows == 1
    assert len(batch_from_rows([{"a": 1.0, "months": 2.0, "died": 1.0}], SURVIVAL)) == 1


def memory(target: list[float]) -> MemorySource:
    """Rows that differ."""
    numeric = np.arange(len(target), dtype=float)[:, None]
    return MemorySource(
        (Batch(numeric, np.empty((len(target), 0), dtype=object), np.array(target)),)
    )


@pytest.mark.parametrize(
    ("data", "target"), [(COUNT, 1.5), (COUNT, -1.0), (COUNT, np.nan), (SURVIVAL, 0.0)]
)
def test_a_program_is_refused_such_targets_too(data: DataSpec, target: float) -> None:
    """Where no file was checked."""
    given_by(memory([3.0, 2.0, 1.0]), data, 1)
    with pytest.raises(DataError, match="a row has no target"):
        given_by(memory([3.0, 2.0, target]), data, 1)


def test_moments_are_of_logarithms() -> None:
    """Of counts a half is added; a time counts until when a row was seen, whatever ended it."""
    counts, times = np.array([0.0, 3.0]), np.array([2.0, -2.0])
    np.testing.assert_allclose(as_summed(counts, Task.COUNT), np.log([0.5, 3.5]))
    np.testing.assert_allclose(as_summed(times, Task.SURVIVAL), np.log([2.0, 2.0]))
    np.testing.assert_array_equal(as_summed(counts, Task.REGRESSION), counts)


def test_a_site_of_few_events_gives_no_row() -> None:
    """Of few rows that were lost from sight, these stay at home. Enough of both stay."""
    for few, left_out, given in (
        (1.0, "6 of class 'no event', 2 of class 'an event'", 0),
        (-1.0, "2 of class 'no event'", 6),
    ):
        rows = memory([few] * 2 + [-few] * 6)
        left = without_rare_classes(rows, SURVIVAL, 3)
        assert isinstance(left, ClassRows)
        assert left.left_out == left_out
        (batch,) = left.batches()
        assert batch.target is not None
        assert batch.target.tolist() == [-few] * given
        assert without_rare_classes(rows, SURVIVAL, 2) is rows

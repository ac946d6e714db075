"""Rows in the order of time, the latest first, whatever their order in the file."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from edge_node.config import Column, DataSpec, Task
from edge_node.data.sources.source import batch_from_rows, open_source
from edge_node.errors import DataError

DATA = DataSpec(task=Task.REGRESSION, target="y", columns=(Column(name="x"),), time="at")
PLAIN = DataSpec(task=Task.REGRESSION, target="y", columns=(Column(name="x"),))


def order(path: Path, data: DataSpec = DATA) -> list[float]:
    """The rows' x, as they are read; twice, from the file and from memory."""
    source = open_source(path, data, ignore=("at",))
    first, again = (
        [x for batch in source.batches() for x in batch.numeric[:, 0].tolist()] for _ in range(2)
    )
    streamed = [x for batch in source._streamed() for x in batch.numeric[:, 0].tolist()]
    assert first == again == streamed
    return first


@pytest.mark.parametrize(
    "times",
    [
        ("3", "10", "-1", "3"),
        ("2024-02-01", "2024-11-30 08:00", "2023-12-31", "2024-02-01 00:00:00"),
        ("08:30", "17:05:01.5", "00:00", "08:30"),
    ],
    ids=["numbers", "dates", "times of day"],
)
def test_the_latest_row_comes_first(tmp_path: Path, times: tuple[str, ...]) -> None:
    """Rows of one time stay in the file's order; without a time, all do."""
    path = tmp_path / "rows.csv"
    path.write_text("x,y,at\n" + "".join(f"{i},1,{time}\n" for i, time in enumerate(times)))
    assert order(path) == [1, 0, 3, 2]
    assert order(path, PLAIN) == [0, 1, 2, 3]


def test_a_parquet_files_own_times_are_read(tmp_path: Path) -> None:
    """Dates, time stamps and whole numbers."""
    for kind in (pa.date32(), pa.timestamp("us"), pa.timestamp("s", "UTC"), pa.int64()):
        at = pa.array([5, 9, 1], pa.int32() if kind == pa.date32() else pa.int64()).cast(kind)
        pq.write_table(
            pa.table({"x": [0.0, 1.0, 2.0], "y": [1.0] * 3, "at": at}), tmp_path / "a.pq"
        )
        assert order(tmp_path / "a.pq") == [1, 0, 2]


@pytest.mark.parametrize("cell", ["", "soon", "nan", "31/05/2024"])
def test_a_row_without_a_time_is_refused_by_its_number(tmp_path: Path, cell: str) -> None:
    """It is neither earlier nor later than others."""
    path = tmp_path / "rows.csv"
    path.write_text(f"x,y,at\n1,1,2024-01-01\n2,1,{cell}\n")
    with pytest.raises(DataError, match=r"column 'at', row 2: the row has no time"):
        open_source(path, DATA)
    assert open_source(path, PLAIN, ignore=("at",)).rows == 2


def test_a_file_without_the_column_is_refused(tmp_path: Path) -> None:
    """To learn from; rows to predict need no time, and may have one."""
    path = tmp_path / "rows.csv"
    path.write_text("x,y\n1,1\n")
    with pytest.raises(DataError, match="column 'at' is missing"):
        open_source(path, DATA)
    assert open_source(path, DATA, with_target=False).rows == 1
    assert len(batch_from_rows([{"x": 1.0}], DATA)) == 1
    assert len(batch_from_rows([{"x": 1.0, "at": "now"}], DATA)) == 1


def test_a_column_that_holds_no_times_is_refused(tmp_path: Path) -> None:
    """By its type."""
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"x": [1.0], "y": [1.0], "at": [[1, 2]]}), path)
    with pytest.raises(DataError, match="can't be read as times"):
        open_source(path, DATA)

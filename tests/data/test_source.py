"""Files are checked before anything is sent, and errors name file, column and row."""

import gzip
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from edge_node.config import Column, ColumnKind, DataSpec, Task
from edge_node.data.source import batch_from_rows, open_source
from edge_node.errors import DataError

REGRESSION = DataSpec(
    task=Task.REGRESSION,
    target="y",
    columns=(Column(name="a"), Column(name="c", kind=ColumnKind.CATEGORICAL), Column(name="b")),
)
CLASSES = DataSpec(
    task=Task.CLASSIFICATION, target="y", columns=(Column(name="a"),), classes=("no", "yes")
)


def written(path: Path, text: str) -> Path:
    """The file with this text."""
    path.write_text(text, encoding="utf-8")
    return path


def test_a_file_is_read_in_its_order_as_often_as_wanted(tmp_path: Path) -> None:
    """Columns are in the schema's order, empty cells are missing, space around labels is cut."""
    path = written(tmp_path / "rows.csv", "c,y,b,a\n é ,1,,2.5\n,2,1e3,\nx,-3,7,0\n")
    source = open_source(path, REGRESSION)
    for _ in range(2):
        (batch,) = source.batches()
        np.testing.assert_array_equal(batch.numeric, [[2.5, np.nan], [np.nan, 1e3], [0, 7]])
        assert batch.categorical.tolist() == [["é"], [None], ["x"]]
        assert batch.target is not None
        assert batch.target.tolist() == [1, 2, -3]


@pytest.mark.parametrize("kind", ["gzip", "parquet", "crlf"])
def test_other_forms_of_the_same_rows(tmp_path: Path, kind: str) -> None:
    """Compressed CSV, Parquet, and CSV as Windows writes it."""
    rows = {"a": [1.0, None, 3.0], "c": ["x", None, "y"], "b": [1, 2, 3], "y": [0.5, 1.5, 2.5]}
    text = "a,c,b,y\n1,x,1,0.5\n,,2,1.5\n3,y,3,2.5\n"
    if kind == "gzip":
        path = tmp_path / "rows.csv.gz"
        path.write_bytes(gzip.compress(text.encode()))
    elif kind == "crlf":
        path = tmp_path / "rows.csv"
        path.write_bytes(text.replace("\n", "\r\n").encode())
    else:
        path = tmp_path / "rows.parquet"
        pyarrow.parquet.write_table(pa.table(rows), path)
    (batch,) = open_source(path, REGRESSION).batches()
    np.testing.assert_array_equal(batch.numeric, [[1, 1], [np.nan, 2], [3, 3]])
    assert batch.categorical.tolist() == [["x"], [None], ["y"]]


def test_many_rows_come_in_order_and_in_parts(tmp_path: Path) -> None:
    """The order is the file's across batches."""
    numbers = range(20_000)
    path = written(tmp_path / "rows.csv", "a,y\n" + "".join(f"{i},no\n" for i in numbers))
    parts = list(open_source(path, CLASSES).batches())
    assert len(parts) > 1
    np.testing.assert_array_equal(np.concatenate([p.numeric[:, 0] for p in parts]), numbers)


HEADER = "a,c,b,y\n"
BAD = {
    "text in a number": (HEADER + "1,x,2,3\n1,x,abc,3\n", ["column 'b', row 2", "'abc'"]),
    "decimal comma": (HEADER + '"1,5",x,2,3\n', ["column 'a', row 1", "'1,5'"]),
    "infinite input": (HEADER + "1,x,2,3\ninf,x,2,3\n", ["column 'a', row 2", "infinite"]),
    "missing target": (HEADER + "1,x,2,\n", ["column 'y', row 1", "found nothing"]),
    "NaN target": (HEADER + "1,x,2,nan\n", ["column 'y', row 1", "'nan'"]),
    "infinite target": (HEADER + "1,x,2,3\n1,x,2,-inf\n", ["column 'y', row 2", "'-inf'"]),
    "missing column": ("a,c,y\n1,x,3\n", ["column 'b' is missing", "found a, c, y"]),
    "extra column": ("a,c,b,y,id\n1,x,2,3,4\n", ["column 'id'", "`ignore` in node.toml"]),
    "same name twice": ("a,c,b,y,a\n1,x,2,3,4\n", ["same name", "'a'"]),
    "semicolons": ("a;c;b;y\n1;x;2;3\n", ["not separated by commas"]),
    "ragged row": (HEADER + "1,x,2,3\n1,x,2\n", ["Line: 3"]),
    "header only": (HEADER, ["no rows"]),
    "empty": ("", ["empty"]),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_file_is_refused_by_name(tmp_path: Path, case: str) -> None:
    """File, column, row, what was expected and what was found."""
    text, facts = BAD[case]
    path = written(tmp_path / "rows.csv", text)
    with pytest.raises(DataError) as caught:
        open_source(path, REGRESSION)
    for fact in [str(path), *facts]:
        assert fact in str(caught.value)


def test_an_error_quotes_no_whole_row(tmp_path: Path) -> None:
    """Logs are read by others than those who may read rows."""
    path = written(tmp_path / "rows.csv", HEADER + "1,x,2,3\n77.125,secret,2\n")
    with pytest.raises(DataError) as caught:
        open_source(path, REGRESSION)
    assert "secret" not in str(caught.value)


def test_an_unknown_class_is_refused(tmp_path: Path) -> None:
    """The classes are the spec's."""
    path = written(tmp_path / "rows.csv", "a,y\n1,yes\n2,maybe\n")
    with pytest.raises(DataError, match=r"row 2.*no, yes.*'maybe'"):
        open_source(path, CLASSES)


def test_a_parquet_column_of_another_type_is_refused(tmp_path: Path) -> None:
    """A date is no number."""
    path = tmp_path / "rows.parquet"
    dates = pa.array([0], pa.date32())
    pyarrow.parquet.write_table(pa.table({"a": dates, "y": ["no"]}), path)
    with pytest.raises(DataError, match=r"column 'a'.*DATE"):
        open_source(path, CLASSES)


def test_ignored_columns_and_targets_to_predict(tmp_path: Path) -> None:
    """What the site ignores may be there; the target may be missing where it is to be predicted."""
    path = written(tmp_path / "rows.csv", "a,id\n1,7\n")
    with pytest.raises(DataError, match="'y' is missing"):
        open_source(path, CLASSES, ignore=["id"])
    (batch,) = open_source(path, CLASSES, ignore=["id"], with_target=False).batches()
    assert batch.target is None


def test_a_file_that_is_not_there() -> None:
    """Named."""
    with pytest.raises(DataError, match="no such file"):
        open_source(Path("nowhere.csv"), CLASSES)


def test_rows_of_a_program() -> None:
    """By column name; what is not a number is refused by row."""
    batch = batch_from_rows([{"a": 1, "b": None, "c": "x"}], REGRESSION)
    np.testing.assert_array_equal(batch.numeric, [[1, np.nan]])
    with pytest.raises(DataError, match="column 'a', row 1"):
        batch_from_rows([{"a": "abc", "b": None, "c": "x"}], REGRESSION)
    with pytest.raises(DataError, match="column 'b' is missing"):
        batch_from_rows([{"a": 1, "c": "x"}], REGRESSION)
    with pytest.raises(DataError, match="no rows"):
        batch_from_rows([], REGRESSION)

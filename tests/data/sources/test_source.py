"""Files are checked before anything is sent, and errors name file, column and row."""

import gzip
import os
from decimal import Decimal
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

from edge_node.config import Column, ColumnKind, DataSpec, Task
from edge_node.data.sources import checks
from edge_node.data.sources import source as sources
from edge_node.data.sources.duck import opened, relation
from edge_node.data.sources.source import batch_from_rows, open_source
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
    "same name but for case": ("a,c,b,y,A\n1,x,2,3,4\n", ["same name", "'a'", "Rename"]),
    "no name": (",a,c,b,y\n0,1,x,2,3\n", ["column 1 of 5", "no name", "index=False"]),
    "grouped digits": (HEADER + "1_5,x,2,3\n", ["column 'a', row 1", "'1_5'"]),
    "grouped digits in the target": (HEADER + "1,x,2,1_0.5\n", ["column 'y', row 1", "'1_0.5'"]),
    "too large": (HEADER + "1,x,2,3\n1,x,-1e300,3\n", ["column 'b', row 2", "'-1e300'", "1e+120"]),
    "long label": (HEADER + f"1,{'x' * 65},2,3\n", ["column 'c', row 1", "64 bytes", "categories"]),
    "first of several": (HEADER + "1,x,2,3\n1,x,z,3\n1,x,2,\nz,x,2,3\n", ["column 'b', row 2"]),
    "open quote": (HEADER + '1,x,2,3\n1,"x,2,3\n', [": row 2", "quoted cell", "Close"]),
    "wide row": (HEADER + "1,x,2,3\n1,x,2,3,4\n", [": row 2", "too many cells"]),
    "mixed line ends": ("a,c,b,y\r\n1,x,2,3\n1,x,2,3\r\n", ["well-formed", "line end"]),
    "semicolons": ("a;c;b;y\n1;x;2;3\n", ["not separated by commas"]),
    "ragged row": (
        HEADER + "1,x,2,3\n1,x,2\n",
        [": row 2", "too few cells", "expected 4", "found 3"],
    ),
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


@pytest.mark.parametrize("late", [0, 20_000])
def test_text_in_another_encoding_is_refused(tmp_path: Path, late: int) -> None:
    """Also where it stands far from the header, in a cell that nothing else is wrong with."""
    path = tmp_path / "rows.csv"
    path.write_bytes(b"a,c,b,y\n" + b"1,x,2,3\n" * late + "1,ç,2,3\n".encode("latin-1"))
    with pytest.raises(DataError, match=rf"rows\.csv: row {late + 1}: .*not UTF-8.*Save"):
        open_source(path, REGRESSION)


@pytest.mark.parametrize("name", ["rows.csv.gz", "rows.parquet"])
def test_a_damaged_file_is_refused(tmp_path: Path, name: str) -> None:
    """Cut off in the middle."""
    whole = tmp_path / f"whole-{name}"
    numbers = [float(i) for i in range(20_000)]
    if name.endswith("gz"):
        text = "a,y\n" + "".join(f"{number},no\n" for number in numbers)
        whole.write_bytes(gzip.compress(text.encode()))
    else:
        pyarrow.parquet.write_table(pa.table({"a": numbers, "y": ["no"] * 20_000}), whole)
    path = tmp_path / name
    path.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    with pytest.raises(DataError) as caught:
        open_source(path, CLASSES)
    assert str(path) in str(caught.value)
    assert caught.value.remedy
    assert "SELECT" not in str(caught.value)


def test_all_is_checked_in_one_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many columns there are."""
    passes = []
    monkeypatch.setattr(checks, "relation", lambda path: passes.append(path) or relation(path))
    names = [f"x{i}" for i in range(40)]
    path = written(tmp_path / "rows.csv", ",".join([*names, "y"]) + "\n" + "1," * 40 + "2\n")
    columns = tuple(Column(name=name) for name in names)
    open_source(path, DataSpec(task=Task.REGRESSION, target="y", columns=columns))
    assert len(passes) == 1


def rewritten(path: Path, how: str) -> None:
    """Another file under the same name."""
    before = path.read_text()
    if how == "grown":
        with path.open("a") as file:
            file.write("9,yes\n")
    elif how == "gone":
        path.unlink()
    else:
        path.write_text(before.replace("yes", "aye") if how == "other class" else before)
        later = path.stat().st_mtime_ns + 1_000_000
        os.utime(path, ns=(later, later))


@pytest.mark.parametrize("how", ["grown", "gone", "other class", "touched"])
@pytest.mark.parametrize("when", ["between", "during"])
def test_a_file_that_changes_is_refused(tmp_path: Path, how: str, when: str) -> None:
    """Between two passes or during one: sums of other rows would belong to no data at all."""
    path = written(tmp_path / "rows.csv", "a,y\n" + "1,yes\n2,no\n" * 30_000)
    source = open_source(path, CLASSES)
    passing = source.batches()
    if when == "between":
        assert sum(map(len, passing)) == 60_000
        passing = source.batches()
    else:
        next(passing)
    rewritten(path, how)
    with pytest.raises(DataError) as caught:
        list(passing)
    assert str(path) in str(caught.value)
    assert ("can't be read" if how == "gone" else "has changed") in str(caught.value)


def test_a_small_file_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And a large one is streamed anew each time: memory must not grow with it."""
    path = written(tmp_path / "rows.csv", "a,y\n1,yes\n2,no\n")
    reads = []
    monkeypatch.setattr(sources, "relation", lambda path: reads.append(path) or relation(path))
    small = open_source(path, CLASSES)
    first, again = list(small.batches()), list(small.batches())
    assert len(reads) == 1
    assert [id(batch) for batch in first] == [id(batch) for batch in again]
    monkeypatch.setattr(sources, "_KEPT_BYTES", 0)
    large = open_source(path, CLASSES)
    assert [len(list(large.batches())) for _ in range(2)] == [1, 1]
    assert len(reads) == 3


def test_what_is_damaged_later_is_said_with_its_place(tmp_path: Path) -> None:
    """A stamp can be forged: the row that was reached is said, and no cell."""
    path = written(tmp_path / "rows.csv", "a,y\n" + "1,yes\n2,no\n" * 30_000)
    source = open_source(path, CLASSES)
    text = path.read_text()
    path.write_text(text[:300_000] + "secret,secret,secret" + text[300_020:])
    os.utime(path, ns=(source.stamp.written, source.stamp.written))
    with pytest.raises(DataError, match=r"rows\.csv: row \d+, after row \d+: ") as caught:
        list(source.batches())
    assert "secret" not in str(caught.value)


def test_categories_are_text_as_it_is_written(tmp_path: Path) -> None:
    """In CSV nothing is changed but space around it; all three readers have one rule."""
    written_as = ["3", "3.0", "03", " 3\t", "1e3", "True", "é"]
    lines = "".join(f'1,"{text}",2,3\n' for text in written_as)
    (batch,) = open_source(written(tmp_path / "rows.csv", HEADER + lines), REGRESSION).batches()
    labels = ["3", "3.0", "03", "3", "1e3", "True", "é"]
    assert batch.categorical[:, 0].tolist() == labels
    rows = [{"a": 1, "b": 2, "c": text} for text in written_as]
    assert batch_from_rows(rows, REGRESSION).categorical[:, 0].tolist() == labels


NUMBERS = {
    "float64": (pa.float64(), [3.0, -0.0, 2.5, 1e-5, 2.0**52, 1e16, None, float("nan")]),
    "float32": (pa.float32(), [3.0, 0.5, None]),
    "int64": (pa.int64(), [3, -4, 2**62, None]),
    "uint8": (pa.uint8(), [3, 255]),
    "decimal": (pa.decimal128(12, 2), [Decimal("3.00"), Decimal("2.50"), Decimal("100.00")]),
    "whole decimal": (pa.decimal128(12, 0), [Decimal(300)]),
    "boolean": (pa.bool_(), [True, False]),
}


@pytest.mark.parametrize("kind", NUMBERS)
def test_numbers_as_categories_have_one_spelling(tmp_path: Path, kind: str) -> None:
    """Whole ones print like integers, in any column of a Parquet file and from a program."""
    dtype, values = NUMBERS[kind]
    n = len(values)
    table = {"a": [1.0] * n, "b": [1.0] * n, "y": [1.0] * n, "c": pa.array(values, dtype)}
    pyarrow.parquet.write_table(pa.table(table), tmp_path / "rows.parquet")
    (batch,) = open_source(tmp_path / "rows.parquet", REGRESSION).batches()
    spelled = batch.categorical[:, 0].tolist()
    expected = {
        "float64": ["3", "0", "2.5", "1e-05", "4503599627370496", "1e+16", None, None],
        "float32": ["3", "0.5", None],
        "int64": ["3", "-4", "4611686018427387904", None],
        "uint8": ["3", "255"],
        "decimal": ["3", "2.5", "100"],
        "whole decimal": ["300"],
        "boolean": ["true", "false"],
    }[kind]
    assert spelled == expected
    rows = [{"a": 1, "b": 2, "c": value} for value in values]
    assert batch_from_rows(rows, REGRESSION).categorical[:, 0].tolist() == expected


def test_whole_numbers_are_classes_too(tmp_path: Path) -> None:
    """Classes 0 and 1, stored as floats."""
    data = msgspec.structs.replace(CLASSES, classes=("0", "1"))
    pyarrow.parquet.write_table(
        pa.table({"a": [1.0, 2.0], "y": [1.0, 0.0]}), tmp_path / "r.parquet"
    )
    (batch,) = open_source(tmp_path / "r.parquet", data).batches()
    assert batch.target is not None
    assert batch.target.tolist() == [1, 0]
    path = written(tmp_path / "rows.csv", "a,y\n1,1.0\n")
    with pytest.raises(DataError, match=r"row 1.*0, 1.*'1\.0'"):
        open_source(path, data)


@pytest.mark.parametrize(
    ("column", "array"),
    [
        ("a", pa.array([[1.0]])),
        ("c", pa.array([[1]])),
        ("c", pa.array([{"x": 1}])),
        ("c", pa.array([b"x"])),
        ("y", pa.array([0], pa.timestamp("us"))),
    ],
    ids=str,
)
def test_types_that_are_no_cells_are_refused(tmp_path: Path, column: str, array: pa.Array) -> None:
    """Lists, structures, bytes; a time as a number."""
    path = tmp_path / "rows.parquet"
    table = {"a": [1.0], "b": [1.0], "c": ["x"], "y": [1.0]} | {column: array}
    pyarrow.parquet.write_table(pa.table(table), path)
    with pytest.raises(DataError, match=rf"rows\.parquet: column '{column}'.*expected.*Convert"):
        open_source(path, REGRESSION)


def test_nothing_is_printed(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """DuckDB would show its progress on standard output, where predictions go."""
    path = written(tmp_path / "rows.csv", "a,y\n1,no\n")
    open_source(path, CLASSES)
    with opened(path) as connection:
        setting = "SELECT current_setting('enable_progress_bar')"
        assert connection.execute(setting).fetchone() == (False,)
    assert capfd.readouterr().out == ""


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


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """Named; so is a folder, and a path that no file can have."""
    for path in (Path("nowhere.csv"), tmp_path, Path("x" * 300)):
        with pytest.raises(DataError, match="no such file") as caught:
            open_source(path, CLASSES)
        assert ("a folder" in caught.value.found) == path.is_absolute()


def test_a_file_that_nobody_may_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It isn't called damaged."""
    path = written(tmp_path / "rows.csv", "a,y\n1,no\n")
    assert open_source(path, CLASSES).rows == 1
    monkeypatch.setattr("os.access", lambda *_: False)  # for root may read everything
    with pytest.raises(DataError, match="who may read it"):
        open_source(path, CLASSES)


@pytest.mark.parametrize("name", ["rows[1].csv", "ro*s.csv", "rows?.parquet", "~rows.csv"])
def test_a_name_is_no_pattern(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Browsers and spreadsheets write such names. Files whose names match aren't read instead."""
    monkeypatch.chdir(tmp_path)
    for each, label in ((name, "no"), ("rows1" + Path(name).suffix, "yes"), ("rows.csv", "yes")):
        table = pa.table({"a": [1.0], "y": [label]})
        if each.endswith("csv"):
            pyarrow.csv.write_csv(table, each)
        else:
            pyarrow.parquet.write_table(table, each)
    (batch,) = open_source(Path(name), CLASSES).batches()
    assert batch.target is not None
    assert batch.target.tolist() == [0]


@pytest.mark.parametrize("name", ["rows.csv", "rows.parquet"])
def test_a_folders_name_is_no_cell(tmp_path: Path, name: str) -> None:
    """A folder may be called ``y=yes``, as Hive has them; the file's own cells are read."""
    (folder := tmp_path / "y=yes" / "ward=3").mkdir(parents=True)
    table = pa.table({"a": [1.0], "y": ["no"]})
    if name.endswith("csv"):
        pyarrow.csv.write_csv(table, folder / name)
    else:
        pyarrow.parquet.write_table(table, folder / name)
    (batch,) = open_source(folder / name, CLASSES).batches()
    assert batch.target is not None
    assert batch.target.tolist() == [0]


@pytest.mark.parametrize("name", ["ROWS.CSV.GZ", "ROWS.PARQUET"])
def test_names_in_capitals(tmp_path: Path, name: str) -> None:
    """As old systems write them."""
    if name.endswith("GZ"):
        (tmp_path / name).write_bytes(gzip.compress(b"a,y\n1,no\n"))
    else:
        pyarrow.parquet.write_table(pa.table({"a": [1.0], "y": ["no"]}), tmp_path / name)
    assert open_source(tmp_path / name, CLASSES).rows == 1


@pytest.mark.parametrize(
    ("content", "found", "remedy"),
    [
        ("a,y\n1,no\n".encode("utf-16"), "UTF-16", "UTF-8"),
        (gzip.compress(b"a,y\n1,no\n"), "gzip", ".csv.gz"),
        (b"PK\x03\x04\xff\xfe", "workbook", "CSV"),
        ("ä,y\n1,no\n".encode("latin-1"), "", "UTF-8"),
    ],
)
def test_what_is_no_text_is_recognised(
    tmp_path: Path, content: bytes, found: str, remedy: str
) -> None:
    """By how it begins, whatever its name says."""
    path = tmp_path / "rows.csv"
    path.write_bytes(content)
    with pytest.raises(DataError, match="not UTF-8") as caught:
        open_source(path, CLASSES)
    assert found in caught.value.found
    assert remedy in caught.value.remedy


def test_rows_of_a_program() -> None:
    """By column name; what is not a number is refused by row."""
    batch = batch_from_rows([{"a": 1, "b": None, "c": "x"}], REGRESSION)
    np.testing.assert_array_equal(batch.numeric, [[1, np.nan]])
    for bad in ("abc", "1_5", "١٢", "inf", -1e300, 10**400, " "):
        with pytest.raises(DataError, match="column 'a', row 1"):
            batch_from_rows([{"a": bad, "b": None, "c": "x"}], REGRESSION)
    with pytest.raises(DataError, match="column 'b' is missing"):
        batch_from_rows([{"a": 1, "c": "x"}], REGRESSION)
    with pytest.raises(DataError, match="no rows"):
        batch_from_rows([], REGRESSION)

"""The demonstration's reading of a user's own CSV file: what it takes, and what it refuses."""

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_node.config import ColumnKind, Task
from edge_node.demo.data.csv_file import load_csv
from edge_node.demo.data.datasets import Dataset
from edge_node.errors import DataError

ROWS = 300
AGES = np.round(np.random.default_rng(0).uniform(20, 80, ROWS), 1)

Cell = Callable[[int], object]


def plain(i: int) -> object:
    """An age."""
    return AGES[i]


def write(folder: Path, *, age: Cell = plain, ward: Cell = lambda i: "news"[i % 4],
          y: Cell = lambda i: 2 * AGES[i] + 0.25, rows: int = ROWS) -> Path:  # fmt: skip
    """A file with three columns; row 1 is made of ``age(0)``, ``ward(0)`` and ``y(0)``."""
    path = folder / "own.csv"
    lines = [f"{age(i)},{ward(i)},{y(i)}\n" for i in range(rows)]
    path.write_text("age,ward,y\n" + "".join(lines))
    return path


def refused(path: Path, target: str = "y", **options: object) -> DataError:
    """Why the file is refused."""
    with pytest.raises(DataError) as caught:
        load_csv(path, target, **options)
    assert str(path) in caught.value.where
    assert caught.value.exit_code == 4
    return caught.value


def kinds(dataset: Dataset) -> dict[str, ColumnKind]:
    """What each input is."""
    return {column.name: column.kind for column in dataset.data.columns}


def but(row: int, text: str, otherwise: Cell) -> Cell:
    """``otherwise``, but for one cell; rows count from one."""
    return lambda i: text if i == row - 1 else otherwise(i)


def test_numbers_and_labels_are_told_apart(tmp_path: Path) -> None:
    """Numbers are read as such, whole ones as integers; text and booleans become labels."""
    path = tmp_path / "own.csv"
    path.write_text(
        "a,b,c,d,y\n" + "".join(f"{i},{i / 8},{i % 2 == 0},x,{i / 3}\n" for i in range(40))
    )
    found = load_csv(path, "y")
    numeric, categorical = ColumnKind.NUMERIC, ColumnKind.CATEGORICAL
    assert kinds(found) == {"a": numeric, "b": numeric, "c": categorical, "d": categorical}
    assert found.table["a"].to_pylist()[:3] == [0, 1, 2]
    assert found.table["b"].to_pylist()[:3] == [0, 0.125, 0.25]
    assert found.table["c"].to_pylist()[:3] == ["True", "False", "True"]
    assert found.data.task is Task.REGRESSION
    packed = tmp_path / "own.csv.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert load_csv(packed, "y").table == found.table


def test_what_is_fine_stays_fine(tmp_path: Path) -> None:
    """A byte-order mark, CRLF, spaces in names and around cells, empty cells, constant columns."""
    path = tmp_path / "own.csv"
    lines = [
        f" {i} ,{'' if i % 3 else 1.5},k,{'a ' if i % 2 else 'a'},{i % 2}\r\n" for i in range(40)
    ]
    path.write_bytes(("\ufeffthe age,b,c,d,y\r\n" + "".join(lines)).encode())
    found = load_csv(path, "y")
    assert list(kinds(found)) == ["the age", "b", "c", "d"]
    assert found.table["b"].null_count == 26
    assert set(found.table["d"].to_pylist()) == {"a"}
    assert (found.data.task, found.data.classes) == (Task.CLASSIFICATION, ("0", "1"))


@pytest.mark.parametrize(
    ("y", "task", "classes"),
    [
        (lambda i: i % 3, Task.CLASSIFICATION, ("0", "1", "2")),
        (lambda i: i % 30, Task.REGRESSION, ()),
        (lambda i: i % 3 + 0.5, Task.REGRESSION, ()),
        (lambda i: "yes" if i % 2 else "no", Task.CLASSIFICATION, ("no", "yes")),
    ],
    ids=["few-integers", "many-integers", "fractions", "text"],
)
def test_the_task_is_the_targets(
    tmp_path: Path, y: Cell, task: Task, classes: tuple[str, ...]
) -> None:
    """A few integers are classes, other numbers a quantity; whoever knows better says so."""
    path = write(tmp_path, y=y)
    found = load_csv(path, "y").data
    assert (found.task, found.classes) == (task, classes)
    labelled = load_csv(path, "y", task=Task.CLASSIFICATION).data
    assert labelled.classes == tuple(sorted({str(y(i)) for i in range(ROWS)}))
    assert load_csv(path, "y", categorical=["y"]).data == labelled


def test_rows_without_a_target_are_left_out(tmp_path: Path) -> None:
    """A note says so; errors in the other rows have the file's row numbers."""
    gaps = {0, 5, 7}
    path = write(tmp_path, y=lambda i: "" if i in gaps else AGES[i])
    found = load_csv(path, "y")
    assert found.table.num_rows == ROWS - len(gaps)
    assert found.notes == ("3 rows without a target were left out",)
    path = write(tmp_path, age=but(9, "1e300", plain), y=lambda i: "" if i in gaps else AGES[i])
    assert refused(path).where == f"{path}: column 'age', row 9"


@pytest.mark.parametrize(
    ("column", "option"),
    [("dates", "2024-05-01"), ("times", "12:30:00"), ("stamps", "2024-05-01 12:30")],
)
def test_dates_are_left_out(tmp_path: Path, column: str, option: str) -> None:
    """With the reason; so are columns without a value."""
    path = tmp_path / "own.csv"
    path.write_text(f"a,{column},void,y\n" + "".join(f"{i},{option},,{i / 3}\n" for i in range(40)))
    found = load_csv(path, "y")
    assert list(kinds(found)) == ["a"]
    assert "dates and times" in found.left_out[column]
    assert found.left_out["void"] == "every cell is missing"
    assert found.table.column_names == ["a", "y"]


MIXED = "a column of numbers has cells that can't be read as numbers"
OWN = "nearly every row has a label of its own"


@pytest.mark.parametrize(
    ("age", "row", "problem", "found"),
    [
        (but(8, "oops", plain), 8, MIXED, "'oops' among 300 cells"),
        (lambda i: f"{AGES[i]:.0f}%", 1, MIXED, "and 299 others among 300"),
        (lambda i: 12 if i < 4 else '"1,234"', 5, MIXED, "'1,234' and 295 others"),
        (lambda i: f'"{AGES[i]}"'.replace(".", ","), 1, MIXED, "and 299 others"),
        (lambda i: "missing" if i % 5 == 4 else AGES[i], 5, MIXED, "'missing' and 59 others"),
        (lambda i: f"patient-{i}", 1, OWN, "300 labels in 300 rows, for example 'patient-0'"),
        (lambda i: f"code-{i % 120}", 1, "the column has very many labels", "120 labels in 300"),
        (lambda i: "Yes" if i == 6 else ("yes", "no")[i % 2], 7,
         "labels differ only in upper and lower case, or in space", "'yes' (149) and 'Yes' (1)"),
        (lambda i: "a  b" if i == 6 else ("a b", "no")[i % 2], 7,
         "labels differ only in upper and lower case, or in space", "'a b' (149) and 'a  b' (1)"),
    ],
    ids=["oops", "cents", "thousands", "commas", "missing", "ids", "many", "case", "space"],
)  # fmt: skip
def test_a_doubtful_column_is_refused_with_the_ways_out(
    tmp_path: Path, age: Cell, row: int, problem: str, found: str
) -> None:
    """By file, column, row and cell; either way out settles it."""
    path = write(tmp_path, age=age)
    error = refused(path)
    assert error.problem == problem
    assert error.where == f"{path}: column 'age', row {row}"
    assert found in error.found
    assert "`--categorical age`" in error.remedy
    assert "`--ignore age`" in error.remedy
    assert kinds(load_csv(path, "y", categorical=["age"]))["age"] is ColumnKind.CATEGORICAL
    assert "age" not in kinds(load_csv(path, "y", ignore=["age"]))


def test_a_text_can_be_read_as_missing(tmp_path: Path) -> None:
    """In all columns; the error names the option, and the cells are then missing."""
    path = write(tmp_path, age=but(8, "oops", plain), ward=but(3, "n/a", lambda i: "news"[i % 4]))
    assert "`--missing oops`" in refused(path).remedy
    found = load_csv(path, "y", missing=["oops", "n/a"])
    assert kinds(found)["age"] is ColumnKind.NUMERIC
    assert found.table["age"].to_pylist()[7] is None
    assert found.table["ward"].to_pylist()[2] is None
    assert found.table["age"].null_count == found.table["ward"].null_count == 1


def test_every_doubtful_column_is_named(tmp_path: Path) -> None:
    """The first with its cell, the others by name: one look at the file mends all."""
    path = write(tmp_path, age=but(8, "oops", plain), ward=lambda i: f"patient-{i}")
    error = refused(path)
    assert "column 'age'" in error.where
    assert error.remedy.endswith("Other doubtful columns: 'ward'")


@pytest.mark.parametrize(
    ("y", "row", "found"),
    [
        (but(8, "oops", lambda i: AGES[i] / 3), 8, "'oops' among 300"),
        (lambda i: f'"{AGES[i]}"'.replace(".", ","), 1, "and 299 others"),
        (but(8, "Yes", lambda i: ("yes", "no")[i % 2]), 8, "'Yes' (1)"),
        (lambda i: f"patient-{i}", 1, "300 labels in 300 rows"),
    ],
    ids=["one-cell", "decimal-commas", "case", "ids"],
)
def test_a_doubtful_target_is_refused(tmp_path: Path, y: Cell, row: int, found: str) -> None:
    """One cell doesn't make three hundred classes of a quantity; ``--task`` settles it."""
    path = write(tmp_path, y=y)
    error = refused(path)
    assert error.where == f"{path}: column 'y', row {row}"
    assert found in error.found
    assert "`--task classification`" in error.remedy
    assert "--ignore" not in error.remedy
    assert load_csv(path, "y", task=Task.CLASSIFICATION).data.task is Task.CLASSIFICATION


def test_a_regression_needs_numbers(tmp_path: Path) -> None:
    """With ``--task regression`` any text is refused, however few cells are numbers."""
    path = write(tmp_path, y=lambda i: AGES[i] if i < 50 else "none")
    assert load_csv(path, "y", task=Task.CLASSIFICATION)
    error = refused(path, task=Task.REGRESSION)
    assert "row 51" in error.where
    assert load_csv(path, "y", task=Task.REGRESSION, missing=["none"]).table.num_rows == 50


def test_a_sentinel_is_noted(tmp_path: Path) -> None:
    """Nobody can know what -999 means: it is taken, and said; as a missing cell it is gone."""
    path = write(tmp_path, age=lambda i: -999 if i % 30 == 7 else AGES[i])
    (note,) = load_csv(path, "y").notes
    assert "column 'age' has -999 in 10 rows" in note
    assert "`--missing -999`" in note
    found = load_csv(path, "y", missing=["-999"])
    assert found.notes == ()
    assert found.table["age"].null_count == 10


def test_other_peculiar_columns_are_noted(tmp_path: Path) -> None:
    """A column that numbers the rows, and labels that may mean a missing cell."""
    path = write(tmp_path, age=lambda i: i + 1, ward=lambda i: "NA" if i == 2 else "news"[i % 4])
    number, label = load_csv(path, "y").notes
    assert "column 'age' numbers the rows" in number
    assert "label 'NA' in 1 rows" in label
    assert load_csv(path, "y", ignore=["age"], missing=["NA"]).notes == ()


@pytest.mark.parametrize(
    ("content", "place", "problem", "rest"),
    [
        (b"", "", "the file is empty", ""),
        (b"age,ward,y\n", "", "the file has no rows", ""),
        (b"age,age,y\n1,2,3\n", "", "two columns have the same name", "Rename"),
        (b"age,,y\n1,2,3\n", ": column 2 of 3", "a column has no name", ""),
        (b"age;ward;y\n1;2;3\n", "", "the file is not separated by commas", "commas"),
        ("age,ward,y\n1,a,3\n".encode("utf-16"), ": header", "the text is not UTF-8", "UTF-16"),
        (b"age,ward,y\n1,a,3\n1,Z\xfcri,3\n", ": row 2", "the text is not UTF-8", "Save the file"),
        (gzip.compress(b"age,ward,y\n1,a,3\n"), ": header", "the text is not UTF-8", ".csv.gz"),
        (b'age,ward,y\n1,"a\nb",3\n2,b\n', ": row 2", "a row has too few cells", "header"),
        (b"age,ward,y\n1,a,3\n2,b\n", ": row 2", "a row has too few cells", "header"),
        (b"age,ward,y\n1,a,\n2,b,\n", ": column 'y'", "the target is missing in every row", ""),
        (b"age,ward,y\n1,a,3\n2,b,3\n", ": column 'y'",
         "the target is the same in every row: there is nothing to learn", "--target"),
        (b"age,ward,y\n1,a,no\n2,b,no\n", ": column 'y'",
         "the target is the same in every row: there is nothing to learn", "'no' in 2 rows"),
        (b"y\n1\n2\n", "", "no column is left to predict from", "beside the target"),
        (b"age,ward,x\n1,a,3\n2,b,3\n", "", "no column 'y'", "age, ward, x"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_used(
    tmp_path: Path, content: bytes, place: str, problem: str, rest: str
) -> None:
    """The user's own file is named, and what to do with it; never a spec, which nobody has."""
    path = tmp_path / "own.csv"
    path.write_bytes(content)
    error = refused(path)
    assert (error.problem, error.where) == (problem, f"{path}{place}")
    assert rest in str(error)
    assert "spec" not in str(error)


@pytest.mark.parametrize(
    ("columns", "column", "problem"),
    [
        ({"y": but(4, "inf", plain)}, "y", "the target is missing or not a finite number"),
        ({"age": but(4, "inf", plain)}, "age", "an infinite number, or one that is too large"),
        ({"age": but(4, "1e300", plain)}, "age", "an infinite number, or one that is too large"),
        ({"ward": but(4, "x" * 70, lambda i: "news"[i % 4])}, "ward",
         "a category's label is too long, or has a zero byte"),
    ],
    ids=["infinite-target", "infinite", "large", "long"],
)  # fmt: skip
def test_the_nodes_checker_searches_the_users_file(
    tmp_path: Path, columns: dict[str, Cell], column: str, problem: str
) -> None:
    """What a node would refuse is refused before there are nodes, with the user's row."""
    path = write(tmp_path, **columns)
    error = refused(path)
    assert (error.problem, error.where) == (problem, f"{path}: column {column!r}, row 4")
    assert "--missing TEXT" in error.remedy
    assert "spec" not in str(error)


@pytest.mark.parametrize("option", ["ignore", "categorical", "missing"])
def test_an_option_names_a_column_that_is_there(tmp_path: Path, option: str) -> None:
    """A misspelt column is an error; a text to be read as missing may be in no cell."""
    path = write(tmp_path)
    if option == "missing":
        assert load_csv(path, "y", missing=["wardd"])
        return
    error = refused(path, **{option: ["wardd"]})
    assert error.problem == "no column 'wardd'"
    assert error.found == "age, ward, y"


def test_a_column_may_have_any_name(tmp_path: Path) -> None:
    """Also that of a helper column in a query, quotes and all."""
    path = tmp_path / "own.csv"
    path.write_text(
        'row,row_,"say ""hi""",y\n' + "".join(f"{i},{i % 7},inf,{i / 3}\n" for i in range(40))
    )
    error = refused(path)
    assert error.where == f"{path}: column 'say \"hi\"', row 1"
    found = load_csv(path, "y", missing=["inf"])
    assert list(kinds(found)) == ["row", "row_"]


def test_counts_times_and_ordered_classes_are_read_as_such(tmp_path: Path) -> None:
    """An event makes the target a time; ordered classes are numbers, or their order is given."""
    path = tmp_path / "own.csv"
    rows = [
        f"{i},{i % 5},{1 + i % 7}.5,{i % 2},{i % 3},{['low', 'mid', 'high'][i % 3]}\n"
        for i in range(60)
    ]
    path.write_text("a,visits,months,died,grade,level\n" + "".join(rows))
    names = ("visits", "months", "died", "grade", "level")

    def read(target: str, **chosen: Any) -> Dataset:
        used = {target, chosen.get("event")}
        return load_csv(path, target, ignore=[n for n in names if n not in used], **chosen)

    counts = read("visits", task=Task.COUNT)
    assert counts.data.task is Task.COUNT
    assert counts.table["visits"].to_pylist()[:3] == [0, 1, 2]
    times = read("months", event="died")
    assert times.data.task is Task.SURVIVAL
    assert times.data.event == "died"
    assert [column.name for column in times.data.columns] == ["a"]
    assert times.table["died"].to_pylist()[:3] == [0, 1, 0]
    assert read("grade", task=Task.ORDINAL).data.classes == ("0", "1", "2")
    labels = {"categorical": ["grade"]}
    assert read("grade", **labels).data.task is Task.CLASSIFICATION
    assert read("grade", task=Task.ORDINAL, **labels).data.task is Task.ORDINAL
    assert read("level", classes=["low", "mid", "high"]).data.classes == ("low", "mid", "high")
    with pytest.raises(DataError, match="order of the target's classes is not known"):
        read("level", task=Task.ORDINAL)
    with pytest.raises(DataError, match=r"column 'months', row 1.*'1.5'"):
        read("months", task=Task.COUNT)
    with pytest.raises(DataError, match="row 1: nearly every row has a label of its own"):
        load_csv(path, "a", task=Task.ORDINAL)


@pytest.mark.parametrize(
    ("events", "problem"),
    [
        ("0" * 12, "column 'died': the event was seen in no row"),
        ("01" * 5 + "2" + "1", r"column 'died', row 11: the event is missing, or neither"),
    ],
)
def test_events_that_say_nothing_are_refused(tmp_path: Path, events: str, problem: str) -> None:
    """A row can't do without an event, so nothing says to read it as missing."""
    path = tmp_path / "own.csv"
    path.write_text("a,months,died\n" + "".join(f"{i},{i + 1},{e}\n" for i, e in enumerate(events)))
    with pytest.raises(DataError, match=problem) as caught:
        load_csv(path, "months", event="died")
    assert caught.value.remedy
    assert "--missing" not in caught.value.remedy

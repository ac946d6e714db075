"""The checks of a file's rows, as conditions that DuckDB searches for in one pass."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import duckdb

from edge_node.config import Column, DataSpec, Task
from edge_node.data.sources.duck import (
    as_text,
    as_time,
    is_number,
    is_text,
    is_time,
    literal,
    number,
    quoted,
    relation,
)
from edge_node.data.sources.schema import LONGEST_LABEL, categorical_columns, numeric_columns
from edge_node.errors import DataError

__all__ = ["LARGEST", "LARGEST_COUNT", "SHORTEST", "FileRows", "count_rows"]

LARGEST = 1e120
"""The largest absolute value of a number: larger ones can't be summed."""

LARGEST_COUNT = 10**9
"""The largest count: a logarithm tells all counts up to it apart."""

SHORTEST = 1e-120
"""The shortest time: logarithms of shorter ones would be all that is seen."""


@dataclass(frozen=True)
class FileRows:
    """A file's rows, to be checked, and where a person finds them.

    Attributes:
        path: the file that errors name.
        relation: SQL, what follows FROM.
        number: SQL, a row's number in the file; the first row is 1.
    """

    path: Path
    relation: str
    number: str = "row_number() OVER ()"

    @classmethod
    def of(cls, path: Path) -> Self:
        """All rows of a file. Raises DataError for a header that can't be used."""
        return cls(path, relation(path))


@dataclass(frozen=True)
class _Problem:
    """A condition that no row may fulfil."""

    column: str
    condition: str  # SQL
    problem: str
    expected: str
    remedy: str


def count_rows(
    connection: duckdb.DuckDBPyConnection,
    rows: FileRows,
    data: DataSpec,
    types: Mapping[str, str],
    *,
    with_target: bool,
) -> int:
    """Check every row against the schema and count them, in one pass for all columns.

    Raises:
        DataError: a column of the wrong type, or the first cell that doesn't fit.
    """
    _check_types(rows.path, data, types, with_target=with_target)
    searched = list(_problems(data, types, with_target=with_target))
    conditions = "".join(f", {each.condition} AS c{i}" for i, each in enumerate(searched))
    firsts = "".join(f", min(row) FILTER (WHERE c{i})" for i in range(len(searched)))
    query = (
        f"SELECT count(*){firsts} FROM "  # noqa: S608 - quoted
        f"(SELECT {rows.number} AS row{conditions} FROM {rows.relation})"
    )
    count, *found = connection.execute(query).fetchone() or (0,)
    wrong = [(row, i) for i, row in enumerate(found) if row is not None]
    if wrong:
        row, i = min(wrong)
        raise _error(connection, rows, searched[i], row)
    return int(count)


def _error(
    connection: duckdb.DuckDBPyConnection, rows: FileRows, wrong: _Problem, row: int
) -> DataError:
    query = (
        f"SELECT cell FROM (SELECT {rows.number} AS row, {quoted(wrong.column)} AS cell "  # noqa: S608 - quoted
        f"FROM {rows.relation}) WHERE row = {row} LIMIT 1"
    )
    (value,) = connection.execute(query).fetchone() or (None,)
    return DataError(
        wrong.problem,
        where=f"{rows.path}: column {wrong.column!r}, row {row}",
        expected=wrong.expected,
        found="nothing" if value is None else repr(value)[:80],
        remedy=wrong.remedy,
    )


def _problems(data: DataSpec, types: Mapping[str, str], *, with_target: bool) -> Iterator[_Problem]:
    """What to search a file for, given its columns' types."""
    for column in numeric_columns(data):
        name, value = quoted(column.name), number(column.name, types)
        yield _Problem(
            column.name,
            f"{name} IS NOT NULL AND {value} IS NULL",
            "text in a numeric column",
            "a number such as 1.5, or an empty cell where it is missing",
            "Correct the cell, or make the column categorical in the federation spec",
        )
        yield _Problem(
            column.name,
            f"abs({value}) > {LARGEST} AND NOT isnan({value})",
            "an infinite number, or one that is too large",
            f"a number up to {LARGEST:g}, or an empty cell where it is missing",
            "Correct or empty the cell",
        )
    for column in categorical_columns(data):
        yield _label_problem(column, types, agreed_on=with_target and not column.categories)
    if with_target:
        yield _target_problem(data, types)
        if data.task is Task.SURVIVAL:
            yield _event_problem(data, types)
    if with_target and data.time:
        yield _Problem(
            data.time,
            f"{as_time(data.time, types)} IS NULL",
            "the row has no time",
            "a number, a date such as 2024-05-31, or a time such as 2024-05-31 12:30",
            "Correct the cell, leave the row out, or take `time` out of the federation spec",
        )


def _label_problem(column: Column, types: Mapping[str, str], *, agreed_on: bool) -> _Problem:
    """Listed categories are checked, too: so every column is read, and broken UTF-8 is found."""
    text = as_text(column.name, types)
    return _Problem(
        column.name,
        f"contains({text}, chr(0))" + f" OR strlen({text}) > {LONGEST_LABEL}" * agreed_on,
        "a category's label is too long, or has a zero byte",
        f"at most {LONGEST_LABEL} bytes in UTF-8" if agreed_on else "text",
        "Correct the cell, or list the column's `categories` in the federation spec",
    )


def _target_problem(data: DataSpec, types: Mapping[str, str]) -> _Problem:
    if not data.task.has_classes:
        return _number_problem(data, number(data.target, types))
    known = ", ".join(literal(label) for label in data.classes)
    return _Problem(
        data.target,
        f"coalesce({as_text(data.target, types)} NOT IN ({known}), true)",
        "the target is missing or of an unknown class",
        f"one of {', '.join(data.classes)}",
        "Correct the cell (text counts as written: 1.0 isn't 1), leave the row out, or add the "
        "class to the federation spec",
    )


def _number_problem(data: DataSpec, value: str) -> _Problem:
    """What a target that is a number may not be; ``value`` is SQL."""
    wrong = f"isnan({value}) OR abs({value}) > {LARGEST}"
    problem = "the target is missing or not a finite number"
    expected = f"a number up to {LARGEST:g}"
    if data.task is Task.COUNT:
        wrong += f" OR {value} < 0 OR {value} > {LARGEST_COUNT} OR {value} <> trunc({value})"
        problem = "the target is missing or not a count"
        expected = f"a whole number from 0 to {LARGEST_COUNT:,}"
    elif data.task is Task.SURVIVAL:
        wrong += f" OR {value} < {SHORTEST}"
        problem = "the target is missing or not a time"
        expected = f"a positive number, from {SHORTEST:g} to {LARGEST:g}"
    return _Problem(
        data.target,
        f"coalesce({wrong}, true)",
        problem,
        f"{expected} in every row",
        "Correct the cell, or leave the row out",
    )


def _event_problem(data: DataSpec, types: Mapping[str, str]) -> _Problem:
    return _Problem(
        data.event,
        f"coalesce({number(data.event, types)} NOT IN (0, 1), true)",
        "the event is missing, or neither 0 nor 1",
        "1 where the event was seen at the time, 0 where the row was lost from sight before it",
        "Correct the cell, or leave the row out",
    )


def _check_types(
    path: Path, data: DataSpec, types: Mapping[str, str], *, with_target: bool
) -> None:
    """Raise DataError for a column whose cells can't be what the schema says."""
    numbers = [column.name for column in numeric_columns(data)]
    texts = [column.name for column in categorical_columns(data)]
    if with_target:
        (texts if data.task.has_classes else numbers).extend(data.target_columns)
    if with_target and data.time and not is_time(types[data.time]):
        _refuse(path, [data.time], types, "times")
    _refuse(path, [name for name in numbers if not is_number(types[name])], types, "numbers")
    _refuse(path, [name for name in texts if not is_text(types[name])], types, "text")


def _refuse(path: Path, wrong: Sequence[str], types: Mapping[str, str], wanted: str) -> None:
    for name in wrong:
        raise DataError(
            f"the column can't be read as {wanted}",
            where=f"{path}: column {name!r}",
            expected=f"a column of {wanted}",
            found=types[name],
            remedy="Convert it when the file is written",
        )

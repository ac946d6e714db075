"""Rows of a CSV or Parquet file, checked against the schema and streamed in batches.

DuckDB reads the file. It is checked once, when it is opened, so that what is wrong can be named by
column and row before anything is sent; then it is streamed, in the file's order, as often as the
program passes over it. Memory doesn't grow with the number of rows.
"""

import csv
import gzip
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import duckdb
import numpy as np
from numpy.typing import NDArray

from edge_node.config import ColumnKind, DataSpec, Task
from edge_node.data.schema import check_columns, clean_label
from edge_node.errors import DataError

__all__ = [
    "BATCH_ROWS",
    "Batch",
    "FileSource",
    "MemorySource",
    "Source",
    "batch_from_rows",
    "open_source",
]

BATCH_ROWS = 8192

_NUMBERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT",
            "UINTEGER", "UBIGINT", "FLOAT", "DOUBLE", "BOOLEAN", "VARCHAR")  # fmt: skip


@dataclass(frozen=True)
class Batch:
    """Some rows, in the order of the spec's columns.

    Attributes:
        numeric: (n, p) float64, NaN where missing.
        categorical: (n, q) of str, None where missing.
        target: (n,) numbers (regression) or class indices (classification), float64; or None.
    """

    numeric: NDArray[np.float64]
    categorical: NDArray[np.object_]
    target: NDArray[np.float64] | None = None

    def __len__(self) -> int:
        return len(self.numeric)


class Source(Protocol):
    """Rows that can be passed over again and again, in the same order."""

    def batches(self) -> Iterator[Batch]:
        """The rows, at most ``BATCH_ROWS`` at a time; at least one batch."""
        ...


@dataclass(frozen=True)
class MemorySource:
    """Rows that are in memory already."""

    parts: tuple[Batch, ...]

    def batches(self) -> Iterator[Batch]:
        """The parts as they are."""
        yield from self.parts


@dataclass(frozen=True)
class FileSource:
    """A checked file; ``open_source`` makes it."""

    path: Path
    data: DataSpec
    rows: int
    with_target: bool

    def batches(self) -> Iterator[Batch]:
        """Stream the file in its own order. Raises DataError if it can't be read any more."""
        selected = [_as_number(c.name) for c in _of_kind(self.data, ColumnKind.NUMERIC)]
        selected += [_as_text(c.name) for c in _of_kind(self.data, ColumnKind.CATEGORICAL)]
        if self.with_target:
            regression = self.data.task is Task.REGRESSION
            selected.append((_as_number if regression else _as_text)(self.data.target))
        query = f"SELECT {', '.join(selected)} FROM {_relation(self.path)}"  # noqa: S608 - quoted
        with _connection() as connection, _Translated(self.path):
            for record in connection.sql(query).to_arrow_reader(BATCH_ROWS):
                yield self._batch([column.to_numpy(zero_copy_only=False) for column in record])

    def _batch(self, columns: list[NDArray[Any]]) -> Batch:
        numbers = len(_of_kind(self.data, ColumnKind.NUMERIC))
        inputs = len(self.data.columns)
        rows = len(columns[0])
        numeric = np.empty((rows, numbers))
        for j, column in enumerate(columns[:numbers]):
            numeric[:, j] = column
        categorical = np.empty((rows, inputs - numbers), dtype=object)
        for j, column in enumerate(columns[numbers:inputs]):
            categorical[:, j] = column
        if not self.with_target:
            return Batch(numeric, categorical)
        target = columns[inputs]
        if self.data.task is Task.CLASSIFICATION:
            index = {label: i for i, label in enumerate(self.data.classes)}
            target = np.array([index[label] for label in target])
        return Batch(numeric, categorical, np.asarray(target, dtype=np.float64))


def open_source(
    path: Path, data: DataSpec, *, ignore: Sequence[str] = (), with_target: bool = True
) -> FileSource:
    """Check a file against the schema, from the first row to the last.

    Args:
        path: a CSV file (``.csv``, ``.csv.gz``; comma-separated, with a header) or Parquet file.
        data: the schema.
        ignore: columns of the file that aren't used.
        with_target: False for rows to predict: the target's column may be there or not.

    Raises:
        DataError: what is wrong, with file, column, row (the first data row is row 1), what was
            expected and what was found.
    """
    if not path.is_file():
        raise DataError("no such file", where=str(path), remedy="Check the path")
    with _connection() as connection, _Translated(path):
        types = _columns(connection, path)
        check_columns(list(types), data, ignore=ignore, with_target=with_target, where=str(path))
        (rows,) = _one(connection, f"SELECT count(*) FROM {_relation(path)}")  # noqa: S608 - quoted
        if rows == 0:
            raise DataError("the file has no rows", where=str(path), expected="at least one")
        for problem in _problems(data, types, with_target):
            problem.raise_if_any(connection, path)
    return FileSource(path, data, rows, with_target)


@dataclass(frozen=True)
class _Problem:
    """A condition that no row may fulfil."""

    column: str
    condition: str  # SQL
    problem: str
    expected: str
    remedy: str

    def raise_if_any(self, connection: duckdb.DuckDBPyConnection, path: Path) -> None:
        query = (
            f"SELECT row, value FROM (SELECT row_number() OVER () AS row, "  # noqa: S608 - quoted
            f"{_quoted(self.column)} AS value, {self.condition} AS wrong FROM {_relation(path)}) "
            f"WHERE wrong LIMIT 1"
        )
        found = connection.execute(query).fetchone()
        if found:
            raise DataError(
                self.problem,
                where=f"{path}: column {self.column!r}, row {found[0]}",
                expected=self.expected,
                found="nothing" if found[1] is None else repr(found[1]),
                remedy=self.remedy,
            )


def _problems(data: DataSpec, types: Mapping[str, str], with_target: bool) -> Iterator[_Problem]:
    for column in _of_kind(data, ColumnKind.NUMERIC):
        _check_type(column.name, types[column.name])
        name, number = _quoted(column.name), _number(column.name)
        yield _Problem(
            column.name,
            f"{name} IS NOT NULL AND {number} IS NULL",
            "text in a numeric column",
            "a number such as 1.5, or an empty cell where it is missing",
            "Correct the cell, or make the column categorical in the federation spec",
        )
        yield _Problem(
            column.name,
            f"isinf({number})",
            "an infinite number",
            "a finite number, or an empty cell where it is missing",
            "Correct or empty the cell",
        )
    if with_target:
        yield _target_problem(data, types)


def _target_problem(data: DataSpec, types: Mapping[str, str]) -> _Problem:
    if data.task is Task.REGRESSION:
        _check_type(data.target, types[data.target])
        return _Problem(
            data.target,
            f"coalesce(NOT isfinite({_number(data.target)}), true)",
            "the target is missing or not a finite number",
            "a finite number in every row",
            "Correct the cell, or leave the row out",
        )
    known = ", ".join(_literal(label) for label in data.classes)
    return _Problem(
        data.target,
        f"coalesce(trim(CAST({_quoted(data.target)} AS VARCHAR)) NOT IN ({known}), true)",
        "the target is missing or of an unknown class",
        f"one of {', '.join(data.classes)}",
        "Correct the cell, leave the row out, or add the class to the federation spec",
    )


def _check_type(column: str, kind: str) -> None:
    if not kind.startswith(_NUMBERS) and not kind.startswith("DECIMAL"):
        raise DataError(
            "the column can't be read as numbers",
            where=f"column {column!r}",
            expected="a numeric column",
            found=kind,
            remedy="Convert it when the file is written",
        )


def batch_from_rows(rows: Sequence[Mapping[str, float | str | None]], data: DataSpec) -> Batch:
    """Rows by column name, as a program sends them; the target, if given, is not looked at.

    Raises:
        DataError: no rows, a missing or extra column, text or infinity in a numeric column.
    """
    if not rows:
        raise DataError("there are no rows", expected="at least one")
    for i, row in enumerate(rows, start=1):
        check_columns(list(row), data, ignore=(), with_target=False, where=f"row {i}")
    numeric = [
        [_to_number(row[c.name], c.name, i) for c in _of_kind(data, ColumnKind.NUMERIC)]
        for i, row in enumerate(rows, start=1)
    ]
    columns = _of_kind(data, ColumnKind.CATEGORICAL)
    categorical = np.empty((len(rows), len(columns)), dtype=object)
    for i, row in enumerate(rows):
        categorical[i] = [clean_label(row[c.name]) for c in columns]
    return Batch(np.array(numeric, dtype=np.float64).reshape(len(rows), -1), categorical)


def _to_number(value: float | str | None, column: str, row: int) -> float:
    try:
        number = float("nan") if value is None or value == "" else float(value)
    except ValueError:
        number = float("inf")
    if np.isinf(number):
        raise DataError(
            "not a finite number in a numeric column",
            where=f"column {column!r}, row {row}",
            expected="a number, or nothing where it is missing",
            found=repr(value),
        )
    return number


def _of_kind(data: DataSpec, kind: ColumnKind) -> list[Any]:
    return [column for column in data.columns if column.kind is kind]


def _columns(connection: duckdb.DuckDBPyConnection, path: Path) -> dict[str, str]:
    """Names and DuckDB types, in the file's order."""
    query = f"DESCRIBE SELECT * FROM {_relation(path)}"  # noqa: S608 - quoted
    described = connection.execute(query).fetchall()
    return {name: kind for name, kind, *_ in described}


def _header(path: Path) -> list[str]:
    """The column names of a CSV file.

    Raises:
        DataError: what DuckDB would repair in silence: no header, other separators, a name twice.
    """
    try:
        with (gzip.open if path.suffix == ".gz" else open)(
            path, "rt", encoding="utf-8-sig", newline=""
        ) as file:
            header = next(csv.reader(file), [])
    except (OSError, UnicodeDecodeError, csv.Error, EOFError) as error:
        raise DataError(
            "the file can't be read as CSV", where=str(path), found=str(error)
        ) from error
    if not header:
        raise DataError("the file is empty", where=str(path), expected="a header and rows")
    if len(header) == 1 and any(sign in header[0] for sign in ";\t|"):
        raise DataError(
            "the file is not separated by commas",
            where=str(path),
            found=header[0][:80],
            remedy="Write it with commas, and decimal points in numbers",
        )
    for name in header:
        if header.count(name) > 1:
            raise DataError("two columns have the same name", where=str(path), found=repr(name))
    return header


def _relation(path: Path) -> str:
    if _is_parquet(path):
        return f"read_parquet({_literal(str(path))})"
    columns = ", ".join(f"{_literal(name)}: 'VARCHAR'" for name in _header(path))
    return (
        f"read_csv({_literal(str(path))}, auto_detect=false, columns={{{columns}}}, header=true, "
        f"delim=',', quote='\"', escape='\"', nullstr='', strict_mode=true, null_padding=false)"
    )


def _is_parquet(path: Path) -> bool:
    return path.suffix in {".parquet", ".pq"}


def _as_number(column: str) -> str:
    return f"coalesce({_number(column)}, 'NaN'::DOUBLE)"


def _number(column: str) -> str:
    return f"TRY_CAST({_quoted(column)} AS DOUBLE)"


def _as_text(column: str) -> str:
    return f"nullif(trim(CAST({_quoted(column)} AS VARCHAR)), '')"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _connection() -> duckdb.DuckDBPyConnection:
    """One thread, so that the order of rows is the file's."""
    return duckdb.connect(config={"threads": 1, "preserve_insertion_order": True})


def _one(connection: duckdb.DuckDBPyConnection, query: str) -> tuple[Any, ...]:
    return connection.execute(query).fetchone() or ()


def _without_rows(message: str) -> str:
    """DuckDB's explanation, without the rows that it quotes: logs are read by others."""
    lines = [line for line in message.splitlines() if not line.startswith("Original Line")]
    return "; ".join(line for line in lines[:3] if line.strip())[:300]


class _Translated:
    """The one place where DuckDB's exceptions become ours."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, duckdb.Error):
            raise DataError(
                "the file can't be read",
                where=str(self._path),
                found=_without_rows(str(error)),
                remedy="Correct the file; CSV needs commas, a header and as many cells in each row",
            ) from error

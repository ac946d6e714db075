"""What no row of a file may be, as conditions that DuckDB searches for."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import duckdb

from edge_node.config import DataSpec, Task
from edge_node.data.duck import literal, number, quoted, relation
from edge_node.data.schema import numeric_columns
from edge_node.errors import DataError

__all__ = ["Problem", "problems"]

_NUMBERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT",
            "UINTEGER", "UBIGINT", "FLOAT", "DOUBLE", "BOOLEAN", "VARCHAR")  # fmt: skip


@dataclass(frozen=True)
class Problem:
    """A condition that no row may fulfil."""

    column: str
    condition: str  # SQL
    problem: str
    expected: str
    remedy: str

    def raise_if_any(self, connection: duckdb.DuckDBPyConnection, path: Path) -> None:
        """Raise DataError for the first row that fulfils the condition."""
        query = (
            f"SELECT row, value FROM (SELECT row_number() OVER () AS row, "  # noqa: S608 - quoted
            f"{quoted(self.column)} AS value, {self.condition} AS wrong FROM {relation(path)}) "
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


def problems(data: DataSpec, types: Mapping[str, str], with_target: bool) -> Iterator[Problem]:
    """What to search a file for, given its columns' types. Raises DataError for a wrong type."""
    for column in numeric_columns(data):
        _check_type(column.name, types[column.name])
        name, value = quoted(column.name), number(column.name)
        yield Problem(
            column.name,
            f"{name} IS NOT NULL AND {value} IS NULL",
            "text in a numeric column",
            "a number such as 1.5, or an empty cell where it is missing",
            "Correct the cell, or make the column categorical in the federation spec",
        )
        yield Problem(
            column.name,
            f"isinf({value})",
            "an infinite number",
            "a finite number, or an empty cell where it is missing",
            "Correct or empty the cell",
        )
    if with_target:
        yield _target_problem(data, types)


def _target_problem(data: DataSpec, types: Mapping[str, str]) -> Problem:
    if data.task is Task.REGRESSION:
        _check_type(data.target, types[data.target])
        return Problem(
            data.target,
            f"coalesce(NOT isfinite({number(data.target)}), true)",
            "the target is missing or not a finite number",
            "a finite number in every row",
            "Correct the cell, or leave the row out",
        )
    known = ", ".join(literal(label) for label in data.classes)
    return Problem(
        data.target,
        f"coalesce(trim(CAST({quoted(data.target)} AS VARCHAR)) NOT IN ({known}), true)",
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

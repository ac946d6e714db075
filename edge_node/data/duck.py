"""DuckDB as we use it: one thread, quoted names, CSV without guessing, and errors translated.

This is the only module that calls DuckDB, so its exceptions become ours here.
"""

import csv
import gzip
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from edge_node.errors import DataError

__all__ = ["as_number", "as_text", "columns", "literal", "number", "opened", "quoted", "relation"]

_SETTINGS: dict[str, str | bool | int | float | list[str]] = {
    "threads": 1,  # so that the order of rows is the file's
    "preserve_insertion_order": True,
    "enable_external_file_cache": False,  # memory must not grow with the file
    "memory_limit": "256MiB",
}


@contextmanager
def opened(path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection for reading ``path``, row by row in the file's order.

    Raises:
        DataError: whatever DuckDB raises inside.
    """
    try:
        with duckdb.connect(config=_SETTINGS) as connection:
            connection.execute("SET enable_progress_bar = false")  # it would go to standard output
            yield connection
    except duckdb.Error as error:
        raise DataError(
            "the file can't be read",
            where=str(path),
            found=_without_rows(str(error)),
            remedy="Correct the file; CSV needs commas, a header and as many cells in each row",
        ) from error


def _without_rows(message: str) -> str:
    """DuckDB's explanation, without the rows that it quotes: logs are read by others."""
    lines = [line for line in message.splitlines() if not line.startswith("Original Line")]
    return "; ".join(line for line in lines[:3] if line.strip())[:300]


def columns(connection: duckdb.DuckDBPyConnection, path: Path) -> dict[str, str]:
    """Names and DuckDB types, in the file's order."""
    query = f"DESCRIBE SELECT * FROM {relation(path)}"  # noqa: S608 - quoted
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


def relation(path: Path) -> str:
    """SQL: the file as a table. CSV is all text: nothing is guessed. Raises DataError."""
    if _is_parquet(path):
        return f"read_parquet({literal(str(path))})"
    names = ", ".join(f"{literal(name)}: 'VARCHAR'" for name in _header(path))
    return (
        f"read_csv({literal(str(path))}, auto_detect=false, columns={{{names}}}, header=true, "
        f"delim=',', quote='\"', escape='\"', nullstr='', strict_mode=true, null_padding=false)"
    )


def _is_parquet(path: Path) -> bool:
    return path.suffix in {".parquet", ".pq"}


def as_number(column: str) -> str:
    """SQL: the cell as a number, NaN where it is missing."""
    return f"coalesce({number(column)}, 'NaN'::DOUBLE)"


def number(column: str) -> str:
    """SQL: the cell as a number, NULL where it is missing or none."""
    return f"TRY_CAST({quoted(column)} AS DOUBLE)"


def as_text(column: str) -> str:
    """SQL: the cell as text without surrounding space, NULL where it is missing."""
    return f"nullif(trim(CAST({quoted(column)} AS VARCHAR)), '')"


def quoted(name: str) -> str:
    """SQL: a column's name."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """SQL: a string."""
    return "'" + text.replace("'", "''") + "'"

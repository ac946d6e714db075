"""DuckDB as we use it: one thread, quoted names, CSV without guessing, and errors translated.

This is the only module that calls DuckDB, so its exceptions become ours here. A file is a table of
cells; a cell is read as a number or as text by one rule each, whatever the file's type:

- a number is what DuckDB casts to DOUBLE, but for digits grouped by underscores;
- a text is what is written, without surrounding space. A Parquet file's numbers, read as text,
  have one spelling: whole ones print like integers.
"""

import codecs
import csv
import gzip
import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb

from edge_node.errors import DataError

__all__ = [
    "SPACE",
    "as_number",
    "as_text",
    "as_time",
    "columns",
    "is_number",
    "is_text",
    "is_time",
    "latest_first",
    "literal",
    "number",
    "opened",
    "quoted",
    "relation",
]

SPACE = " \t\r\n\f\v"
"""What is cut from both ends of a text."""

_SETTINGS: dict[str, str | bool | int | float | list[str]] = {
    "threads": 1,  # so that the order of rows is the file's
    "preserve_insertion_order": True,
    "enable_external_file_cache": False,  # memory must not grow with the file
    "memory_limit": "256MiB",
}
_SIGNATURES = (
    (codecs.BOM_UTF16_LE, "UTF-16", "Save the file as UTF-8"),
    (codecs.BOM_UTF16_BE, "UTF-16", "Save the file as UTF-8"),
    (b"\x1f\x8b", "a gzip file", "Give it a name that ends in .csv.gz"),
    (b"PAR1", "a Parquet file", "Give it a name that ends in .parquet"),
    (b"PK\x03\x04", "a zip archive, or a workbook", "Save the table as CSV"),
)  # how a file begins, what it is, and what to do
_TIMES = ("DATE", "TIME")
_ROW = '"\x01row"'  # a name that no header has
_WHOLE = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT",
          "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "UHUGEINT")  # fmt: skip
_FLOATS = ("FLOAT", "DOUBLE")
_PLAIN = ("VARCHAR", "BOOLEAN", "DATE", "TIME", "UUID")  # beside ENUM(...) and TIMESTAMP ...


@contextmanager
def opened(path: Path, *, sorts: bool = False) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection for reading ``path``, row by row in the file's order.

    Args:
        path: the file.
        sorts: whether rows will be sorted: what memory doesn't hold goes to a private folder, which
            is removed.

    Raises:
        DataError: whatever DuckDB raises inside.
    """
    try:
        with ExitStack() as closing, duckdb.connect(config=_SETTINGS) as connection:
            if sorts:
                folder = closing.enter_context(TemporaryDirectory())
                connection.execute(f"SET temp_directory = {literal(folder)}")
            connection.execute("SET enable_progress_bar = false")  # it would go to standard output
            yield connection
    except (duckdb.Error, OSError) as error:  # OSError: Arrow's, around DuckDB's, while streaming
        raise _translated(str(error), path) from error


def _translated(message: str, path: Path) -> DataError:
    """What DuckDB says, without the rows and cells that it quotes: logs are read by others."""
    line = re.search(r"CSV Error on Line: (\d+)", message)
    where = f"{path}: row {int(line[1]) - 1}" if line else str(path)  # it counts no lines in cells
    if cells := re.search(r"Expected Number of Columns: (\d+) Found: (\d+)", message):
        return DataError(
            f"a row has too {'few' if int(cells[2]) < int(cells[1]) else 'many'} cells",
            where=where,
            expected=f"{cells[1]}, as in the header",
            found=cells[2],
            remedy='Correct the row; a cell with a comma or a line break stands in "quotes"',
        )
    for sign, problem, remedy in (
        ("not utf-8", "the text is not UTF-8", "Save the file as UTF-8"),
        ("unterminated quote", "a quoted cell doesn't end", 'Close the ", or double it'),
        ("Maximum line size", "a line is longer than 2,000,000 bytes", "Look for a stray quote"),
        ("GZIP", "the compressed file is damaged", "Copy it again"),
        ("invalid state", "not well-formed CSV", "Write it anew with one kind of line end"),
    ):
        if sign in message:
            return DataError(problem, where=where, remedy=remedy)
    return DataError(
        "the file can't be read",
        where=where,
        expected="Parquet" if _is_parquet(path) else "CSV with commas and a header",
        found=re.sub("'[^']*'|\"[^\"]*\"", "...", message.splitlines()[0])[:200],
        remedy="Write it anew; if it should be right, tell the project what stands here",
    )


def columns(connection: duckdb.DuckDBPyConnection, path: Path) -> dict[str, str]:
    """Names and DuckDB types, in the file's order."""
    query = f"DESCRIBE SELECT * FROM {relation(path)}"  # noqa: S608 - quoted
    described = connection.execute(query).fetchall()
    return {name: kind for name, kind, *_ in described}


def _header(path: Path) -> list[str]:
    """The column names of a CSV file.

    Raises:
        DataError: what DuckDB would repair in silence or can't read: no header, other separators, a
            name twice or empty.
    """
    try:
        with (gzip.open if _is_gzip(path) else open)(
            path, "rt", encoding="utf-8-sig", errors="surrogateescape", newline=""
        ) as file:  # bytes below the header that are no text are DuckDB's to find, with their row
            header = next(csv.reader(file), [])
    except (OSError, csv.Error, EOFError) as error:
        raise DataError(
            "the file can't be read as CSV",
            where=str(path),
            expected="text, compressed if its name ends in .gz",
            found=str(error),
            remedy="Correct the file or its name",
        ) from error
    if not header:
        raise DataError("the file is empty", where=str(path), expected="a header and rows")
    _check_text(",".join(header), path)
    if len(header) == 1 and any(sign in header[0] for sign in ";\t|"):
        raise DataError(
            "the file is not separated by commas",
            where=str(path),
            found=header[0][:80],
            remedy="Write it with commas, and decimal points in numbers",
        )
    _check_names(header, path)
    return header


def _check_text(header: str, path: Path) -> None:
    """Raise DataError for bytes that are no UTF-8."""
    start = header.encode("utf-8", "surrogateescape")
    try:
        start.decode()
    except UnicodeDecodeError as error:
        found, remedy = next(
            (said for sign, *said in _SIGNATURES if start.startswith(sign)),
            ("", "Save the file as UTF-8"),
        )
        raise DataError(
            "the text is not UTF-8", where=f"{path}: header", found=found, remedy=remedy
        ) from error


def _check_names(header: list[str], path: Path) -> None:
    if "" in header:
        raise DataError(
            "a column has no name",
            where=f"{path}: column {header.index('') + 1} of {len(header)}",
            remedy="Name it in the header, or write the file without it (pandas: index=False)",
        )
    folded = [name.casefold() for name in header]
    for name in header:
        if folded.count(name.casefold()) > 1:
            raise DataError(
                "two columns have the same name",
                where=str(path),
                expected="names that differ, not in upper and lower case only",
                found=repr(name),
                remedy="Rename one of them",
            )


def relation(path: Path) -> str:
    """SQL: the file as a table. CSV is all text: nothing is guessed. Raises DataError."""
    if _is_parquet(path):
        return f"read_parquet({_only(path)}, hive_partitioning=false)"
    names = ", ".join(f"{literal(name)}: 'VARCHAR'" for name in _header(path))
    return (
        f"read_csv({_only(path)}, auto_detect=false, columns={{{names}}}, header=true, "
        f"delim=',', quote='\"', escape='\"', nullstr='', strict_mode=true, null_padding=false, "
        f"compression={literal('gzip' if _is_gzip(path) else 'none')}, hive_partitioning=false)"
    )


def _only(path: Path) -> str:
    """SQL: this file alone. DuckDB takes ``*``, ``?`` and ``[`` for patterns, ``~`` for a home."""
    return literal(re.sub(r"([*?[])", r"[\1]", str(path.absolute())))


def _is_gzip(path: Path) -> bool:
    return path.suffix.lower() == ".gz"


def _is_parquet(path: Path) -> bool:
    return path.suffix.lower() in {".parquet", ".pq"}


def is_number(kind: str) -> bool:
    """Whether cells of a DuckDB type can be read as numbers (text: one by one)."""
    return kind in {*_WHOLE, *_FLOATS, "BOOLEAN", "VARCHAR"} or _is_decimal(kind)


def is_text(kind: str) -> bool:
    """Whether cells of a DuckDB type can be read as text."""
    plain = kind in _PLAIN or kind.startswith(("ENUM", "TIMESTAMP", "TIME "))
    return (plain and not kind.endswith("]")) or is_number(kind)


def is_time(kind: str) -> bool:
    """Whether cells of a DuckDB type can be read as times (text: one by one)."""
    return (kind.startswith(_TIMES) and not kind.endswith("]")) or is_number(kind)


def as_number(column: str, types: Mapping[str, str]) -> str:
    """SQL: the cell as a number, NaN where it is missing."""
    return f"coalesce({number(column, types)}, 'NaN'::DOUBLE)"


def number(column: str, types: Mapping[str, str]) -> str:
    """SQL: the cell as a number, NULL where it is missing or none."""
    cast = f"TRY_CAST({quoted(column)} AS DOUBLE)"
    if types[column] != "VARCHAR":
        return cast
    return f"CASE WHEN NOT contains({quoted(column)}, '_') THEN {cast} END"


def as_time(column: str, types: Mapping[str, str]) -> str:
    """SQL: the cell as a number that grows with time, NULL where it is missing or no time.

    A number is taken as it is, dates and times as seconds (of the day, where there is no date). An
    offset from UTC in a text isn't read.
    """
    name, kind = quoted(column), types[column]
    if kind.startswith(_TIMES):
        return f"epoch({name})"
    tried = [f"nullif({number(column, types)}, 'NaN'::DOUBLE)"]
    if kind == "VARCHAR":
        tried += [f"epoch(TRY_CAST({name} AS {each}))" for each in ("TIMESTAMP", "TIME")]
    return f"coalesce({', '.join(tried)})"


def latest_first(path: Path, time: str, types: Mapping[str, str]) -> str:
    """SQL: the file as a table, the latest rows first; rows of one time in the file's order."""
    rows = f"SELECT *, row_number() OVER () AS {_ROW} FROM {relation(path)}"  # noqa: S608 - quoted
    return f"(SELECT * FROM ({rows}) ORDER BY {as_time(time, types)} DESC, {_ROW})"  # noqa: S608 - quoted


def as_text(column: str, types: Mapping[str, str]) -> str:
    """SQL: the cell as text without surrounding space, NULL where it is missing."""
    name, kind = quoted(column), types[column]
    if kind in _FLOATS:
        return (
            f"CASE WHEN isnan({name}) THEN NULL WHEN {name} = trunc({name}) "
            f"AND abs({name}) < {2**53} THEN CAST(CAST({name} AS BIGINT) AS VARCHAR) "
            f"ELSE CAST({name} AS VARCHAR) END"
        )
    text = f"CAST({name} AS VARCHAR)"
    if _is_decimal(kind) and not kind.endswith(",0)"):
        text = f"rtrim(rtrim({text}, '0'), '.')"
    return f"nullif(trim({text}, {literal(SPACE)}), '')"


def _is_decimal(kind: str) -> bool:
    return kind.startswith("DECIMAL") and not kind.endswith("]")


def quoted(name: str) -> str:
    """SQL: a column's name."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """SQL: a string."""
    return "'" + text.replace("'", "''") + "'"

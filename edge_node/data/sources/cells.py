"""A file that has no schema yet: each cell as text and, where it is one, as a number or a time.

Cells are read by the node's rules (`duck`), so a node would find the same. Once there is a schema,
`Cells.check` checks the same file as a node would. Rows keep their numbers in the file, so that
errors name the rows that a person sees there.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from edge_node.arrays import Vector
from edge_node.config import DataSpec
from edge_node.data.sources.checks import FileRows, count_rows
from edge_node.data.sources.duck import as_text, columns, literal, number, opened, quoted, relation
from edge_node.data.sources.source import BATCH_ROWS
from edge_node.data.sources.stamp import check_file
from edge_node.errors import DataError

__all__ = ["CellColumn", "Cells", "Mask", "check_named", "read_cells"]

Mask = NDArray[np.bool_]
_TEXT = "VARCHAR"


@dataclass(frozen=True)
class CellColumn:
    """One column's cells, n of them.

    Attributes:
        name: the column's.
        rows: (n,) the rows' numbers in the file; the first row is 1.
        text: n strings without surrounding space, null where the cell is missing.
        numbers: (n,) float64, NaN where the cell is missing or no number.
        is_number: (n,) whether the cell is a number; "nan" is one.
        is_time: (n,) whether the cell is a date or a time of day.
    """

    name: str
    rows: NDArray[np.int64]
    text: pa.ChunkedArray
    numbers: Vector
    is_number: Mask
    is_time: Mask

    @cached_property
    def present(self) -> Mask:
        """(n,) whether there is a cell."""
        return np.asarray(pc.is_valid(self.text))

    @cached_property
    def labels(self) -> Mapping[str, int]:
        """How many rows each text has, the most frequent first."""
        counts = [
            (each["values"], each["counts"]) for each in pc.value_counts(self.text).to_pylist()
        ]
        known = [(label, count) for label, count in counts if label is not None]
        return dict(sorted(known, key=lambda item: (-item[1], item[0])))

    def matches(self, pattern: str) -> Mask:
        """(n,) whether the whole cell matches a regular expression (RE2)."""
        found = pc.match_substring_regex(self.text, f"^(?:{pattern})$")
        return np.asarray(pc.fill_null(found, False))

    def first(self, where: Mask) -> tuple[int, str]:
        """The number and the text of the first row of a mask (n,) that holds somewhere."""
        place = int(np.argmax(where))
        return int(self.rows[place]), str(self.text[place].as_py())

    def taken(self, where: Mask) -> "CellColumn":
        """The rows of a mask (n,)."""
        return CellColumn(
            self.name,
            self.rows[where],
            self.text.filter(pa.array(where)),
            self.numbers[where],
            self.is_number[where],
            self.is_time[where],
        )


@dataclass(frozen=True)
class Cells:
    """A file's columns, in its order.

    Attributes:
        path: the file.
        columns: by name.
        view: SQL, the file's rows: cells as text, NULL where missing, and their number.
        number: SQL, the column of ``view`` with the rows' numbers.
    """

    path: Path
    columns: Mapping[str, CellColumn]
    view: str
    number: str

    def check(self, data: DataSpec) -> None:
        """Check the file as a node would; rows without a target are left out.

        Raises:
            DataError: the first cell that doesn't fit the schema, with its row in the file.
        """
        rows = f"(SELECT * FROM ({self.view}) WHERE {quoted(data.target)} IS NOT NULL)"  # noqa: S608 - quoted
        types = dict.fromkeys(self.columns, _TEXT)
        with opened(self.path) as connection:
            count_rows(
                connection, FileRows(self.path, rows, self.number), data, types, with_target=True
            )


def read_cells(path: Path, *, ignore: Sequence[str] = (), missing: Sequence[str] = ()) -> Cells:
    """Read a file's cells into memory.

    Args:
        path: a CSV file with a header, plain or gzip.
        ignore: columns that are left out.
        missing: texts that stand for a missing cell, beside the empty one.

    Raises:
        DataError: the file can't be read, has no rows, or lacks a column of ``ignore``.
    """
    check_file(path)
    with opened(path) as connection:
        types = columns(connection, path)
        check_named(ignore, list(types), path)
        names = [name for name in types if name not in ignore]
        number_name = quoted(_unused("row", names))
        view = _view(path, names, types, missing, number_name)
        table = connection.sql(_query(view, names, number_name)).to_arrow_reader(BATCH_ROWS)
        read = table.read_all()
    if not read.num_rows:
        raise DataError("the file has no rows", where=str(path), expected="at least one")
    return Cells(path, _columns(read, names), view, number_name)


def check_named(wanted: Sequence[str], names: Sequence[str], path: Path) -> None:
    """Raise DataError for a name that no column has."""
    for name in wanted:
        if name not in names:
            raise DataError(
                f"no column {name!r}",
                where=str(path),
                expected="a name as in the header",
                found=", ".join(names),
            )


def _view(
    path: Path,
    names: Sequence[str],
    types: Mapping[str, str],
    missing: Sequence[str],
    number_name: str,
) -> str:
    """SQL: rows in the file's order, numbered."""
    known = ", ".join(literal(text) for text in missing)
    cells = []
    for name in names:
        text = as_text(name, types)
        cell = f"CASE WHEN {text} NOT IN ({known}) THEN {text} END" if missing else text
        cells.append(f", {cell} AS {quoted(name)}")
    numbered = f"row_number() OVER () AS {number_name}"
    return f"SELECT {numbered}{''.join(cells)} FROM {relation(path)}"  # noqa: S608 - quoted


def _query(view: str, names: Sequence[str], number_name: str) -> str:
    """SQL: for each column its text, its number, and whether it is a time."""
    types = dict.fromkeys(names, _TEXT)
    selected = [number_name]
    for name in names:
        cell = quoted(name)
        times = " OR ".join(
            f"TRY_CAST({cell} AS {kind}) IS NOT NULL" for kind in ("TIMESTAMP", "DATE", "TIME")
        )
        selected += [cell, number(name, types), f"coalesce({times}, false)"]
    unique = ", ".join(f"{sql} AS c{i}" for i, sql in enumerate(selected))
    return f"SELECT {unique} FROM ({view})"  # noqa: S608 - quoted


def _columns(read: pa.Table, names: Sequence[str]) -> dict[str, CellColumn]:
    rows = read["c0"].to_numpy()
    found = {}
    for i, name in enumerate(names):
        text, numbers, times = (read[f"c{3 * i + k}"] for k in (1, 2, 3))
        is_number = np.asarray(pc.is_valid(numbers))
        values = np.asarray(pc.fill_null(numbers, float("nan")), dtype=np.float64)
        is_time = np.asarray(times) & ~is_number
        found[name] = CellColumn(name, rows, text, values, is_number, is_time)
    return found


def _unused(name: str, names: Sequence[str]) -> str:
    """A name that no column has, in upper or lower case."""
    folded = {each.casefold() for each in names}
    while name in folded:
        name += "_"
    return name

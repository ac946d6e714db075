"""Rows of a CSV or Parquet file, checked against the schema and streamed in batches.

DuckDB reads the file. It is checked once, when it is opened, so that an error names the column and
the row before anything is sent. Then the program passes over it as often as it needs, in the file's
order. It must be the same file each time. A small file is read once and its rows are kept; a larger
one is streamed anew, so that memory doesn't grow with the number of rows.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from edge_node.config import ColumnKind, DataSpec, Task
from edge_node.data.sources.checks import LARGEST, FileRows, count_rows
from edge_node.data.sources.duck import (
    as_number,
    as_text,
    columns,
    latest_first,
    opened,
    relation,
)
from edge_node.data.sources.schema import (
    categorical_columns,
    check_columns,
    clean_label,
    numeric_columns,
)
from edge_node.data.sources.site import place_to_fill, without_site
from edge_node.data.sources.stamp import Stamp, changed, check_file
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

_KEPT_BYTES = 32 << 20  # a file whose rows take no more is read once
_NUMBER_BYTES, _TEXT_BYTES = 8, 64  # of a cell in memory


@dataclass(frozen=True)
class Batch:
    """Some rows, in the order of the spec's columns.

    Attributes:
        numeric: (n, p) float64, NaN where missing.
        categorical: (n, q) of str, None where missing.
        target: (n,) float64: numbers (regression, counts), class indices, or times to an event,
            negative where it wasn't seen; or None.
    """

    numeric: NDArray[np.float64]
    categorical: NDArray[np.object_]
    target: NDArray[np.float64] | None = None

    def __len__(self) -> int:
        return len(self.numeric)

    def is_missing(self, kind: ColumnKind, index: int) -> NDArray[np.bool_]:
        """Which rows (n,) have no value in the column at ``index`` among those of a kind."""
        if kind is ColumnKind.NUMERIC:
            return np.isnan(self.numeric[:, index])
        return np.array([value is None for value in self.categorical[:, index]], dtype=bool)


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
    types: Mapping[str, str]
    stamp: Stamp
    site: tuple[int, str] | None = None  # a categorical column that the file lacks, and its label
    ordered: bool = False  # by time, the latest rows first
    _kept: list[Batch] = field(default_factory=list, compare=False, repr=False)

    def batches(self) -> Iterator[Batch]:
        """The rows in the file's order, or, if the schema names a time, the latest first: streamed,
        or from memory if they are few.

        Raises:
            DataError: it can't be read any more, or has changed since it was opened.
        """
        self.stamp.check(self.path)
        if not self._kept and self._bytes() <= _KEPT_BYTES:
            self._kept[:] = list(self._streamed())  # whole or not at all
        yield from self._kept or self._streamed()
        self.stamp.check(self.path)

    def _bytes(self) -> int:
        """What the rows take in memory, roughly."""
        texts = len(categorical_columns(self.data))
        numbers = len(self.data.columns) - texts + 1  # the target
        return self.rows * (numbers * _NUMBER_BYTES + texts * _TEXT_BYTES)

    def _streamed(self) -> Iterator[Batch]:
        rows = 0
        try:
            with opened(self.path, sorts=self.ordered) as connection:
                for record in connection.sql(self._query()).to_arrow_reader(BATCH_ROWS):
                    batch = self._batch([_array(cells) for cells in record])
                    rows += len(batch)
                    yield batch
        except DataError as error:
            self.stamp.check(self.path)  # a file that is being replaced reads as a damaged one
            error.where += f", after row {rows}"
            raise
        self.stamp.check(self.path)
        if rows != self.rows:
            raise changed(self.path, expected=f"{self.rows} rows", found=f"{rows}")

    def _query(self) -> str:
        selected = [as_number(c.name, self.types) for c in numeric_columns(self.data)]
        selected += [as_text(c.name, self.types) for c in categorical_columns(self.data)]
        if self.with_target:
            selected.append(self._target())
        rows = latest_first(self.path, self.data.time, self.types) if self.ordered else ""
        return f"SELECT {', '.join(selected)} FROM {rows or relation(self.path)}"  # noqa: S608 - quoted

    def _target(self) -> str:
        """SQL: the target's cells."""
        data, types = self.data, self.types
        if data.task.has_classes:
            return as_text(data.target, types)
        value = as_number(data.target, types)
        if data.task is not Task.SURVIVAL:
            return value
        return f"CASE WHEN {as_number(data.event, types)} = 0 THEN -{value} ELSE {value} END"

    def _batch(self, columns: list[NDArray[Any]]) -> Batch:
        numbers = len(numeric_columns(self.data))
        inputs = len(self.data.columns)
        rows = len(columns[0])
        numeric = np.empty((rows, numbers))
        for j, column in enumerate(columns[:numbers]):
            numeric[:, j] = column
        categorical = np.empty((rows, inputs - numbers), dtype=object)
        for j, column in enumerate(columns[numbers:inputs]):
            categorical[:, j] = column
        if self.site is not None:
            categorical = np.insert(categorical, *self.site, axis=1)
        if not self.with_target:
            return Batch(numeric, categorical)
        target = columns[inputs]
        if self.data.task.has_classes:
            index = {label: i for i, label in enumerate(self.data.classes)}
            target = np.array([index.get(label, -1) for label in target])
            if target.min(initial=0) < 0:
                raise changed(self.path, expected="known classes", found="another one")
        return Batch(numeric, categorical, np.asarray(target, dtype=np.float64))


def open_source(
    path: Path,
    data: DataSpec,
    *,
    ignore: Sequence[str] = (),
    with_target: bool = True,
    site: str | None = None,
) -> FileSource:
    """Check a file against the schema, from the first row to the last.

    Args:
        path: a CSV file (``.csv``, ``.csv.gz``; comma-separated, with a header) or Parquet file.
        data: the schema.
        ignore: columns of the file that aren't used.
        with_target: False for rows to predict: the target's column may be there or not.
        site: fills the schema's site column where the file has none; None: the file must have it.

    Raises:
        DataError: what is wrong, with file, column, row (the first data row is row 1), what was
            expected and what was found.
    """
    check_file(path)
    stamp = Stamp.of(path)
    with opened(path) as connection:
        types = columns(connection, path)
        filled = place_to_fill(data, types, site)
        held = without_site(data) if filled else data
        check_columns(list(types), held, ignore=ignore, with_target=with_target, where=str(path))
        ordered = with_target and bool(data.time)
        rows = count_rows(connection, FileRows.of(path), held, types, with_target=with_target)
    if rows == 0:
        raise DataError("the file has no rows", where=str(path), expected="at least one")
    return FileSource(path, held, rows, with_target, types, stamp, filled, ordered)


def batch_from_rows(
    rows: Sequence[Mapping[str, float | str | None]], data: DataSpec, *, site: str | None = None
) -> Batch:
    """Rows by column name, as a program sends them; a target, if there is one, is ignored.

    Args:
        rows: each row's cells by column name.
        data: the schema.
        site: fills the schema's site column in rows that lack it.

    Raises:
        DataError: no rows, a missing or extra column, text or infinity in a numeric column.
    """
    if not rows:
        raise DataError("there are no rows", expected="at least one")
    if site is not None and data.site_column is not None:
        rows = [{data.site_column: site} | dict(row) for row in rows]
    for i, row in enumerate(rows, start=1):
        check_columns(list(row), data, ignore=(), with_target=False, where=f"row {i}")
    numeric = [
        [_to_number(row[c.name], c.name, i) for c in numeric_columns(data)]
        for i, row in enumerate(rows, start=1)
    ]
    columns = categorical_columns(data)
    categorical = np.empty((len(rows), len(columns)), dtype=object)
    for i, row in enumerate(rows):
        categorical[i] = [clean_label(row[c.name]) for c in columns]
    return Batch(np.array(numeric, dtype=np.float64).reshape(len(rows), -1), categorical)


def _array(cells: Any) -> NDArray[Any]:
    """An Arrow column without missing numbers, as NumPy's; Arrow's own way would load pandas."""
    if pa.types.is_floating(cells.type):
        return np.from_dlpack(cells)
    return np.array(cells.to_pylist(), dtype=object)


def _to_number(value: float | str | None, column: str, row: int) -> float:
    """As in a file: empty or NaN is missing, and digits are not grouped."""
    text = isinstance(value, str) and (not value.isascii() or "_" in value)
    try:
        number = float("nan") if value is None or value == "" else float(value)
    except (ValueError, OverflowError):
        text = True
    if text or abs(number) > LARGEST:
        raise DataError(
            "not a finite number in a numeric column",
            where=f"column {column!r}, row {row}",
            expected=f"a number up to {LARGEST:g}, or nothing where it is missing",
            found=repr(value)[:80],
            remedy="Correct the value",
        )
    return number

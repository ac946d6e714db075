"""Tables in memory as the program's rows: NumPy arrays, and the data frames of any library.

A data frame comes through Arrow, which pandas (2.2 and later), polars, DuckDB and others speak.
Numbers are numeric columns; text, booleans and categories are categorical ones. A cell becomes a
label by the daemons' rule, so that an estimator and a daemon agree on it.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from edge_node.config import Column, ColumnKind
from edge_node.data.sources.checks import LARGEST
from edge_node.data.sources.schema import clean_label
from edge_node.data.sources.source import Batch
from edge_node.estimators.errors import InputError

__all__ = ["columns_of", "is_frame", "rows_of", "rows_of_numbers", "table_of"]

_NUMBERS = (
    pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal, pa.types.is_null
)  # fmt: skip
_LABELS = (
    pa.types.is_boolean, pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view,
    pa.types.is_dictionary,
)  # fmt: skip


def is_frame(X: object) -> bool:
    """Whether X is a data frame (it has columns and speaks Arrow) rather than an array."""
    return hasattr(X, "__arrow_c_stream__") and hasattr(X, "columns")


def table_of(X: Any, names: Sequence[str]) -> pa.Table:
    """A data frame, or an array (n, d) of objects, as an Arrow table with these column names.

    Raises:
        InputError: a column holds values of several types.
    """
    try:
        if hasattr(X, "iloc"):  # pandas: without its index, which Arrow would take for a column
            table = pa.Table.from_pandas(X, preserve_index=False)
        elif is_frame(X):
            table = pa.table(X)
        else:
            table = pa.table([pa.array(column, from_pandas=True) for column in X.T], list(names))
        return table.rename_columns(list(names))
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
        raise InputError(
            "a column's cells differ in type",
            where="X",
            expected="numbers only, or text only, or booleans only in a column",
            found=str(error),
            remedy="Convert the column to one type",
        ) from error


def columns_of(table: pa.Table) -> tuple[Column, ...]:
    """The schema's columns. Raises InputError for a type that is neither number nor label."""
    return tuple(Column(name=field.name, kind=_kind(field)) for field in table.schema)


def _kind(field: pa.Field) -> ColumnKind:
    if any(test(field.type) for test in _NUMBERS):
        return ColumnKind.NUMERIC
    if any(test(field.type) for test in _LABELS):
        return ColumnKind.CATEGORICAL
    raise InputError(
        "the column is neither of numbers nor of labels",
        where=f"column {field.name!r}",
        expected="numbers, text, booleans or categories",
        found=str(field.type),
        remedy="Convert it, for example a date to a number of days, or leave it out",
    )


def rows_of(table: pa.Table, columns: Sequence[Column]) -> Batch:
    """The rows of a table, read as the schema says.

    Raises:
        InputError: text, or a number that is too large, in a numeric column; a column of neither
            numbers nor labels.
    """
    numbers: list[NDArray[np.float64]] = []
    labels: list[NDArray[np.object_]] = []
    for column in columns:
        field, cells = table.field(column.name), table[column.name]
        _kind(field)
        if column.kind is ColumnKind.NUMERIC:
            numbers.append(_numbers(cells, column.name))
        else:
            labels.append(_labels(cells))
    empty = np.empty((len(table), 0))
    return Batch(
        np.column_stack([empty, *numbers]),
        np.column_stack([empty.astype(object), *labels]),
    )


def rows_of_numbers(X: Any, columns: Sequence[Column]) -> Batch:
    """The rows of X (n, d), an array or sparse by rows, under a schema of d numeric columns.

    Raises:
        InputError: a number is too large.
    """
    if isinstance(X, np.ndarray):
        for values, column in zip(X.T, columns, strict=True):
            _check_size(values, column.name)
    else:
        for i in np.unique(X.indices[np.abs(X.data) > LARGEST]):
            _check_size(X[:, [i]].toarray().ravel(), columns[i].name)
    return Batch(X, np.empty((X.shape[0], 0), dtype=object))


def _numbers(cells: pa.ChunkedArray, name: str) -> NDArray[np.float64]:
    """(n,), NaN where missing."""
    if pa.types.is_dictionary(cells.type):
        cells = cells.cast(cells.type.value_type)
    try:
        numbers = np.asarray(pc.cast(cells, pa.float64(), safe=False), dtype=np.float64)
    except pa.ArrowInvalid as error:
        raise InputError(
            "text in a numeric column",
            where=f"column {name!r}",
            expected="numbers",
            found=str(error),
            remedy="Correct the cell",
        ) from error
    _check_size(numbers, name)
    return numbers


def _check_size(numbers: NDArray[np.float64], name: str) -> None:
    beyond = np.flatnonzero(np.abs(numbers) > LARGEST)
    if len(beyond):
        raise InputError(
            "not a finite number in a numeric column",
            where=f"column {name!r}, row {beyond[0] + 1}",
            expected=f"a number up to {LARGEST:g}, or none where it is missing",
            found=f"{numbers[beyond[0]]:g}",
            remedy="Correct the cell, or leave the row out",
        )


def _labels(cells: pa.ChunkedArray) -> NDArray[np.object_]:
    """(n,) of str, None where missing."""
    encoded = cells.combine_chunks()
    if not pa.types.is_dictionary(encoded.type):
        encoded = encoded.dictionary_encode()
    labels = [*map(clean_label, encoded.dictionary.to_pylist()), None]
    found: NDArray[np.object_] = np.array(labels, dtype=object)[
        encoded.indices.fill_null(len(labels) - 1).to_numpy()
    ]
    return found

"""Which columns a file, or a row, must have."""

from collections.abc import Sequence
from numbers import Integral

from edge_node.config import Column, ColumnKind, DataSpec
from edge_node.data.sources.duck import SPACE
from edge_node.errors import DataError

__all__ = [
    "LONGEST_LABEL",
    "categorical_columns",
    "check_columns",
    "clean_label",
    "numeric_columns",
    "places",
    "unlisted_columns",
]

LONGEST_LABEL = 64  # bytes of a category's label in UTF-8


def numeric_columns(data: DataSpec) -> list[Column]:
    """The schema's numeric columns, in its order."""
    return [column for column in data.columns if column.kind is ColumnKind.NUMERIC]


def categorical_columns(data: DataSpec) -> list[Column]:
    """The schema's categorical columns, the site's among them, in its order."""
    return [column for column in data.columns if column.kind is not ColumnKind.NUMERIC]


def unlisted_columns(data: DataSpec) -> list[int]:
    """Positions among the categorical columns: those whose categories the spec doesn't list."""
    return [i for i, column in enumerate(categorical_columns(data)) if not column.categories]


def places(data: DataSpec) -> list[tuple[ColumnKind, int]]:
    """Where a batch holds each input column: numeric ones first, then categorical."""
    numeric = [(ColumnKind.NUMERIC, i) for i in range(len(numeric_columns(data)))]
    return numeric + [(ColumnKind.CATEGORICAL, i) for i in range(len(categorical_columns(data)))]


def check_columns(
    names: Sequence[str],
    data: DataSpec,
    *,
    ignore: Sequence[str],
    with_target: bool,
    where: str,
) -> None:
    """Check that all of the schema's columns are there, and no other.

    Raises:
        DataError: a column is missing or extra; both lists are named.
    """
    targets = list(data.target_columns)
    needed = [column.name for column in data.columns] + targets * with_target
    if with_target and data.time and data.time not in needed:
        needed.append(data.time)
    missing = [name for name in needed if name not in names]
    if missing:
        raise DataError(
            f"column {missing[0]!r} is missing",
            where=where,
            expected=_listed(needed),
            found=_listed(names),
            remedy="Add it (cells may be empty where a value is missing), or correct its name",
        )
    known = {*needed, *targets, data.time, *ignore}
    extra = [name for name in names if name not in known]
    if extra:
        raise DataError(
            f"column {extra[0]!r} is not in the federation's schema",
            where=where,
            expected=_listed(needed),
            found=_listed(extra),
            remedy=(
                "Add it to `ignore` in node.toml, or take it out of the file"
                if with_target
                else "Take it out"
            ),
        )


def clean_label(value: float | str | None) -> str | None:
    """A category's label: text without surrounding space, None where it is missing.

    Text counts as it is written: "3", "3.0" and "03" are three labels. A number has one spelling,
    the same as in a Parquet file: a whole one prints like an integer (3.0 is "3").
    """
    if isinstance(value, str):
        return value.strip(SPACE) or None
    if value is None or value != value:  # noqa: PLR0124 - NaN
        return None
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Integral) or (abs(value) < 2**53 and value == int(value)):
        return str(int(value))
    return repr(float(value))


def _listed(names: Sequence[str], most: int = 12) -> str:
    listed = ", ".join(names[:most])
    return f"{listed} and {len(names) - most} more" if len(names) > most else listed or "none"

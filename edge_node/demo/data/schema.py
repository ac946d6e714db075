"""The schema that the demonstration took, for people and for report.json."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from edge_node import console
from edge_node.config import ColumnKind
from edge_node.demo.data.datasets import Dataset

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["ColumnSummary", "schema_of", "schema_table"]

_LABELS_SHOWN = 5
_ROWS_SHOWN = 60


@dataclass(frozen=True)
class ColumnSummary:
    """What became of one column.

    Attributes:
        column: its name.
        role: "input", "target", "event", "site" or "left out".
        kind: "numeric" or "categorical"; empty for a column that is left out.
        missing: how many cells are missing.
        range: the lowest and the highest number, of a numeric column with any.
        labels: a categorical column's most frequent labels, at most five.
        label_count: how many labels there are.
        reason: why the column is left out.
    """

    column: str
    role: str
    kind: str = ""
    missing: int = 0
    range: tuple[float, float] | None = None
    labels: tuple[str, ...] = ()
    label_count: int = 0
    reason: str = ""

    @property
    def values(self) -> str:
        """The range, the labels or the reason, for people."""
        if self.reason:
            return self.reason
        if self.kind == ColumnKind.NUMERIC:
            return f"{self.range[0]:.6g} to {self.range[1]:.6g}" if self.range else "none"
        more = self.label_count - len(self.labels)
        listed = ", ".join(label[:40] for label in self.labels)
        return f"{listed} and {more} more" if more else listed

    def as_dict(self) -> dict[str, Any]:
        """For report.json; what doesn't apply is left out."""
        if self.reason:
            return {"column": self.column, "role": self.role, "reason": self.reason}
        facts = {"column": self.column, "role": self.role, "kind": self.kind}
        if self.kind == ColumnKind.NUMERIC:
            return {**facts, "range": self.range, "missing": self.missing}
        labels = {"labels": self.labels, "label_count": self.label_count}
        return {**facts, **labels, "missing": self.missing}


def schema_of(dataset: Dataset) -> tuple[ColumnSummary, ...]:
    """Every column, in the table's order; those that are left out come last."""
    left_out = (
        ColumnSummary(name, "left out", reason=why) for name, why in dataset.left_out.items()
    )
    return (*_used(dataset), *left_out)


def schema_table(columns: Sequence[ColumnSummary]) -> "Table":
    """The schema as a table for people; of very many columns, the first."""
    rows: list[list[object]] = [
        [each.column, each.role, each.kind, each.values, "" if each.reason else each.missing]
        for each in columns[:_ROWS_SHOWN]
    ]
    if len(columns) > _ROWS_SHOWN:
        rows.append([f"and {len(columns) - _ROWS_SHOWN} more in report.json", "", "", "", ""])
    return console.table(
        ["column", "role", "kind", "range or most frequent labels", ">missing"],
        rows,
        title="The schema, as it was read",
    )


def _used(dataset: Dataset) -> Iterator[ColumnSummary]:
    data = dataset.data
    kinds = {column.name: column.kind for column in data.columns}
    if not data.task.has_classes:
        kinds |= dict.fromkeys(data.target_columns, ColumnKind.NUMERIC)
    roles = {dataset.site_column: "site", data.event: "event", data.target: "target"}
    for name in dataset.table.column_names:
        cells, role = dataset.table[name], roles.get(name, "input")
        if kinds.get(name) is ColumnKind.NUMERIC:
            yield _numeric(name, role, cells)
        else:
            yield _categorical(name, role, cells)


def _numeric(name: str, role: str, cells: pa.ChunkedArray) -> ColumnSummary:
    numbers = np.asarray(pc.cast(cells, pa.float64()).drop_null())
    range_ = (float(numbers.min()), float(numbers.max())) if len(numbers) else None
    return ColumnSummary(name, role, "numeric", cells.null_count, range_)


def _categorical(name: str, role: str, cells: pa.ChunkedArray) -> ColumnSummary:
    counted = pc.value_counts(cells.drop_null()).to_pylist()
    labels = [each["values"] for each in sorted(counted, key=lambda each: -each["counts"])]
    shown = tuple(map(str, labels[:_LABELS_SHOWN]))
    return ColumnSummary(
        name, role, "categorical", cells.null_count, labels=shown, label_count=len(labels)
    )

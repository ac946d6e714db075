"""A user's own CSV file: its schema is inferred, and refused where it is in doubt.

Numbers are numeric columns, text and booleans are categorical ones; dates and columns without a
value are left out. Cells are read by the node's rules, and the node's checker searches the file,
so that an error names the user's own file, row and cell. In a real federation people write the
schema down, and nothing is inferred.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from edge_node.config import Column, ColumnKind, DataSpec, Task
from edge_node.data.sources.cells import CellColumn, Cells, check_named, read_cells
from edge_node.demo.data.datasets import Dataset
from edge_node.demo.data.doubts import (
    Way,
    doubt_about,
    doubt_about_labels,
    doubt_about_numbers,
    peculiarities,
    ways_for_an_input,
)
from edge_node.errors import DataError

__all__ = ["load_csv"]

_MOST_CLASSES = 20  # an integer target with more distinct values than this is a quantity
_LARGEST_WHOLE = 2.0**53  # beyond it not every whole number is a float
_WHOLE = r"[-+]?\d+"


def load_csv(
    path: Path,
    target: str,
    *,
    site_column: str | None = None,
    task: Task | None = None,
    event: str | None = None,
    classes: Sequence[str] = (),
    ignore: Sequence[str] = (),
    categorical: Sequence[str] = (),
    missing: Sequence[str] = (),
) -> Dataset:
    """Read a CSV file (plain or gzip) with a header, and infer its schema.

    Args:
        path: the file.
        target: the column to predict. Rows without it are left out.
        site_column: the column that says which site a row is from; it is no input.
        task: what the target is; None: inferred, as a time where there is an event, as ordered
            classes where they are given, and as classes where it is among ``categorical``.
        event: the column that is 1 where the event was seen, 0 where not (survival).
        classes: the labels of an ordinal target, in their order. Empty: as numbers, if they are.
        ignore: columns that are not used.
        categorical: columns whose cells are labels, whatever they look like.
        missing: texts that stand for a missing cell, beside the empty one.

    Raises:
        DataError: the file can't be read, lacks a named column, or has a column that is in
            doubt; the target is the same in every row; a number is infinite or too large.
    """
    cells = read_cells(path, ignore=ignore, missing=missing)
    named = [n for n in (target, event, site_column, *categorical) if n]
    check_named(named, list(cells.columns), path)
    task = task or _asked(target, event, classes, categorical)
    answer = cells.columns[target]
    if not answer.present.any():
        raise DataError("the target is missing in every row", where=f"{path}: column {target!r}")
    rows = {name: column.taken(answer.present) for name, column in cells.columns.items()}
    task = _task(path, rows[target], task)
    columns = [column for name, column in rows.items() if name not in (target, event, site_column)]
    inputs, left_out = _inputs(path, columns, categorical)
    labels = _classes(path, rows[target], task, classes)
    data = DataSpec(task=task, target=target, columns=inputs, classes=labels, event=event or "")
    _check(cells, data)
    _check_events(path, rows[event] if event else None)
    used = {name: column for name, column in rows.items() if name not in left_out}
    numeric = {column.name for column in inputs if column.kind is ColumnKind.NUMERIC}
    numeric |= set() if task.has_classes else set(data.target_columns)
    table = pa.table({n: _numbers(c) if n in numeric else c.text for n, c in used.items()})
    dropped = int((~answer.present).sum())
    notes = [f"{dropped} rows without a target were left out"] if dropped else []
    for column in (column for name, column in used.items() if name != site_column):
        notes += peculiarities(column, numeric=column.name in numeric)
    return Dataset(path.name, table, data, site_column, tuple(notes), left_out, where=str(path))


def _asked(
    target: str, event: str | None, classes: Sequence[str], categorical: Sequence[str]
) -> Task | None:
    """The task that other options ask for; None: they leave it open."""
    if event:
        return Task.SURVIVAL
    if classes:
        return Task.ORDINAL
    return Task.CLASSIFICATION if target in categorical else None


def _classes(path: Path, target: CellColumn, task: Task, given: Sequence[str]) -> tuple[str, ...]:
    """The target's labels: as they are given, or in the order of numbers or of the alphabet.

    Raises:
        DataError: ordered ones are neither given nor numbers, or are too many.
    """
    if not task.has_classes or given:
        return tuple(given)
    if task is Task.CLASSIFICATION:
        return tuple(sorted(target.labels))
    if target.is_number.all():
        ways = [Way("--task regression", "take each cell as a number")]
        if doubt := doubt_about_labels(path, target, ways):
            raise doubt
    else:
        raise DataError(
            "the order of the target's classes is not known",
            where=f"{path}: column {target.name!r}",
            expected="`--classes LABEL,LABEL,...` from the lowest to the highest",
            found=", ".join(map(repr, target.labels)),
            remedy="Name the classes in their order with `--classes`",
        )
    return tuple(sorted(target.labels, key=float))


def _task(path: Path, target: CellColumn, chosen: Task | None) -> Task:
    """What the target is. Raises DataError where it is in doubt, or always the same."""
    ways = [Way("--task classification", "take each cell as a class")]
    doubt = None
    if chosen is not None and not chosen.has_classes:
        doubt = doubt_about_numbers(path, target, ways, share=0.0)
    elif chosen is None and not target.is_number.all():
        doubt = doubt_about(path, target, ways)
    if doubt is not None:
        raise doubt
    if len(target.labels) == 1 < len(target.rows):
        raise DataError(
            "the target is the same in every row: there is nothing to learn",
            where=f"{path}: column {target.name!r}",
            expected="at least two different values or classes",
            found=f"{next(iter(target.labels))!r} in {len(target.rows)} rows",
            remedy="Add rows with other values, or name another column with `--target`",
        )
    if chosen is not None:
        return chosen
    classes = target.matches(_WHOLE).all() and len(target.labels) <= _MOST_CLASSES
    return Task.REGRESSION if target.is_number.all() and not classes else Task.CLASSIFICATION


def _inputs(
    path: Path, columns: Sequence[CellColumn], categorical: Sequence[str]
) -> tuple[tuple[Column, ...], dict[str, str]]:
    """What to predict from, and why other columns are left out.

    Raises:
        DataError: the first doubtful column, whose remedy names the others; or no column is left.
    """
    taken: list[Column] = []
    left_out: dict[str, str] = {}
    doubts: dict[str, DataError] = {}
    for column in columns:
        name = column.name
        if name in categorical:
            taken.append(Column(name=name, kind=ColumnKind.CATEGORICAL))
        elif reason := _useless(column):
            left_out[name] = reason
        elif (column.is_number | ~column.present).all():
            taken.append(Column(name=name))
        elif doubt := doubt_about(path, column, ways_for_an_input(name)):
            doubts[name] = doubt
        else:
            taken.append(Column(name=name, kind=ColumnKind.CATEGORICAL))
    if doubts:
        first, *others = doubts
        if others:
            doubts[first].remedy += f". Other doubtful columns: {', '.join(map(repr, others))}"
        raise doubts[first]
    if not taken:
        raise DataError(
            "no column is left to predict from",
            where=str(path),
            expected="at least one column of numbers or labels beside the target",
            found="; ".join(f"{name!r}: {why}" for name, why in left_out.items()) or "none",
            remedy="Add a column to the file",
        )
    return tuple(taken), left_out


def _useless(column: CellColumn) -> str:
    """Why a column can be no input; empty if it can."""
    if (np.isnan(column.numbers) & (column.is_number | ~column.present)).all():
        return "every cell is missing"
    if (column.is_time | ~column.present).all():
        return "dates and times are neither numbers nor categories"
    return ""


def _check(cells: Cells, data: DataSpec) -> None:
    """Search the file as a node would. Raises DataError, with a way out that the user has."""
    try:
        cells.check(data)
    except DataError as error:
        if not data.event or f"column {data.event!r}" not in error.where:  # none may be missing
            error.remedy = (
                "Correct the cell, or read it as missing: give its text as `--missing TEXT`"
            )
        raise


def _check_events(path: Path, event: CellColumn | None) -> None:
    """Raise DataError where no event was seen."""
    if event is not None and not (event.numbers == 1).any():
        raise DataError(
            "the event was seen in no row: there is nothing to learn",
            where=f"{path}: column {event.name!r}",
            expected="1 in some rows",
            found=f"0 in all {len(event.rows)} rows",
            remedy="Name another column with `--event`",
        )


def _numbers(column: CellColumn) -> pa.Array:
    """The column as numbers, null where one is missing; integers where all are written so."""
    known = np.isfinite(column.numbers)
    whole = bool(column.matches(_WHOLE)[column.present].all())
    if whole and np.abs(column.numbers[known]).max(initial=0.0) < _LARGEST_WHOLE:
        return pa.array(np.where(known, column.numbers, 0.0).astype(np.int64), mask=~known)
    return pa.array(column.numbers, mask=~known)

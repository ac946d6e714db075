"""What a site gives of its rows to sums over groups: enough rows of its own, or none.

The groups are the values of a number's column, the rows with a label, and the rows without a value.
Whatever other members know and subtract, a sum over at least that many rows of somebody is left.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edge_node.arrays import Matrix, Vector
from edge_node.config import DataSpec, Task
from edge_node.data.encoding.groups import MISSING, kept_groups
from edge_node.data.encoding.signed_log import SignedLog
from edge_node.data.encoding.targets import as_summed
from edge_node.data.sources.checks import LARGEST, LARGEST_COUNT
from edge_node.data.sources.copies import DistinctRows
from edge_node.data.sources.rare_classes import class_counts
from edge_node.data.sources.schema import categorical_columns, numeric_columns, places
from edge_node.data.sources.source import Batch, Source
from edge_node.data.sums.census import Census, event_counts, number_names, sizes_of
from edge_node.data.sums.extremes import Extremes
from edge_node.data.sums.hardly_unknown import HardlyUnknown
from edge_node.data.sums.labels import add_labels
from edge_node.data.sums.tails import without_wild
from edge_node.errors import DataError

__all__ = ["Given", "given_by"]

_EXPECTED = {
    Task.COUNT: f"a whole number from 0 to {LARGEST_COUNT:,}",
    Task.SURVIVAL: "a time that is not zero",
}


@dataclass(frozen=True)
class Given:
    """One pass over a site's rows, with small groups left out.

    ``values``, ``known``, ``low`` and ``high`` run over the numeric columns and then, for
    regression, the target.

    Attributes:
        rows: all of the site's.
        distinct: at least how many of them are distinct.
        classes: rows of each class.
        events: one number, rows whose event was seen, where targets are times; else none.
        values: how many values of each column are summed: all, or none where too few distinct rows
            have one.
        known: whether each column's cells are hardly unknowns.
        low: the bound below which a value counts as the bound.
        high: the bound above which it does.
        labels: for each categorical column, rows with each label that is told apart.
        missing: for each input column, rows without a value, if they are told apart; otherwise 0.
        ends: the lowest and highest value of each column before wild ones were moved inwards.
        sample: (n, columns), rows by which the site judges tails.
        logs: the signed logarithm of each heavy-tailed column, once it is known.
    """

    rows: int
    distinct: int
    classes: Vector
    events: tuple[int, ...]
    values: NDArray[np.int64]
    known: tuple[bool, ...]
    low: Vector
    high: Vector
    labels: tuple[Mapping[str, int], ...]
    missing: tuple[int, ...]
    ends: tuple[Vector, Vector]
    sample: Matrix
    logs: Mapping[int, SignedLog]

    @property
    def census(self) -> Vector:
        """The site's part of a `Census`, as it is summed."""
        own = Census(
            self.rows,
            self.distinct,
            tuple(map(int, self.classes)),
            tuple(map(int, self.known)),
            tuple(sizes_of(int(rows)) for rows in self.classes),
            self.events,
        )
        return own.vector

    @property
    def wild_targets(self) -> bool:
        """Whether several targets, as many as the site gives to a sum, were moved inwards."""
        (least, most), target = self.ends, len(self.low) - 1
        return bool(self.low[target] > least[target] or self.high[target] < most[target])

    def numbers(self, batch: Batch, data: DataSpec) -> Matrix:
        """The values (n, columns) that are summed; NaN where there is none."""
        clipped = np.clip(_logarithms(_numbers(batch, data), self.logs), self.low, self.high)
        return np.where(self.values > 0, clipped, np.nan)

    def under(self, logs: Mapping[int, SignedLog]) -> "Given":
        """The same, with signed logarithms in place of heavy-tailed columns."""
        ends = _logarithms(np.array(self.ends), logs)
        low, high = without_wild(_logarithms(self.sample, logs), *ends)
        columns = list(logs)
        bounds = self.low.copy(), self.high.copy()
        bounds[0][columns], bounds[1][columns] = low[columns], high[columns]
        return replace(self, low=bounds[0], high=bounds[1], logs=logs)


def given_by(source: Source, data: DataSpec, fewest: int) -> Given:
    """What a site gives.

    Args:
        source: the site's rows.
        data: the schema.
        fewest: how many of its own rows the site gives to a sum over a group, at least.

    Raises:
        DataError: a number is beyond 1e120 or not one, or a target is missing.
    """
    categorical, distinct = categorical_columns(data), DistinctRows()
    rows, missing = 0, np.zeros(len(data.columns), dtype=np.int64)
    classes, events = np.zeros(len(data.classes)), np.zeros(event_counts(data), dtype=np.int64)
    labels: list[Counter[str]] = [Counter() for _ in categorical]
    extremes = Extremes(len(number_names(data)), fewest)
    values = np.zeros(len(number_names(data)), dtype=np.int64)
    known = HardlyUnknown(len(number_names(data)))
    for batch in source.batches():
        rows += len(batch)
        first = distinct.add(batch)
        classes += _classes(batch, data)
        if batch.target is not None:
            events += np.count_nonzero(batch.target > 0)
        missing += [np.count_nonzero(batch.is_missing(*each)) for each in places(data)]
        numbers = _numbers(batch, data)
        _check_numbers(numbers, data)
        values += np.count_nonzero(~np.isnan(numbers), axis=0)
        known.add(numbers[first])
        numbers[~first, : len(numeric_columns(data))] = np.nan  # copies hide nobody's value
        extremes.add(numbers)
        for own, column, cells in zip(labels, categorical, batch.categorical.T, strict=True):
            add_labels(own, cells, column)
    kept = [
        kept_groups(rows, own, int(gaps), fewest)
        for own, gaps in zip([*({} for _ in numeric_columns(data)), *labels], missing, strict=True)
    ]
    ends = extremes.bounds()
    low, high = without_wild(known.sample, *ends)
    return Given(
        rows,
        distinct.count,
        classes,
        tuple(events.tolist()),
        np.where(extremes.values >= fewest, values, 0),
        known.columns(low, high),
        low,
        high,
        tuple(
            {label: n for label, n in own.items() if label in groups}
            for own, groups in zip(labels, kept[len(numeric_columns(data)) :], strict=True)
        ),
        tuple(int(n) if MISSING in groups else 0 for n, groups in zip(missing, kept, strict=True)),
        ends,
        known.sample,
        {},
    )


def _logarithms(numbers: Matrix, logs: Mapping[int, SignedLog]) -> Matrix:
    """Numbers (n, columns), with the signed logarithms of some columns in place of them."""
    if not logs:
        return numbers
    columns = [logs[i](column) if i in logs else column for i, column in enumerate(numbers.T)]
    return np.column_stack(columns)


def _numbers(batch: Batch, data: DataSpec) -> Matrix:
    """Their values (n, columns); NaN is a missing one."""
    if data.task.has_classes or batch.target is None:
        return batch.numeric.copy()
    return np.column_stack([batch.numeric, as_summed(batch.target, data.task)])


def _check_numbers(numbers: Matrix, data: DataSpec) -> None:
    """Raise DataError for numbers too large to be squared and summed; NaN is a missing value."""
    large = np.count_nonzero(np.abs(numbers) > LARGEST, axis=0)
    for name, found in zip(number_names(data), large.tolist(), strict=True):
        if found:
            raise DataError(
                "a number is too large",
                where=f"column {name!r}",
                expected=f"up to {LARGEST:g} in absolute value",
                found=f"{found} larger ones",  # not the value: a node reports why it refuses
                remedy="Correct the value, or leave the cell empty where it is missing",
            )


def _classes(batch: Batch, data: DataSpec) -> Vector:
    """Rows of each class. Raises DataError for a target that is missing or no class index."""
    target = np.empty(0) if batch.target is None else batch.target
    wrong, expected = np.isnan(as_summed(target, data.task)), _EXPECTED.get(data.task, "a number")
    if data.task is Task.COUNT:
        wrong |= (target != np.rint(target)) | (target < 0) | (target > LARGEST_COUNT)
    if data.task.has_classes:
        wrong = ~np.isin(target, range(len(data.classes)))
        expected = f"the index of one of {len(data.classes)} classes"
    if wrong.any():
        raise DataError(
            "a row has no target",
            where=f"column {data.target!r}",
            expected=expected,
            found=f"{int(wrong.sum())} rows without",
            remedy="Correct the row, or leave it out",
        )
    return class_counts(target, len(data.classes)) if data.task.has_classes else np.zeros(0)

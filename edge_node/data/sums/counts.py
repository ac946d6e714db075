"""The first sum: counts and nothing but counts. They say what can be summed, and in which units.

A census (`edge_node.data.sums.census`): rows, and how many of them are distinct; rows of each
class; columns whose cells are hardly unknowns. Of the groups that sites give
(`edge_node.data.sums.given`): rows without a value, with a listed category, in each hash bucket
where categories are not listed. For each numeric column, and a regression's target, each site says
how many values it gives and, by the bin that it puts this number in, how large they are: a factor
of 16; and, for each input, how many are in a column that it calls heavy-tailed
(`edge_node.data.sums.tails`), and at sites that have wild targets. All are integers.

Later sums are fixed-point. So the bins give every column a power-of-two unit that brings its
largest value near one, and that no single node chose.
"""

from collections.abc import Mapping
from itertools import islice

import msgspec
import numpy as np
from numpy.typing import NDArray

from edge_node.arrays import Vector
from edge_node.config import DataSpec, Task
from edge_node.data.sources.schema import categorical_columns, numeric_columns, unlisted_columns
from edge_node.data.sums.census import SIZES, Census, event_counts, number_names
from edge_node.data.sums.given import Given
from edge_node.data.sums.labels import count_length, label_counts, label_tallies
from edge_node.data.sums.tails import tail_votes
from edge_node.errors import DataError
from edge_node.packing import Layout

__all__ = ["Counts", "check_census", "local_counts", "read_counts"]

_FEWEST = 2  # rows: of one, nothing varies
_LOWEST, _HIGHEST, _BIN = -400, 400, 4  # binary exponents: 1e-120 to 1e120
_BINS = (_HIGHEST - _LOWEST) // _BIN


class Counts(msgspec.Struct, frozen=True):
    """What is known after the first sum.

    ``known``, ``values`` and ``units`` run over the numeric columns and then, for regression, the
    target.
    """

    rows: int
    distinct: int  # rows, at least
    missing: tuple[int, ...]  # cells per input column: numeric ones first, then categorical
    classes: tuple[int, ...]  # rows of each
    known: tuple[int, ...]  # sites that say a column's cells are hardly unknowns
    sizes: tuple[tuple[int, ...], ...]  # of sites' rows of each class, `Census.sizes`
    events: tuple[int, ...]  # rows whose event was seen, where targets are times
    listed: tuple[tuple[int, ...], ...]  # per categorical column; rows of each category of the spec
    values: tuple[int, ...]
    units: tuple[float, ...]  # a power of two that no value exceeds
    buckets: tuple[float, ...]  # `labels.label_counts` of the columns that aren't listed
    wild_targets: bool  # some site has several targets far beyond all others
    heavy: Mapping[int, bool]
    """The numeric columns that are heavy-tailed to most sites, by values, and whether their
    logarithm is one about zero; otherwise it is one about the mean."""

    @property
    def census(self) -> Census:
        """What of it is counted again when a node is lost."""
        return Census(self.rows, self.distinct, self.classes, self.known, self.sizes, self.events)


def local_counts(given: Given, data: DataSpec) -> Vector:
    """What a site counts of the rows that it gives.

    Raises:
        DataError: a label is too long to be agreed on.
    """
    magnitudes = np.zeros((len(given.values), _BINS))
    largest = np.maximum(np.abs(given.low), np.abs(given.high))
    magnitudes[np.arange(len(largest)), _bins(largest)] = given.values
    columns = zip(categorical_columns(data), given.labels, strict=True)
    listed = [own.get(label, 0) for column, own in columns for label in column.categories]
    tallies = label_tallies(given.labels, data)
    numbers = len(numeric_columns(data))
    votes = tail_votes(given.sample[:, :numbers]) * given.values[:numbers, None]
    return _layout(data).pack(
        census=given.census,
        missing=given.missing,
        listed=listed,
        magnitudes=magnitudes,
        heavy=votes,
        wild=given.rows if data.task is Task.REGRESSION and given.wild_targets else 0,
        buckets=label_counts(tallies, range(len(tallies)), attempt=0),
    )


def read_counts(total: Vector, data: DataSpec) -> Counts:
    """The federation's counts, of ``local_counts``. Raises NumericalError for another vector."""
    parts = _layout(data).unpack(total)
    listed = iter(parts["listed"].astype(int).tolist())
    census = Census.read(parts["census"], data)
    values = parts["magnitudes"].sum(axis=1)
    highest = [int(np.flatnonzero(h).max(initial=-1)) for h in parts["magnitudes"]]
    return Counts(
        rows=census.rows,
        distinct=census.distinct,
        missing=tuple(parts["missing"].astype(int).tolist()),
        classes=census.classes,
        known=census.known,
        sizes=census.sizes,
        events=census.events,
        listed=tuple(
            tuple(islice(listed, len(column.categories))) for column in categorical_columns(data)
        ),
        values=tuple(values.astype(int).tolist()),
        units=tuple(2.0 ** _top(each) if each >= 0 else 1.0 for each in highest),
        buckets=tuple(parts["buckets"].tolist()),
        wild_targets=bool(parts["wild"].item() > 0),
        heavy={
            column: bool(zero >= mean)
            for column, (zero, mean) in enumerate(parts["heavy"].tolist())
            if zero + mean > values[column] / 2
        },
    )


def _layout(data: DataSpec) -> Layout:
    """What is summed."""
    groups = (1 + SIZES) * len(data.classes) + event_counts(data) + len(number_names(data))
    return Layout(
        {
            "census": (2 + groups,),
            "missing": (len(data.columns),),
            "listed": (sum(len(column.categories) for column in categorical_columns(data)),),
            "magnitudes": (len(number_names(data)), _BINS),
            "heavy": (len(numeric_columns(data)), 2),
            "wild": (),
            "buckets": (count_length(len(unlisted_columns(data)), attempt=0),),
        }
    )


def check_census(census: Census) -> None:
    """Check the federation's census. Raises DataError: there are too few rows."""
    if census.rows < _FEWEST:
        raise DataError(
            "too few rows in the federation",
            expected=f"at least {_FEWEST}",
            found=str(census.rows),
            remedy="A site's rows of a class count only if it has `min_rows_per_category` of them",
        )


def _bins(largest: Vector) -> NDArray[np.intp]:
    """The bin (columns,) of each magnitude: of its binary exponent, four to a bin."""
    _, exponents = np.frexp(largest)
    inside = np.clip(np.where(largest > 0, exponents - 1, _LOWEST), _LOWEST, _HIGHEST - 1)
    bins: NDArray[np.intp] = (inside - _LOWEST) // _BIN
    return bins


def _top(place: int) -> int:
    """The exponent of the power of two that the values of a bin stay below."""
    return _LOWEST + _BIN * (place + 1)

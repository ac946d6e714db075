"""What is counted again whenever a node is lost, because later sums depend on it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Self

import numpy as np

from edge_node.arrays import Vector
from edge_node.config import DataSpec, Task
from edge_node.data.sources.schema import numeric_columns

__all__ = ["SIZES", "Census", "event_counts", "number_names", "sizes_of"]

SIZES = 40
"""As many sizes of a site's class are told apart: up to 2^40 rows."""


@dataclass(frozen=True)
class Census:
    """Counts of a federation's rows, or of one site's.

    Attributes:
        rows: all.
        distinct: at least how many of them are distinct.
        classes: rows of each class.
        known: for each of `number_names`, how many sites say that its cells are hardly unknowns
            (`edge_node.data.sums.hardly_unknown`).
        sizes: for each class, how many sites have rows of it, by size: 1, 2 to 3, 4 to 7 and so on.
            So it tells of a site's classes what its signed size tells of its rows.
        events: one number, rows whose event was seen, where targets are times; else none.
    """

    rows: int
    distinct: int
    classes: tuple[int, ...]
    known: tuple[int, ...]
    sizes: tuple[tuple[int, ...], ...]
    events: tuple[int, ...] = ()

    @property
    def vector(self) -> Vector:
        """As it is summed."""
        sizes = [sites for by_size in self.sizes for sites in by_size]
        groups = [*self.classes, *self.events, *self.known, *sizes]
        counts = [self.rows, self.distinct, *groups]
        return np.array(counts, dtype=np.float64)

    @classmethod
    def read(cls, total: Vector, data: DataSpec) -> Self:
        """The inverse of `vector`."""
        rows, distinct, *others = (round(count) for count in total.tolist())
        lengths = (len(data.classes), event_counts(data), len(number_names(data)))
        left = iter(others)
        classes, events, known = (tuple(islice(left, length)) for length in lengths)
        return cls(rows, distinct, classes, known, tuple(_chunks([*left])), events)

    def lacks(self, own: Self) -> bool:
        """Whether this total can't hold what a site has counted: a member took some of it back.

        Such a member could make columns cells that this site's rows hardly leave open.
        """
        columns = any(mine > total for mine, total in zip(own.known, self.known, strict=True))
        return columns or any(
            mine > total
            for ours, totals in zip(own.sizes, self.sizes, strict=True)
            for mine, total in zip(ours, totals, strict=True)
        )

    def smallest_class(self, coalition: int, fewest: int) -> int | None:
        """At least how many rows of any class remain without any ``coalition`` of the sites.

        The sizes bound what the sites have, from below and from above; the better bound counts.
        All copies of rows are taken to be of one class. And who gives rows of a class gives at
        least ``fewest``. None: there are no classes.
        """
        copies = self.rows - self.distinct
        return min(
            (
                max(fewest, _remaining(rows, sizes, coalition) - copies)
                for rows, sizes in zip(self.classes, self.sizes, strict=True)
                if rows
            ),
            default=None,
        )


def _remaining(rows: int, sizes: Sequence[int], coalition: int) -> int:
    """At least how many of a class's rows remain without any ``coalition`` of the sites."""
    least = largest = 0
    for i in reversed(range(len(sizes))):
        taken = min(coalition, sizes[i])
        coalition -= taken
        largest += taken * (2 ** (i + 1) - 1)
        least += (sizes[i] - taken) << i
    return min(max(least, rows - largest), rows)


def sizes_of(rows: int) -> tuple[int, ...]:
    """A site's `Census.sizes` of a class of which it has so many rows."""
    return tuple(int(i + 1 == rows.bit_length()) for i in range(SIZES))


def event_counts(data: DataSpec) -> int:
    """How many numbers say how many events were seen: one, where targets are times."""
    return int(data.task is Task.SURVIVAL)


def number_names(data: DataSpec) -> list[str]:
    """The numeric columns and then, unless it is a class, the target."""
    names = [column.name for column in numeric_columns(data)]
    return names if data.task.has_classes else [*names, data.target]


def _chunks(counts: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """One class's sizes after the other."""
    return (tuple(counts[i : i + SIZES]) for i in range(0, len(counts), SIZES))

"""What is counted again whenever a node is lost: what later sums, and how much they may tell,
depend on.
"""

import math
from dataclasses import dataclass
from typing import Self

import numpy as np

from edge_node.arrays import Vector
from edge_node.config import DataSpec, Task
from edge_node.data.sources.schema import numeric_columns

__all__ = ["Census", "number_names"]


@dataclass(frozen=True)
class Census:
    """Counts of a federation's rows, or of one site's.

    Attributes:
        rows: all.
        distinct: at least how many of them are distinct.
        classes: rows of each class.
        few: for each of `number_names`, how many sites say that it holds few different values.
        spread: for each class, the sum over the sites of the squares of their rows of it, each
            first rounded up to a power of two. So it tells of a site what its signed size tells.
    """

    rows: int
    distinct: int
    classes: tuple[int, ...]
    few: tuple[int, ...]
    spread: tuple[int, ...]

    @property
    def vector(self) -> Vector:
        """As it is summed."""
        counts = [self.rows, self.distinct, *self.classes, *self.few, *self.spread]
        return np.array(counts, dtype=np.float64)

    @classmethod
    def read(cls, total: Vector, data: DataSpec) -> Self:
        """The inverse of `vector`."""
        rows, distinct, *others = (round(count) for count in total.tolist())
        classes, numbers = len(data.classes), len(number_names(data))
        return cls(
            rows,
            distinct,
            tuple(others[:classes]),
            tuple(others[classes : classes + numbers]),
            tuple(others[classes + numbers :]),
        )

    def smallest_class(self, coalition: int, fewest: int) -> int | None:
        """At least how many rows of any class remain without any ``coalition`` of the sites.

        No ``coalition`` of sites has more rows of a class than the root of ``coalition`` times the
        sum of squares (Cauchy and Schwarz). All copies of rows are taken to be of one class. And
        who gives rows of a class gives at least ``fewest``. None: there are no classes.
        """
        copies = self.rows - self.distinct
        return min(
            (
                max(fewest, rows - copies - math.isqrt(coalition * squares) - 1)
                for rows, squares in zip(self.classes, self.spread, strict=True)
                if rows
            ),
            default=None,
        )


def number_names(data: DataSpec) -> list[str]:
    """The numeric columns and then, for regression, the target."""
    names = [column.name for column in numeric_columns(data)]
    return [*names, data.target] if data.task is Task.REGRESSION else names

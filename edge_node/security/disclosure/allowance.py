"""How much a federation's rows may tell: how many numbers, and at what resolution.

Exact sums are equations, and the cells of the others' rows are their unknowns. Where as many
numbers are told as there are cells, the rows can be solved for, whatever the number of features.
So all real-valued numbers that are told over the same rows are, over the rows' life, at most a
share of the cells. Besides, a sum of outer products has at most a third as many features as there
are rows: a matrix of full rank has no null space in which rows would show.

Both count what remains when the largest sites are taken away: whoever subtracts their own rows
knows the sums of the others. Each site signs its size, as a power of two, rounded down. So every
site computes the allowance by itself, and one that lies about its rows can't raise it.

docs/threat-model.md says what this protects, and what it doesn't.
"""

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from edge_node.errors import CohortRefusedError

__all__ = ["ROWS_PER_FEATURE", "Allowance", "remaining_rows"]

ROWS_PER_FEATURE = 3
"""As many rows as a feature needs; DataSHIELD's rule for regressions (`nfilter.glm`, 0.33)."""


@dataclass(frozen=True)
class Allowance:
    """What the rows of a federation may tell.

    Attributes:
        rows: distinct rows that remain without the largest sites.
        columns: the numbers of a row that are unknowns: no categories, no classes, no numbers that
            are hardly unknowns (`program.plan.allowances.unknown_columns`).
        most_told: the most numbers that may be told over these rows in their life, per cell.
        told: how many were told before.
        class_rows: rows of the smallest class that remain without the largest sites; None: there
            are no classes.
    """

    rows: int
    columns: int
    most_told: float
    told: int = 0
    class_rows: int | None = None

    @classmethod
    def unlimited(cls) -> Self:
        """For one process that has all the rows: it tells nobody anything."""
        return cls(sys.maxsize, 1, math.inf)

    @property
    def cells(self) -> int:
        """The numbers that others would have to solve for."""
        return self.rows * self.columns

    @property
    def most_numbers(self) -> int | None:
        """How many real-valued numbers may be told in the rows' life; None: any number."""
        return None if math.isinf(self.most_told) else math.floor(self.most_told * self.cells)

    @property
    def numbers(self) -> int:
        """How many real-valued numbers may still be told."""
        most = self.most_numbers
        return sys.maxsize if most is None else max(most - self.told, 0)

    @property
    def features(self) -> int:
        """The most features of which outer products may be summed.

        A classifier's sums tell the features' sum over each class, too: r numbers about the rows
        of a class, which are its cells' most at the same share.
        """
        by_rows = self.rows // ROWS_PER_FEATURE
        if self.class_rows is None or math.isinf(self.most_told):
            return by_rows
        return min(by_rows, math.floor(self.most_told * self.class_rows * self.columns))


def remaining_rows(sizes: Mapping[str, int], distinct: int, coalition: int) -> int:
    """A lower bound on the distinct rows of all sites but the ``coalition`` largest.

    It is made of what the sites have signed, and of nothing else. Liars, no more than the
    ``coalition``, can't raise it beyond the rows of the honest: what they sign is at most what is
    taken away. The total of the rows would be a better bound if nobody lied. But one liar could
    raise it, by as much as the others' sizes were rounded down: nearly to twice their rows. So it
    must only agree with the sizes.

    Args:
        sizes: each site's distinct rows, as the power of two that it has signed, rounded down. Of
            1 there may be none: a site without rows has no power of two.
        distinct: all sites' distinct rows, as they were summed.
        coalition: how many sites might pool what they know.

    Raises:
        CohortRefusedError: the total can't be that of sites of such sizes.
    """
    ordered = sorted((size if size > 1 else 0 for size in sizes.values()), reverse=True)
    least, most = sum(ordered), sum(2 * size - 1 for size in sizes.values())
    if not least <= distinct <= most:
        raise CohortRefusedError(
            "the sites' sizes and the count of their rows contradict each other",
            where="distinct rows of the federation",
            expected=f"{least} to {most}, from the sizes that the sites have signed",
            found=str(distinct),
            remedy="Ask the sites: one of them says something else of its rows than it sums",
        )
    return sum(ordered[coalition:])

"""How many of its own rows a site gives to a sum over a group of rows, at least.

Totals are public to the cohort, and every member can subtract what it knows. So a floor over the
whole federation protects nobody: of a group of five, a member may hold four. A site's own rows in a
group are at least as many as its floor, or it gives none. The floor is the highest of the code's,
the spec's and the site's.
"""

from dataclasses import dataclass
from typing import Self

from edge_node.config.policy import SitePolicy
from edge_node.config.spec import SMALLEST_GROUP, FederationSpec

__all__ = ["Floors"]


@dataclass(frozen=True)
class Floors:
    """The fewest rows of a site in each group that it gives.

    Attributes:
        category: rows of a category or class, rows without a value, values of a column.
        landmark: rows next to a k-means landmark.
    """

    category: int
    landmark: int

    @classmethod
    def of(cls, spec: FederationSpec, policy: SitePolicy | None = None) -> Self:
        """The floors of a site: neither spec nor policy lowers the other's, or the code's."""
        own = policy or SitePolicy()
        return cls(
            max(SMALLEST_GROUP, spec.data.min_rows_per_category, own.min_rows_per_category),
            max(SMALLEST_GROUP, spec.model.min_rows_per_landmark, own.min_rows_per_landmark),
        )

    @classmethod
    def none(cls) -> Self:
        """For one process that holds all rows: it hides nothing from itself."""
        return cls(1, 1)

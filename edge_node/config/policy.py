"""A site's own policy: the conditions under which it contributes.

The policy stands in the site's node file. No federation spec overrides it.
"""

import enum
import math

from edge_node.config.privacy import PrivacyPolicy
from edge_node.config.spec import SMALLEST_COHORT, SMALLEST_GROUP, Task
from edge_node.config.table import Table

__all__ = ["Differencing", "SitePolicy"]


class Differencing(enum.StrEnum):
    """Whether two totals may be released whose difference is this site's sums alone."""

    REFUSE = "refuse"
    CONSENT = "consent"


class SitePolicy(Table, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The ``[policy]`` table of the node file.

    Attributes:
        min_cohort: fewest nodes that a sum may hold, this one among them; never below 3.
        peers: the only nodes to sum with; empty: any of the federation.
        tasks: the only tasks to take part in; empty: any.
        minimum_rows: fewest rows of the federation. When they have been counted, this site goes on
            only if there are at least that many.
        most_told: the most numbers per cell that its rows may tell in their life.
        coalition: how many members might pool what they know, at least.
        min_rows_per_category: fewest of its own rows in any of its sums over a category, a class,
            the rows without a value or the values of a column; 3 at least.
        min_rows_per_landmark: the same, for sums over the rows next to a landmark.
        differencing: whether others may learn this site's sums by subtracting totals.
        privacy: the differential privacy that it demands; None: it demands none.
    """

    min_cohort: int = SMALLEST_COHORT
    peers: tuple[str, ...] = ()
    tasks: tuple[Task, ...] = ()
    minimum_rows: int = 0
    most_told: float = math.inf
    coalition: int = 1
    min_rows_per_category: int = SMALLEST_GROUP
    min_rows_per_landmark: int = SMALLEST_GROUP
    differencing: Differencing = Differencing.REFUSE
    privacy: PrivacyPolicy | None = None

    @property
    def consents(self) -> bool:
        """Whether others may learn this site's sums by subtracting totals."""
        return self.differencing is Differencing.CONSENT

"""A site's own policy: the conditions under which it contributes.

The policy stands in the site's node file. No federation spec overrides it.
"""

import enum

from edge_node.config.privacy import PrivacyPolicy
from edge_node.config.spec import SMALLEST_COHORT, Task
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
        differencing: whether others may learn this site's sums by subtracting totals.
        privacy: the differential privacy that it demands; None: it demands none.
    """

    min_cohort: int = SMALLEST_COHORT
    peers: tuple[str, ...] = ()
    tasks: tuple[Task, ...] = ()
    minimum_rows: int = 0
    differencing: Differencing = Differencing.REFUSE
    privacy: PrivacyPolicy | None = None

    @property
    def consents(self) -> bool:
        """Whether others may learn this site's sums by subtracting totals."""
        return self.differencing is Differencing.CONSENT

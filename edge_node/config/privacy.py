"""Differential privacy: what a federation promises, and what a site demands."""

import enum

from edge_node.config.table import Table

__all__ = ["Level", "PrivacyPolicy", "PrivacySpec"]


class Level(enum.StrEnum):
    """Whose presence a release hides: one row's, or all rows of one site."""

    RECORD = "record"
    SITE = "site"

    def covers(self, demanded: "Level") -> bool:
        """Whether hiding this much hides what is demanded: a site's rows include each row."""
        return self is Level.SITE or demanded is Level.RECORD


class PrivacySpec(Table, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The ``[privacy]`` table of a federation spec: the run is one sum, with noise.

    The run is (epsilon, delta)-differentially private for adding or removing one row (or site).

    Attributes:
        level: whose presence is hidden.
        epsilon: of one release; a sum that is repeated without a lost node is another release.
        delta: of one release; far below one over the number of rows (or sites).
        target_bounds: a regression's least and largest target; targets beyond count as these.
        rows_per_site: at level "site": a site takes part with so many of its rows at most.
        curious_members: members that may put together what they know of their own noise; the
            others' noise is enough without it.
    """

    level: Level
    epsilon: float
    delta: float
    target_bounds: tuple[float, float] | None = None
    rows_per_site: int | None = None
    curious_members: int = 1


class PrivacyPolicy(Table, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The ``[policy.privacy]`` table of a node file: what a site demands before it contributes.

    Attributes:
        level: the least that must be hidden.
        epsilon: the budget of all releases together that this site ever takes part in.
        delta: the delta of that budget.
    """

    level: Level
    epsilon: float
    delta: float

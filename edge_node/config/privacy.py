"""Differential privacy: what a federation promises, and what a site demands."""

import enum

from edge_node.config.table import Table

__all__ = ["Level", "PrivacyPolicy", "PrivacySpec"]


class Level(enum.StrEnum):
    """Whose presence a release hides: one row's, or all rows of one site."""

    RECORD = "record"
    SITE = "site"

    def covers(self, demanded: "Level") -> bool:
        """Whether this level hides what is demanded: hiding a site hides each of its rows."""
        return self is Level.SITE or demanded is Level.RECORD


class PrivacySpec(Table, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The ``[privacy]`` table of a federation spec: the run is one sum, with noise.

    The run is (epsilon, delta)-differentially private for adding or removing one row (or site).

    Attributes:
        level: whose presence is hidden.
        epsilon: of one release. A sum repeated after a node was lost is another release.
        delta: of one release; far below one over the number of rows (or sites).
        target_bounds: a regression's least and largest target. A target beyond them counts as the
            nearer one.
        rows_per_site: at level "site", the most rows that a site takes part with.
        curious_members: how many members may pool what they know about their own noise. The noise
            of all others must still be enough.
    """

    level: Level
    epsilon: float
    delta: float
    target_bounds: tuple[float, float] | None = None
    rows_per_site: int | None = None
    curious_members: int = 1

    @property
    def summary(self) -> str:
        """For people."""
        return (
            f"differentially private at {self.level} level, epsilon {self.epsilon:g} a run at delta"
            f" {self.delta:g}"
        )

    def honest(self, cohort: int) -> int:
        """How many of a cohort's members must keep their noise to themselves."""
        return max(1, cohort - self.curious_members)


class PrivacyPolicy(Table, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The ``[policy.privacy]`` table of a node file: what a site demands before it contributes.

    Attributes:
        level: whose presence must be hidden, at least.
        epsilon: the budget for all releases together that this site ever takes part in.
        delta: the delta of that budget.
        least_honest: how many members of a cohort, itself among them, it counts on to be honest.
            A release whose promise needs more of them is refused. None: as many as the spec does.
    """

    level: Level
    epsilon: float
    delta: float
    least_honest: int | None = None

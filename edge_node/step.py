"""A step of the program: one sum or gather over the federation, as a value.

A leaf: the program makes steps, networks take them, and a site's guard reads their fields.
"""

import enum
from dataclasses import dataclass, field, replace

__all__ = ["Content", "Step"]

_AGAIN = "/again-"


class Content(enum.StrEnum):
    """What the nodes contribute to a step."""

    COUNTS = "counts"  # numbers of rows of each kind, and nothing else
    LABELS = "labels"  # names of categories, each times its rows
    PARTITION = "partition"  # sums over groups of rows, of which each row is in one at most
    STATISTICS = "statistics"  # any other exact sum over rows
    NOISY = "noisy"  # a sum over rows that holds differentially private noise
    NOTHING = "nothing"  # no numbers: the sum's record holds what the root decides, and no total
    PUBLIC = "public"  # what all may know, such as signatures: gathered, not summed


@dataclass(frozen=True)
class Step:
    """A step, unique within a run by its name and attempt.

    Attributes:
        name: what the program calls it.
        content: what the nodes contribute. The default is statistics, with which a guard is
            stricter than with counts. It doesn't identify the step: the wire has the name and the
            attempt only.
        attempt: how often the step was taken before.
    """

    name: str
    content: Content = field(default=Content.STATISTICS, compare=False)
    attempt: int = 0

    def __post_init__(self) -> None:
        """Raises ValueError for a name in which an attempt is written: that is a field."""
        if _AGAIN in self.name:
            raise ValueError(f"a step's name can't hold {_AGAIN!r}: {self.name!r}")

    @property
    def is_sum(self) -> bool:
        """Whether it is a sum; otherwise it is a gather."""
        return self.content is not Content.PUBLIC

    @property
    def is_noisy(self) -> bool:
        """Whether noise hides each row, or each site, in its total."""
        return self.content is Content.NOISY

    @property
    def tells_numbers(self) -> bool:
        """Whether its total is made of real-valued numbers of rows, and no noise hides them."""
        return self.content in (Content.PARTITION, Content.STATISTICS)

    @property
    def again(self) -> "Step":
        """The same step, taken once more."""
        return replace(self, attempt=self.attempt + 1)

    @property
    def compared(self) -> "Step":
        """The step whose totals this one's must be compared with, over all runs.

        All attempts at a step are the same sum, so the first stands for them. A repeated count
        stands for itself: after a crash the remaining nodes may count again, although the
        difference from the first count reveals the counts of the nodes that are gone.
        """
        return self if self.content is Content.COUNTS else replace(self, attempt=0)

    def __str__(self) -> str:
        """The step on the wire and in records."""
        return f"{self.name}{_AGAIN}{self.attempt}" if self.attempt else self.name

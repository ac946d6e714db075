"""A node's contribution to a total: to which cohort, what it tells, and what has become of it."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Self

from edge_node.security.disclosure.cohort import Cohort
from edge_node.security.disclosure.differencing import Row
from edge_node.step import Step

__all__ = ["NOTHING", "Beginning", "Contribution", "Fate", "Telling"]


class Fate(enum.StrEnum):
    """What has become of a contribution."""

    RELEASED = "released"  # everybody may know the total, as long as nothing else is known
    ROOT = "root"  # only the root of its epoch may know the total
    VOID = "void"  # nobody knows the total, or ever will


@dataclass(frozen=True)
class Telling:
    """What a node's words tell, once they are part of a total.

    Attributes:
        numbers: how many real-valued numbers; 0 for counts, and for what noise protects.
        most: how many the cohort's rows may tell in their life, these included; None: any number.
        words: SHA-256 of the node's own words, before noise and masks. The same words in the same
            total tell nothing new. Empty: unknown, so taken for new.
        silent: whether all of them are zero: nothing of this node's rows is in the total.
    """

    numbers: int = 0
    most: int | None = None
    words: bytes = b""
    silent: bool = False


NOTHING = Telling()
"""Counts, for example."""


@dataclass(frozen=True)
class Contribution:
    """A step's vector, added in one epoch to those of others.

    ``step`` is the one with which it must be compared (`Step.compared`).
    """

    step: Step
    sequence: int
    run: int
    epoch: int
    root: str
    row: Row
    fate: Fate = Fate.RELEASED
    telling: Telling = NOTHING

    @classmethod
    def to(cls, cohort: Cohort, sequence: int, step: Step, telling: Telling) -> Self:
        """One to a cohort's total."""
        run, epoch, root = cohort.run, cohort.epoch, cohort.root
        return cls(step, sequence, run, epoch, root, cohort.row, telling=telling)

    @cached_property
    def nodes(self) -> frozenset[str]:
        """Whose vectors were added."""
        return frozenset(node for node, _ in self.row)


@dataclass(frozen=True)
class Beginning:
    """What a run began with.

    Attributes:
        basis: names what its sums depend on, beside rows: spec, policy and program.
        told: by node, how many numbers had been told over its rows before, as it signed it.
    """

    basis: bytes
    told: Mapping[str, int]

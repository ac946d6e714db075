"""The bill: how many numbers a run has told, and what that means for the rows."""

from collections.abc import Mapping
from typing import Any

import msgspec

from edge_node.config import SAFE_MOST_TOLD
from edge_node.security.disclosure.allowance import ROWS_PER_FEATURE

__all__ = ["Bill"]

_SHOWN = 6  # steps


class Bill(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a run has told of the federation's rows, and how much they may tell.

    Attributes:
        steps: how many real-valued numbers each step has told, in order.
        before: how many had been told over the same rows.
        rows: distinct rows of all sites but the ``coalition`` largest, at least.
        columns: the numbers of a row that count as cells, as in `Allowance`.
        most_told: the most numbers per cell that rows may tell in their life.
        coalition: how many sites might pool what they know.
        sizes: by site the power of two, rounded down, that it has signed of its distinct rows.
    """

    steps: Mapping[str, int]
    before: int
    rows: int
    columns: int
    most_told: float
    coalition: int
    sizes: Mapping[str, int]

    @property
    def told(self) -> int:
        """How many numbers the run has told."""
        return sum(self.steps.values())

    @property
    def cells(self) -> int:
        """How many numbers somebody would have to solve for."""
        return self.rows * self.columns

    @property
    def per_cell(self) -> float:
        """How many numbers were told per cell of the others' rows, in the rows' life."""
        return (self.before + self.told) / self.cells if self.cells else 0.0

    def as_dict(self) -> dict[str, Any]:
        """For programs: all fields, and what follows from them, in numbers and in words."""
        facts: dict[str, Any] = msgspec.to_builtins(self)
        numbers = {"told": self.told, "per_cell": self.per_cell, "features": self.features}
        return facts | numbers | {"summary": self.summary, "notices": list(self.notices)}

    @property
    def summary(self) -> str:
        """In a sentence."""
        before = f", after {self.before:,} before" if self.before else ""
        per_cell = f"{_plain(self.per_cell)} per cell of the others' rows"
        return f"{self.told:,} numbers{before}: {per_cell}, of {self.most_told:g} at most"

    @property
    def largest(self) -> str:
        """The steps that have told most, for people."""
        ordered = sorted(self.steps.items(), key=lambda step: -step[1])
        shown = [f"{step} {numbers:,}" for step, numbers in ordered[:_SHOWN]]
        more = sum(numbers for _, numbers in ordered[_SHOWN:])
        return ", ".join([*shown, *([f"all others {more:,}"] if more else [])])

    @property
    def notices(self) -> tuple[str, ...]:
        """What a person should know: a raised ceiling, and a site that lowers the resolution."""
        return (*self._raised, *self._dominated)

    @property
    def features(self) -> int:
        """The most features that rows allow in a sum of outer products."""
        return self.rows // ROWS_PER_FEATURE

    @property
    def _raised(self) -> tuple[str, ...]:
        """Whether more may be told than is safe, as far as anybody knows."""
        if self.most_told <= SAFE_MOST_TOLD:
            return ()
        told = f"each cell of the others' rows was told {_plain(self.per_cell)} numbers"
        if self.per_cell > SAFE_MOST_TOLD:
            told += ": exact sums of that many can be solved for rows"
        raised = f"the ceiling was raised from {SAFE_MOST_TOLD:g} to {self.most_told:g}"
        return (f"{raised} numbers per cell: {told}",)

    @property
    def _dominated(self) -> tuple[str, ...]:
        """Whether the largest sites hold more rows than all others, and what that costs."""
        ordered = sorted(self.sizes, key=lambda site: (-self.sizes[site], site))
        largest, others = ordered[: self.coalition], ordered[self.coalition :]
        held, rest = (sum(self.sizes[site] for site in sites) for sites in (largest, others))
        if held <= rest:
            return ()
        even = (held + rest) * len(others) // len(ordered) // ROWS_PER_FEATURE
        return (
            f"{' and '.join(largest)} hold{'s' * (len(largest) == 1)} most rows ({held:,} or more;"
            f" all others {rest:,} or more), and rows of the others are hidden among each other"
            f" only: sums have {self.features} features at most; were rows spread evenly, {even}",
        )


def _plain(number: float) -> str:
    """Two digits, or all before the point."""
    return f"{number:,.0f}" if number >= 100 else f"{number:.2g}"

"""Cohorts that nodes have refused: they are not planned again as they were.

A site may refuse one cohort and accept another: there are too few nodes, or strangers, or the
difference from an earlier cohort would isolate somebody. A refusal is about the processes that were
in the cohort. A site that changes its rows, its policy or its mind restarts its node; then the
cohort may be tried again.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Self

from aggregator.planning.presence import Presence
from edge_node.federation.plan import Plan
from edge_node.federation.report import Phase

__all__ = ["Refusal", "Refusals", "processes"]


@dataclass(frozen=True)
class Refusal:
    """A cohort that nodes refuse.

    Args:
        epoch: of the plan with that cohort.
        cohort: (node, session) of each process in it.
        nodes: those that refuse it.
        reason: in the words of the first node that refused.
    """

    epoch: int
    cohort: frozenset[tuple[str, bytes]]
    nodes: frozenset[str]
    reason: str


@dataclass(frozen=True)
class Refusals:
    """All refusals that still matter."""

    known: tuple[Refusal, ...] = field(default=())

    def updated(
        self,
        plan: Plan | None,
        everyone: Mapping[str, Presence],
        planned: frozenset[tuple[str, bytes]],
    ) -> Self:
        """With new refusals of the newest plan, without those about processes that have ended.

        ``planned`` are the processes that the plan was drawn for; empty: that was forgotten.
        """
        if plan is None:
            return self
        members = {name: each for name, each in everyone.items() if name in plan.by_node}
        refusing = {
            name: each.report
            for name, each in sorted(members.items())
            if each.report.phase is Phase.REFUSED and each.report.refused_epoch == plan.epoch
        }
        before = self.of(plan)
        present = processes(everyone)
        kept = [r for r in self.known if r.epoch != plan.epoch and r.cohort <= present]
        if before is not None or refusing:
            cohort = before.cohort if before else planned or processes(members)
            nodes = before.nodes if before else frozenset[str]()
            reason = before.reason if before else next(iter(refusing.values())).reason
            kept.append(Refusal(plan.epoch, cohort, nodes | refusing.keys(), reason))
        return type(self)(tuple(kept))

    def of(self, plan: Plan | None) -> Refusal | None:
        """The refusal of the plan's own cohort; None: nobody has refused it."""
        return next((each for each in self.known if plan and each.epoch == plan.epoch), None)

    def willing(self, nodes: Mapping[str, Presence]) -> Mapping[str, Presence]:
        """The nodes that have not refused to form a cohort with each other."""
        while refusal := self._of_processes(processes(nodes)):
            nodes = {name: each for name, each in nodes.items() if name not in refusal.nodes}
        return nodes

    def _of_processes(self, cohort: Collection[tuple[str, bytes]]) -> Refusal | None:
        return next((each for each in self.known if each.cohort == cohort), None)


def processes(nodes: Mapping[str, Presence]) -> frozenset[tuple[str, bytes]]:
    """(node, session) of each."""
    return frozenset((name, each.report.session) for name, each in nodes.items())

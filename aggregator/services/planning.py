"""Draws a plan whenever one is due, beside the services.

Planning and writing take place in threads. However long they take, and whether or not the disk can
be written, nodes are heard and get the newest plan.
"""

import asyncio
import logging
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from aggregator.members.members import Members
from aggregator.planning.planner import decide
from aggregator.planning.snapshot import PlanHistory, Rules
from edge_node.federation.plan import Plan
from edge_node.network.wire.plan import PlanCopies

__all__ = ["Planning"]

_log = logging.getLogger(__name__)


@dataclass
class Planning:
    """The newest plan, and when the next one is due. Only one event loop uses it.

    Attributes:
        rules: what planning follows.
        members: who is there; their clock is planning's.
        newest: the copies of the newest plan; None: there was none yet.
        waiting: why there is no newer plan, for people; empty: none is due.
        history: what earlier plans have taught.
    """

    rules: Rules
    members: Members
    newest: PlanCopies | None = field(init=False)
    waiting: str = ""
    history: PlanHistory = field(default_factory=PlanHistory)

    def __post_init__(self) -> None:
        """Read the newest plan. Raises MachineError."""
        plan = self.members.registry.latest_plan()
        self.newest = PlanCopies(plan) if plan else None

    @property
    def plan(self) -> Plan | None:
        """The newest plan; None: there was none yet."""
        return self.newest.plan if self.newest else None

    async def keep_planning(self, seconds: float) -> None:
        """Plan at once when there is news, and after ``seconds`` at the latest; for ever.

        A short pause follows, so that news from many nodes is planned for once.
        """
        while True:
            self.members.news.clear()
            await self.update()
            await asyncio.sleep(seconds / 10)
            with suppress(TimeoutError):
                await asyncio.wait_for(self.members.news.wait(), seconds)

    async def update(self) -> None:
        """Issue a plan if one is due. It is on disk before any node gets it.

        If it can't be written, the one before stays, and the next call tries again.
        """
        plan, members = self.plan, self.members
        decision = await asyncio.to_thread(
            decide,
            self.rules,
            tuple(members.presences.values()),
            plan,
            history=self.history,
            now=members.clock(),
            departed=plan.by_node.keys() - members.certificates.nodes.keys() if plan else (),
        )
        if decision.plan is not None and not await self._issue(decision.plan, decision.reason):
            self.waiting = f"the next plan can't be written: {members.access.trouble}"
            return
        self.history, self.waiting = decision.history, decision.waiting
        if renewed := self._renewed_outside_the_plan():
            await members.adopt(renewed)

    async def _issue(self, drawn: Plan, reason: str) -> bool:
        """Write a plan and hand it out from now on. False: it can't be written."""
        members = self.members
        plan = replace(drawn, created=datetime.fromtimestamp(members.calendar(), UTC))
        writing = asyncio.to_thread(members.registry.save_plan, plan)
        if not await members.access.succeeds(writing):
            return False
        self.newest = PlanCopies(plan)
        members.adopted(member.fingerprint for member in plan.members)
        facts = {"epoch": plan.epoch, "run": plan.run, "nodes": len(plan.members)}
        _log.info("new plan: %s", reason, extra=facts)
        return True

    def _renewed_outside_the_plan(self) -> list[bytes]:
        """Renewed certificates of nodes that the plan doesn't name: they don't wait for a plan."""
        planned = self.plan.by_node if self.plan else {}
        return [
            each.renewed
            for name, each in self.members.presences.items()
            if each.renewed
            and (name not in planned or planned[name].fingerprint != each.fingerprint)
        ]

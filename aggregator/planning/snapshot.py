"""Who is there at one moment, and how to say who is missing: what the planner decides from."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Self

from aggregator.planning.obstacles import Obstacles
from aggregator.planning.presence import Presence
from aggregator.planning.refusals import Refusal, Refusals
from edge_node.config import SMALLEST_COHORT, FederationSpec
from edge_node.federation.plan import Member, Plan
from edge_node.federation.report import Phase

__all__ = ["PlanHistory", "Rules", "Snapshot", "listed"]

_NAMES_SHOWN = 5


@dataclass(frozen=True)
class Rules:
    """The part of the federation spec that planning follows; times in seconds."""

    minimum_nodes: int
    liveness: float
    settle: float
    step: float
    spec_hash: bytes

    @classmethod
    def of(cls, spec: FederationSpec) -> Self:
        """The rules of a spec."""
        timing = spec.timing
        return cls(spec.minimum_nodes, timing.liveness, timing.settle, timing.step, spec.digest())

    @property
    def fewest_to_go_on(self) -> int:
        """How many survivors a run needs to go on."""
        return SMALLEST_COHORT


@dataclass(frozen=True)
class PlanHistory:
    """What earlier plans have taught.

    Args:
        obstacles: what the present run has found not to work.
        barred: (node, session) of processes that had to be left out of a run though they live.
            They would spoil the next run, too, so they stay out until they are restarted.
        refusals: cohorts that are not tried again.
        standing: the cohort that completed a run last.
        planned: (node, session) of the processes that the newest plan was drawn for.
    """

    obstacles: Obstacles = field(default_factory=Obstacles)
    barred: frozenset[tuple[str, bytes]] = frozenset()
    refusals: Refusals = field(default_factory=Refusals)
    standing: frozenset[str] = frozenset()
    planned: frozenset[tuple[str, bytes]] = frozenset()


@dataclass(frozen=True)
class Snapshot:
    """What is known at one moment.

    Args:
        rules: of the federation spec.
        everyone: all presences, by name.
        alive: those that may take part in a run.
        willing: those of ``alive`` that have not refused to form a cohort with each other.
        awaited: nodes that a restarted aggregator has neither heard yet nor given up.
        here: those of ``alive`` that are members of the plan.
        plan: the newest plan; None: there was none yet.
        history: what that plan and those before have taught.
        now: the clock.
    """

    rules: Rules
    everyone: Mapping[str, Presence]
    alive: Mapping[str, Presence]
    willing: Mapping[str, Presence]
    awaited: frozenset[str]
    here: Mapping[str, Presence]
    plan: Plan | None
    history: PlanHistory
    now: float

    @classmethod
    def of(
        cls,
        rules: Rules,
        presences: Iterable[Presence],
        plan: Plan | None,
        history: PlanHistory,
        now: float,
    ) -> Self:
        """Sort the presences. A plan for another spec counts as none."""
        everyone = {each.node: each for each in presences}
        recent = {
            name: each for name, each in everyone.items() if now - each.heard <= rules.liveness
        }
        alive = {
            name: each
            for name, each in recent.items()
            if not each.remembered
            and not each.report.refuses_every_cohort
            and (name, each.report.session) not in history.barred
        }
        awaited = frozenset(name for name, each in recent.items() if each.remembered)
        plan = plan if plan and plan.spec_hash == rules.spec_hash else None
        here = {
            member.node: alive[member.node]
            for member in (plan.members if plan else ())
            if plan and member.node in alive and _follows(alive[member.node], member, plan)
        }
        refusals = history.refusals.updated(plan, everyone, history.planned)
        willing = refusals.willing(alive)
        history = replace(history, refusals=refusals)
        return cls(rules, everyone, alive, willing, awaited, here, plan, history, now)

    @property
    def completed(self) -> int:
        """How many of the members that are here hold the posterior of the plan's run."""
        return (
            sum(self.plan.completed_by(each.report) for each in self.here.values())
            if self.plan
            else 0
        )

    @property
    def fewest_to_start(self) -> int:
        """How many nodes a new run needs; after the first run no more than are enrolled."""
        if self.plan is None:
            return self.rules.minimum_nodes
        return max(self.rules.fewest_to_go_on, min(self.rules.minimum_nodes, len(self.everyone)))

    @property
    def quiet_since(self) -> float:
        """When a node last joined or reached another phase; at least one node must be alive.

        Nodes that refuse count. Members refuse a cohort one after the other, so those that have not
        answered yet only seem willing: a cohort without the first to refuse would be refused, too.
        """
        return max(max(each.joined, each.changed) for each in self.alive.values())

    @property
    def newcomers(self) -> list[str]:
        """Nodes that could take part in the plan's run and don't."""
        return sorted(self.alive.keys() - self.here.keys())

    @property
    def refusal(self) -> Refusal | None:
        """The refusal of the plan's cohort; None: no node refuses it."""
        return self.history.refusals.of(self.plan)

    @property
    def nothing_new(self) -> bool:
        """Whether the willing nodes are just those that completed a run last."""
        return self.willing.keys() == self.history.standing

    def just_started(self) -> str:
        """`the aggregator has just started and waits to hear from hospital-b`."""
        return (
            f"the aggregator has just started and waits to hear from {listed(sorted(self.awaited))}"
        )

    def unwilling(self) -> str:
        """`hospital-a refuses the cohort hospital-a, hospital-d: ...`; empty: no node refuses."""
        if not (known := self.history.refusals.known):
            return ""
        last = known[-1]
        refuse = "refuses" if len(last.nodes) == 1 else "refuse"
        cohort = listed(sorted(name for name, _ in last.cohort))
        return f"{listed(sorted(last.nodes))} {refuse} the cohort {cohort}: {last.reason}"

    def not_enough(self) -> str:
        """`2 of 3 nodes have registered; waiting for hospital-b, last seen 40 s ago`."""
        if self.willing.keys() != self.alive.keys():
            return self.unwilling()
        text = f"{len(self.alive)} of {self.fewest_to_start} nodes have registered"
        return text + self._missing(self.everyone.keys() - self.alive.keys())

    def too_few(self) -> str:
        """`the run needs 3 members to go on and has 2; waiting for hospital-b, ...`."""
        text = (
            f"the run needs {self.rules.fewest_to_go_on} members to go on and has {len(self.here)}"
        )
        members = self.plan.by_node.keys() if self.plan else frozenset[str]()
        return text + self._missing(members - self.here.keys())

    def in_progress(self) -> str:
        """`hospital-e joins after the present run, which 2 of 4 members have completed`."""
        if not (names := self.newcomers):
            return ""
        join = "joins" if len(names) == 1 else "join"
        done = f"{self.completed} of {len(self.here)} members have completed"
        return f"{listed(names)} {join} after the present run, which {done}"

    def _missing(self, names: Iterable[str]) -> str:
        described = [self._described(name) for name in sorted(names)]
        return f"; waiting for {listed(described, '; ')}" if described else ""

    def _described(self, name: str) -> str:
        each = self.everyone.get(name)
        if each is None:
            return name
        if each.report.phase is Phase.REFUSED:
            return f"{name}, which refuses: {each.report.reason or 'no reason given'}"
        if (name, each.report.session) in self.history.barred:
            return f"{name}, left out until it is restarted"
        if each.remembered:
            return f"{name}, not heard since the aggregator started"
        return f"{name}, last seen {self.now - each.heard:.0f} s ago"


def listed(names: Iterable[str], separator: str = ", ") -> str:
    """The first few names, and how many more there are."""
    all_of_them = list(names)
    shown = separator.join(all_of_them[:_NAMES_SHOWN])
    more = len(all_of_them) - _NAMES_SHOWN
    return f"{shown} and {more} more" if more > 0 else shown


def _follows(presence: Presence, member: Member, plan: Plan) -> bool:
    """Whether this is the member that the plan means, and it follows the plan.

    It doesn't if it has enrolled again since, or is ahead of the plan: that happens when the
    registry was restored from a backup.
    """
    return presence.fingerprint == member.fingerprint and presence.report.epoch <= plan.epoch

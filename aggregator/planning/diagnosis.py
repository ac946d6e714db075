"""What is wrong with a run, seen from its members' reports: pure functions.

Nodes wait for each other along the tree, so one slow node makes all of them wait. A node that waits
for another is not to blame. Blame ends at the node that is waited for and waits for nobody.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from aggregator.planning.obstacles import Obstacles
from aggregator.planning.presence import Presence
from edge_node.federation.plan import Edge, Plan
from edge_node.federation.report import Phase

__all__ = ["Trouble", "diagnose"]


@dataclass(frozen=True)
class Trouble:
    """Why a run needs another plan; all fields are empty if it doesn't.

    Args:
        lost: members that are silent, refuse, or were replaced by a new enrolment.
        stalled: members that are waited for too long and wait for nobody.
        moved: members that are dialled at another address than the plan says.
        repeat: complete members that are waited for too long. They have what the others need, and
            hand it over when a new epoch begins.
        ending: members whose certificate is about to end, and that hold a renewed one.
        obstacles: edges that don't work and nodes that nobody can dial, found in this epoch.
    """

    lost: frozenset[str] = frozenset()
    stalled: frozenset[str] = frozenset()
    moved: frozenset[str] = frozenset()
    repeat: frozenset[str] = frozenset()
    ending: frozenset[str] = frozenset()
    obstacles: Obstacles = field(default_factory=Obstacles)

    def __bool__(self) -> bool:
        """Whether anything is wrong."""
        return self != Trouble()

    def __str__(self) -> str:
        """For people: ``hospital-b is gone, hospital-c can't dial hospital-a``."""
        edges = [f"{child} can't dial {parent}" for child, parent in sorted(self.obstacles.edges)]
        parts = [
            *(f"{node} is gone" for node in sorted(self.lost)),
            *(f"{node} keeps the others waiting" for node in sorted(self.stalled)),
            *(f"{node} has another address" for node in sorted(self.moved)),
            *(f"{node} is complete, but waited for" for node in sorted(self.repeat)),
            *(f"{node} has a renewed certificate" for node in sorted(self.ending)),
            *edges,
        ]
        return ", ".join(parts)


def diagnose(
    plan: Plan, here: Mapping[str, Presence], *, liveness: float, step: float, now: float
) -> Trouble:
    """What is wrong with the plan's run.

    Args:
        plan: the newest plan.
        here: the members that live and take part, by name.
        liveness: seconds for which a child may fail to reach its parent.
        step: seconds for which a node may be waited for.
        now: the clock.
    """
    current = {name: each for name, each in here.items() if each.report.epoch == plan.epoch}
    waits = {
        name: frozenset(each.report.waiting_for) & here.keys()
        for name, each in current.items()
        if each.report.phase is Phase.RUNNING and each.report.waiting >= step
    }
    blamed = _blamed(current, waits)
    complete = {name for name in blamed if plan.completed_by(here[name].report)}
    return Trouble(
        lost=frozenset(plan.by_node.keys() - here.keys()),
        stalled=frozenset(blamed - complete),
        moved=frozenset(
            name for name, each in here.items() if each.report.address != plan.by_node[name].address
        ),
        repeat=frozenset(complete),
        ending=frozenset(
            name for name, each in here.items() if each.renewed and now >= each.ending
        ),
        obstacles=_obstacles(plan, here, _unreachable(plan, current, liveness, now), waits),
    )


def _blamed(current: Mapping[str, Presence], waits: Mapping[str, frozenset[str]]) -> frozenset[str]:
    """Nodes that are waited for too long and wait for nobody, not even briefly."""
    waited_for = frozenset[str]().union(*waits.values())
    waiting = {name for name, each in current.items() if each.report.waiting_for}
    return waited_for - waiting


def _unreachable(
    plan: Plan, current: Mapping[str, Presence], liveness: float, now: float
) -> frozenset[Edge]:
    """Edges of the tree that the child has failed to dial for long, though its parent lives."""
    edges = []
    for name, each in current.items():
        parent = current.get(plan.by_node[name].parent)
        since = each.unreachable.get(parent.node) if parent else None
        if parent and since is not None and now - max(since, parent.joined) > liveness:
            edges.append((name, parent.node))
    return frozenset(edges)


def _obstacles(
    plan: Plan,
    here: Mapping[str, Presence],
    unreachable: frozenset[Edge],
    waits: Mapping[str, frozenset[str]],
) -> Obstacles:
    """Edges and nodes that must not be in the next tree.

    An edge is broken, or its two ends wait for each other because a message was lost. A node is an
    obstacle if it has two children or more and none of them can dial it.
    """
    mutual = {
        (child, parent)
        for child, parent in plan.parents.items()
        if parent in waits.get(child, ()) and child in waits.get(parent, ())
    }
    children: dict[str, list[str]] = {}
    for child, parent in plan.parents.items():
        if child in here:
            children.setdefault(parent, []).append(child)
    deaf = {
        parent
        for parent, all_of_them in children.items()
        if len(all_of_them) > 1 and all((child, parent) in unreachable for child in all_of_them)
    }
    return Obstacles(unreachable | mutual, frozenset(deaf))

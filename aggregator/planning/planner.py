"""When a new plan is due, and which plan: pure functions, with the clock passed in.

    no plan                      wait for `minimum_nodes` nodes and a quiet `settle`; then run 1
    a run in progress            a member is lost, stalls, moves or can't be reached:
                                 next epoch, same run, the survivors
    a run complete               nodes joined or came back, and it is quiet:
                                 next epoch, next run, everyone
    complete, a member dies      nothing: the posterior stands
    a certificate was renewed    the next plan names it; that is due when the run is complete, or
                                 the old certificate is about to end; same run, same nodes
    the aggregator restarted     wait until it has heard everyone it remembers, `liveness` at most
    too few survivors            wait for the lost nodes, or for enough others to start a new run
    members refuse the cohort    wait a quiet `settle` for the others' answers. That cohort is not
                                 planned again; a new run starts when others are here, or nodes
                                 were restarted; until then the complete posterior stands
    a member leaves              next epoch, next run, without it

A run *starts* with `minimum_nodes` nodes (or all that are left, if members have left since the
first run) and *goes on* with at least three. A crash should cost a sweep and not the run, but among
fewer than three nodes a total gives away a neighbour's part.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace

from aggregator.planning.diagnosis import diagnose
from aggregator.planning.neighbours import neighbour_graph
from aggregator.planning.obstacles import Obstacles
from aggregator.planning.presence import Presence
from aggregator.planning.refusals import processes
from aggregator.planning.snapshot import PlanHistory, Rules, Snapshot, listed
from aggregator.planning.tree import Tree, draw_tree
from edge_node.config import LARGEST_COHORT
from edge_node.federation.plan import Member, Plan

__all__ = ["Decision", "decide"]

_NOBODY_DIALS = (
    "no node can be dialled: at least one must accept inbound connections"
    " (`listen` and `advertise` in its node.toml) at an address that the others reach"
)


@dataclass(frozen=True)
class Decision:
    """What to do now.

    Args:
        plan: the plan to issue; None: the newest one stays.
        reason: why it is due, for the log.
        waiting: what is waited for, for people; empty: nothing.
        history: to be passed in next time.
    """

    plan: Plan | None = None
    reason: str = ""
    waiting: str = ""
    history: PlanHistory = field(default_factory=PlanHistory)


def decide(
    rules: Rules,
    presences: Iterable[Presence],
    plan: Plan | None,
    *,
    history: PlanHistory,
    now: float,
    departed: Collection[str] = (),
) -> Decision:
    """The next plan, if one is due.

    Args:
        rules: of the federation spec.
        presences: every enrolled node that was ever heard. A node that only an earlier process of
            the aggregator has heard is never planned.
        plan: the newest plan; None: there was none yet.
        history: as the previous decision returned it; at first an empty one.
        now: the clock of the presences.
        departed: members of the plan that have left the federation.
    """
    snapshot = Snapshot.of(rules, presences, plan, history, now)
    if snapshot.awaited:
        return Decision(waiting=snapshot.just_started(), history=snapshot.history)
    if snapshot.plan is None:
        return _start(snapshot, plan, "enough nodes have registered")
    if snapshot.refusal is not None:
        return _after_refusal(snapshot, snapshot.plan)
    if snapshot.here and snapshot.completed == len(snapshot.here):
        return _after_completion(snapshot, snapshot.plan, departed)
    if len(snapshot.here) < rules.fewest_to_go_on:
        decision = _start(snapshot, plan, "the run before could not go on")
        return decision if decision.plan else replace(decision, waiting=snapshot.too_few())
    return _go_on(snapshot, snapshot.plan)


def _after_completion(snapshot: Snapshot, plan: Plan, departed: Collection[str]) -> Decision:
    """The posterior stands until others join, or a member leaves the federation."""
    history = replace(snapshot.history, standing=frozenset(plan.by_node))
    snapshot = replace(snapshot, history=history)
    if departed:
        return _start(snapshot, plan, f"{listed(sorted(departed))} left")
    if snapshot.newcomers and not snapshot.nothing_new:
        return _start(snapshot, plan, f"{listed(snapshot.newcomers)} joined")
    decision = _renew(snapshot, plan)
    if decision.plan or not snapshot.newcomers:
        return decision
    return replace(decision, waiting=snapshot.unwilling())  # that is why they don't take part


def _after_refusal(snapshot: Snapshot, plan: Plan) -> Decision:
    """The same cohort is not tried again. Another is, once it is quiet and enough are willing."""
    if not snapshot.nothing_new:
        decision = _start(snapshot, plan, "the cohort before was refused")
        if decision.plan:
            return decision
    decision = _renew(snapshot, plan)
    return decision if decision.plan else replace(decision, waiting=snapshot.unwilling())


def _start(snapshot: Snapshot, before: Plan | None, reason: str) -> Decision:
    """A new run with everyone who is alive and willing, if they are enough and it is quiet."""
    rules, willing = snapshot.rules, snapshot.willing
    if len(willing) < snapshot.fewest_to_start:
        return Decision(waiting=snapshot.not_enough(), history=snapshot.history)
    if snapshot.now < snapshot.quiet_since + rules.settle:
        here = f"{len(willing)} nodes are here; the next run starts"
        return Decision(
            waiting=f"{here} after {rules.settle:g} s in which none joins",
            history=snapshot.history,
        )
    return _draw(snapshot, willing, before, Obstacles(), reason, run_anew=True)


def _renew(snapshot: Snapshot, plan: Plan) -> Decision:
    """The complete run's plan with certificates that were renewed since, and no other change.

    While a member is away this can wait, until a certificate is about to end.
    """
    renewed = {name: each for name, each in snapshot.here.items() if each.renewed}
    away = plan.by_node.keys() - snapshot.here.keys()
    ending = [each for each in renewed.values() if snapshot.now >= each.ending]
    if not renewed or (away and not ending):
        return Decision(history=snapshot.history)
    members = tuple(
        replace(member, fingerprint=renewed[member.node].renewed)
        if member.node in renewed
        else member
        for member in plan.members
    )
    epoch, _ = _latest(snapshot.here, plan)
    reason = f"{listed(sorted(renewed))} renewed the certificate"
    return Decision(
        replace(plan, epoch=epoch + 1, members=members), reason, history=snapshot.history
    )


def _go_on(snapshot: Snapshot, plan: Plan) -> Decision:
    """The run in progress with its survivors, if anything is wrong with it."""
    rules, history = snapshot.rules, snapshot.history
    trouble = diagnose(
        plan, snapshot.here, liveness=rules.liveness, step=rules.step, now=snapshot.now
    )
    if not trouble:
        return Decision(waiting=snapshot.in_progress(), history=history)
    survivors = {name: each for name, each in snapshot.here.items() if name not in trouble.stalled}
    if len(survivors) < rules.fewest_to_go_on:
        return Decision(waiting=f"{trouble}; {snapshot.too_few()}", history=history)
    obstacles = history.obstacles.without(trouble.moved) | trouble.obstacles
    return _draw(snapshot, survivors, plan, obstacles, str(trouble), run_anew=False)


def _draw(
    snapshot: Snapshot,
    cohort: Mapping[str, Presence],
    before: Plan | None,
    obstacles: Obstacles,
    reason: str,
    *,
    run_anew: bool,
) -> Decision:
    """The next plan over a cohort, as close to the plan before as can be."""
    if len(cohort) > LARGEST_COHORT:
        waiting = f"{len(cohort)} nodes are here; a sum can hold {LARGEST_COHORT} at most"
        return Decision(waiting=waiting, history=snapshot.history)
    inbound = frozenset(name for name, each in cohort.items() if each.report.address)
    tree = _tree(cohort.keys() - inbound, inbound, before, obstacles)
    if tree is None:
        return Decision(waiting=_NOBODY_DIALS, history=snapshot.history)
    members = _members(tree, cohort)
    if len(members) < snapshot.rules.fewest_to_go_on:
        return Decision(waiting=f"{reason}; {snapshot.too_few()}", history=snapshot.history)
    epoch, run = _latest(cohort, before)
    plan = Plan(
        epoch=epoch + 1,
        run=run + run_anew,
        spec_hash=snapshot.rules.spec_hash,
        root=tree.root,
        members=members,
        edges=neighbour_graph(tree, inbound, obstacles),
    )
    return Decision(plan, reason, history=_history_after(snapshot, plan, cohort, obstacles))


def _tree(
    leaves: Collection[str], inbound: Collection[str], before: Plan | None, obstacles: Obstacles
) -> Tree | None:
    """A tree close to that of the plan before; None: no node can be dialled."""
    if before is None:
        return draw_tree(inbound, leaves, obstacles=obstacles)
    return draw_tree(
        inbound,
        leaves,
        obstacles=obstacles,
        root=before.root,
        parents=before.parents,
        spare=before.neighbours,
    )


def _history_after(
    snapshot: Snapshot, plan: Plan, cohort: Mapping[str, Presence], obstacles: Obstacles
) -> PlanHistory:
    """The history once a plan is drawn."""
    return replace(
        snapshot.history,
        obstacles=obstacles,
        barred=_barred(snapshot, plan),
        planned=processes({name: cohort[name] for name in plan.by_node}),
    )


def _members(tree: Tree, cohort: Mapping[str, Presence]) -> tuple[Member, ...]:
    return tuple(
        Member(
            name,
            each.report.address,
            each.renewed or each.fingerprint,
            tree.parents.get(name, ""),
        )
        for name, each in sorted(cohort.items())
        if name == tree.root or name in tree.parents
    )


def _barred(snapshot: Snapshot, plan: Plan) -> frozenset[tuple[str, bytes]]:
    """(node, session) of processes that must stay out until they are restarted.

    They were barred before and still run; or they live, took part in the last plan and are willing
    to again, but the next plan leaves them out.
    """
    present = {(name, each.report.session) for name, each in snapshot.everyone.items()}
    left_out = (snapshot.here.keys() & snapshot.willing.keys()) - plan.by_node.keys()
    new = {(name, snapshot.here[name].report.session) for name in left_out}
    return frozenset((snapshot.history.barred & present) | new)


def _latest(cohort: Mapping[str, Presence], before: Plan | None) -> tuple[int, int]:
    """The greatest epoch and run that the plan before, or any node, speaks of."""
    reports = [each.report for each in cohort.values()]
    epochs = [report.epoch for report in reports] + [before.epoch if before else 0]
    runs = [report.run for report in reports] + [before.run if before else 0]
    return max(epochs), max(runs)

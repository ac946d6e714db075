"""When a new plan is due, and which: pure functions of what is known, with the clock passed in.

    no plan                      wait for `minimum_nodes` nodes and a quiet `settle`; then run 1
    a run in progress            a member is lost, stalls, moves or can't be reached:
                                 next epoch, same run, the survivors
    a run complete               nodes joined or came back, and it is quiet:
                                 next epoch, next run, everyone
    complete, a member dies      nothing: the posterior stands
    a certificate was renewed    it stands in the next plan: that is due when the run is complete,
                                 or the old certificate is about to end; same run, same nodes
    the aggregator restarted     wait until it has heard everyone it remembers, `liveness` at most
    too few survivors            wait for the lost ones, or for enough others to start a new run
    members refuse the cohort    it is not planned again; a new run starts when others are here, or
                                 nodes were started anew; until then, what was complete stands
    a member leaves              next epoch, next run, the others: without its part

A run *starts* with `minimum_nodes` (or all that are left, if members have left since the first),
and *goes on* with at least three: a crash should cost a sweep and not the run, but among fewer than
three nodes a total gives away a neighbour's part.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace

from aggregator.planning.diagnosis import diagnose
from aggregator.planning.presence import Presence
from aggregator.planning.refusals import processes
from aggregator.planning.snapshot import PlanHistory, Rules, Snapshot, listed
from aggregator.planning.topology import Obstacles, Tree, draw_tree, neighbour_graph
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
        plan: the plan to issue; None: keep the one that is.
        reason: why it is due, for the log.
        waiting: what is being waited for, for people; empty: nothing.
        experience: to be passed in next time.
    """

    plan: Plan | None = None
    reason: str = ""
    waiting: str = ""
    experience: PlanHistory = field(default_factory=PlanHistory)


def decide(
    rules: Rules,
    presences: Iterable[Presence],
    plan: Plan | None,
    *,
    experience: PlanHistory,
    now: float,
    departed: Collection[str] = (),
) -> Decision:
    """The next plan, if one is due.

    Args:
        rules: of the federation spec.
        presences: every enrolled node that was ever heard, with this federation's spec; those
            that were heard by an earlier process of the aggregator only are never planned.
        plan: the newest plan; None: there was none yet.
        experience: as the previous decision returned it; at first an empty one.
        now: the clock of the presences.
        departed: members of the plan that have left the federation.
    """
    scene = Snapshot.of(rules, presences, plan, experience, now)
    if scene.awaited:
        return Decision(waiting=scene.just_started(), experience=scene.experience)
    if scene.plan is None:
        return _start(scene, plan, "enough nodes have registered")
    if scene.refusal is not None:
        return _after_refusal(scene, scene.plan)
    if scene.here and scene.completed == len(scene.here):
        return _after_completion(scene, scene.plan, departed)
    if len(scene.here) < rules.fewest:
        decision = _start(scene, plan, "the run before could not go on")
        return decision if decision.plan else replace(decision, waiting=scene.too_few())
    return _go_on(scene, scene.plan)


def _after_completion(scene: Snapshot, plan: Plan, departed: Collection[str]) -> Decision:
    """The posterior stands until others join, or a member leaves the federation."""
    experience = replace(scene.experience, standing=frozenset(plan.by_node))
    scene = replace(scene, experience=experience)
    if departed:
        return _start(scene, plan, f"{listed(sorted(departed))} left")
    if scene.newcomers and not scene.nothing_new:
        return _start(scene, plan, f"{listed(scene.newcomers)} joined")
    decision = _renew(scene, plan)
    if decision.plan or not scene.newcomers:
        return decision
    return replace(decision, waiting=scene.unwilling())  # that is why they don't take part


def _after_refusal(scene: Snapshot, plan: Plan) -> Decision:
    """The same cohort is not tried again; another is, as soon as there is one that is willing."""
    if not scene.nothing_new:
        decision = _start(scene, plan, "the cohort before was refused")
        if decision.plan:
            return decision
    decision = _renew(scene, plan)
    return decision if decision.plan else replace(decision, waiting=scene.unwilling())


def _start(scene: Snapshot, before: Plan | None, reason: str) -> Decision:
    """A new run with everyone who is alive and willing, if they are enough and it is quiet."""
    rules, alive = scene.rules, scene.willing
    if len(alive) < scene.least:
        return Decision(waiting=scene.not_enough(), experience=scene.experience)
    quiet_since = max(max(each.joined, each.changed) for each in alive.values())
    if scene.now < quiet_since + rules.settle:
        here = f"{len(alive)} nodes are here; the next run starts"
        return Decision(
            waiting=f"{here} after {rules.settle:g} s in which none joins",
            experience=scene.experience,
        )
    return _draw(scene, alive, before, Obstacles(), reason, run_anew=True)


def _renew(scene: Snapshot, plan: Plan) -> Decision:
    """The complete run's plan with certificates that were renewed since, and no other change.

    While a member is away it can wait, until a certificate is about to end.
    """
    renewed = {name: each for name, each in scene.here.items() if each.renewed}
    away = plan.by_node.keys() - scene.here.keys()
    ending = [each for each in renewed.values() if scene.now >= each.ending]
    if not renewed or (away and not ending):
        return Decision(experience=scene.experience)
    members = tuple(
        replace(member, fingerprint=renewed[member.node].renewed)
        if member.node in renewed
        else member
        for member in plan.members
    )
    epoch, _ = _latest(scene.here, plan)
    reason = f"{listed(sorted(renewed))} renewed the certificate"
    return Decision(
        replace(plan, epoch=epoch + 1, members=members), reason, experience=scene.experience
    )


def _go_on(scene: Snapshot, plan: Plan) -> Decision:
    """The run in progress with its survivors, if anything is wrong with it."""
    rules, experience = scene.rules, scene.experience
    trouble = diagnose(plan, scene.here, liveness=rules.liveness, step=rules.step, now=scene.now)
    if not trouble:
        return Decision(waiting=scene.in_progress(), experience=experience)
    survivors = {name: each for name, each in scene.here.items() if name not in trouble.stalled}
    if len(survivors) < rules.fewest:
        return Decision(waiting=f"{trouble}; {scene.too_few()}", experience=experience)
    obstacles = experience.obstacles.without(trouble.moved) | trouble.obstacles
    return _draw(scene, survivors, plan, obstacles, str(trouble), run_anew=False)


def _draw(
    scene: Snapshot,
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
        return Decision(waiting=waiting, experience=scene.experience)
    inbound = [name for name, each in cohort.items() if each.report.address]
    tree = draw_tree(
        inbound,
        cohort.keys() - set(inbound),
        obstacles=obstacles,
        root=before.root if before else "",
        parents=before.parents if before else {},
        spare=before.neighbours if before else {},
    )
    if tree is None:
        return Decision(waiting=_NOBODY_DIALS, experience=scene.experience)
    members = _members(tree, cohort)
    if len(members) < scene.rules.fewest:
        return Decision(waiting=f"{reason}; {scene.too_few()}", experience=scene.experience)
    epoch, run = _latest(cohort, before)
    plan = Plan(
        epoch=epoch + 1,
        run=run + run_anew,
        spec_hash=scene.rules.spec_hash,
        root=tree.root,
        members=members,
        edges=neighbour_graph(tree, inbound, obstacles),
    )
    experience = replace(
        scene.experience,
        obstacles=obstacles,
        barred=_barred(scene, plan),
        planned=processes({name: cohort[name] for name in plan.by_node}),
    )
    return Decision(plan, reason, experience=experience)


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


def _barred(scene: Snapshot, plan: Plan) -> frozenset[tuple[str, bytes]]:
    """Processes that must stay out until they are restarted: those that were barred and still
    run, and those that the next plan leaves out though they live, took part in the last and are
    willing to again.
    """
    present = {(name, each.report.session) for name, each in scene.everyone.items()}
    left_out = (scene.here.keys() & scene.willing.keys()) - plan.by_node.keys()
    new = {(name, scene.here[name].report.session) for name in left_out}
    return frozenset((scene.experience.barred & present) | new)


def _latest(cohort: Mapping[str, Presence], before: Plan | None) -> tuple[int, int]:
    """The greatest epoch and run that anybody knows of."""
    reports = [each.report for each in cohort.values()]
    epochs = [report.epoch for report in reports] + [before.epoch if before else 0]
    runs = [report.run for report in reports] + [before.run if before else 0]
    return max(epochs), max(runs)

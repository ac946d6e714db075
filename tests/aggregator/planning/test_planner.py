"""When a plan is drawn, and when it isn't: told as stories of a small federation."""

from dataclasses import replace

from edge_node.config import LARGEST_COHORT
from edge_node.federation.report import Phase, Report
from tests.aggregator.planning.federation import RULES, Federation


def test_first_plan():
    """The first plan waits until enough nodes have registered and none joins for a while."""
    federation = Federation("a", "b")
    federation.wait(100)
    assert federation.decide() is None
    assert federation.last.waiting == "2 of 3 nodes have registered"
    federation.join("c")
    federation.wait(2.9)
    assert federation.decide() is None
    assert federation.last.waiting.startswith("3 nodes are here")
    federation.wait(0.1)
    plan = federation.decide()
    assert (plan.epoch, plan.run, federation.members()) == (1, 1, "abc")
    assert plan.spec_hash == RULES.spec_hash
    assert {m.address for m in plan.members} == {"a:7710", "b:7710", "c:7710"}
    assert federation.decide() is None


def test_more_than_can_be_summed():
    """No plan that its nodes would refuse, until enough of them have gone."""
    federation = Federation(*(f"n{number}" for number in range(LARGEST_COHORT + 1)))
    federation.wait(3)
    assert federation.decide() is None
    assert federation.last.waiting == "16385 nodes are here; a sum can hold 16384 at most"


def test_who_is_missing():
    """What is waited for names the nodes that were here before, and for how long they are gone."""
    federation = Federation("a", "b", "c")
    federation.silence("c")
    federation.wait(40)
    assert federation.decide() is None
    assert federation.last.waiting == (
        "2 of 3 nodes have registered; waiting for c, last seen 40 s ago"
    )


def test_a_member_dies():
    """The run goes on without it: next epoch, same run. It isn't taken back in the middle."""
    federation = Federation(
        "a", "b", "c", "d", "e", rules=replace(RULES, minimum_nodes=5)
    ).started()
    federation.silence("b")
    federation.wait(15)
    assert federation.decide() is None
    federation.wait(0.1)
    plan = federation.decide()
    assert (plan.epoch, plan.run, federation.members()) == (2, 1, "acde")
    assert federation.last.reason == "b is gone"
    federation.join("b", session=b"2")
    federation.wait(100)
    assert federation.decide() is None
    assert federation.last.waiting == (
        "b joins after the present run, which 0 of 4 members have completed"
    )


def test_a_member_comes_back():
    """After the run, and a quiet moment, everybody starts a new one."""
    federation = Federation("a", "b", "c", "d").started()
    federation.silence("b")
    federation.wait(16)
    federation.decide()
    federation.join("b", session=b"2")
    federation.wait(5)
    federation.complete("a", "c")
    assert federation.decide() is None
    federation.complete()
    assert federation.decide() is None
    federation.wait(3)
    plan = federation.decide()
    assert (plan.epoch, plan.run, federation.members()) == (3, 2, "abcd")
    assert federation.last.reason == "b joined"
    assert federation.decide() is None


def test_a_member_dies_after_completion():
    """The posterior stands, and its return changes nothing."""
    federation = Federation("a", "b", "c").started()
    federation.complete()
    federation.silence("b")
    federation.wait(1000)
    assert federation.decide() is None
    federation.say("b", Report("b:7710", b"2", epoch=1, run=1, phase=Phase.COMPLETE))
    federation.wait(1000)
    assert federation.decide() is None


def test_a_restart():
    """A process that is back before it is missed resumes in the same epoch."""
    federation = Federation("a", "b", "c").started()
    federation.silence("b")
    federation.wait(14)
    federation.say("b", Report("b:7710", b"2", epoch=1, run=1, phase=Phase.RUNNING))
    federation.wait(100)
    assert federation.decide() is None


def test_the_aggregator_restarts():
    """A run goes on as it was; nothing is planned before everybody was heard."""
    federation = Federation("a", "b", "c").started()
    federation.restart_aggregator()
    federation.join("d")
    assert federation.decide() is None
    assert federation.last.waiting == (
        "the aggregator has just started and waits to hear from a, b, c"
    )
    federation.wait(4)
    assert federation.decide() is None
    assert federation.last.waiting.startswith("d joins after the present run")
    federation.complete()
    federation.wait(3)
    assert federation.decide().run == 2


def test_the_aggregator_restarts_and_a_member_is_dead():
    """It is waited for as long as it may be silent, and then left out."""
    federation = Federation("a", "b", "c", "d").started()
    federation.silence("d")
    federation.restart_aggregator()
    federation.wait(15)
    assert federation.decide() is None
    assert federation.last.waiting.endswith("waits to hear from d")
    federation.wait(0.1)
    assert federation.decide()
    assert federation.members() == "abc"


def test_the_aggregator_restarts_before_the_first_plan():
    """It is quiet when none has been heard again for a while; the first ones don't go ahead."""
    federation = Federation("a", "b", "c")
    federation.restart_aggregator()
    late = federation.reports.pop("c")
    federation.wait(10)
    assert federation.decide() is None
    federation.say("c", late)
    assert federation.decide() is None
    assert federation.last.waiting.startswith("3 nodes are here")
    federation.wait(3)
    assert federation.decide()
    assert federation.members() == "abc"


def test_the_aggregator_restarts_and_too_few_are_left():
    """Whoever it has not heard is named as such: it can't say for how long it is gone."""
    federation = Federation("a", "b", "c").started()
    federation.silence("c")
    federation.restart_aggregator()
    federation.wait(16)
    assert federation.decide() is None
    assert federation.last.waiting.endswith("waiting for c, not heard since the aggregator started")


def test_too_few_survivors():
    """Below three the run waits for whoever is lost."""
    federation = Federation("a", "b", "c").started()
    federation.silence("b")
    federation.wait(20)
    assert federation.decide() is None
    assert federation.last.waiting == (
        "the run needs 3 members to go on and has 2; waiting for b, last seen 20 s ago"
    )
    federation.say("b", Report("b:7710", b"2", epoch=1, run=1, phase=Phase.RUNNING))
    assert federation.decide() is None
    assert federation.last.waiting == ""


def test_another_takes_the_place():
    """A run that can't go on is given up once enough nodes are there for a new one."""
    federation = Federation("a", "b", "c").started()
    federation.silence("b")
    federation.join("d")
    federation.wait(20)
    plan = federation.decide()
    assert (plan.epoch, plan.run, federation.members()) == (2, 2, "acd")


def test_everybody_dies():
    """Then there is nothing to plan, and all of them are waited for."""
    federation = Federation("a", "b", "c").started()
    for node in "abc":
        federation.silence(node)
    federation.wait(60)
    assert federation.decide() is None
    assert federation.last.waiting.count("last seen 60 s ago") == 3


def test_a_slow_member():
    """Blame follows who waits for whom to its end; waiting short of `step` blames nobody."""
    federation = Federation("a", "b", "c", "d", "e").started()
    federation.say("a", waiting_for=("b",))
    federation.say("b", waiting_for=("d",))
    federation.say("c", waiting_for=("a",))
    federation.say("e", waiting_for=("c",))
    federation.wait(599)
    assert federation.decide() is None
    federation.wait(1)
    plan = federation.decide()
    assert (plan.epoch, plan.run, federation.members()) == (2, 1, "abce")
    assert federation.last.reason == "d keeps the others waiting"


def test_a_slow_member_stays_out():
    """It would spoil the next run, too: it is taken back after a restart, not before."""
    federation = Federation("a", "b", "c", "d").started()
    federation.say("a", waiting_for=("d",))
    federation.wait(600)
    assert federation.decide()
    federation.complete()
    federation.wait(1000)
    assert federation.decide() is None
    federation.join("d", session=b"2")
    federation.wait(3)
    assert (federation.decide().run, federation.members()) == (2, "abcd")


def test_a_slow_member_is_needed():
    """Without it there would be too few: nothing changes, and it is named."""
    federation = Federation("a", "b", "c").started()
    federation.say("a", waiting_for=("b",))
    federation.wait(600)
    assert federation.decide() is None
    assert "b keeps the others waiting" in federation.last.waiting


def test_waiting_for_a_complete_member():
    """A new epoch, with everyone, makes it hand over what it has."""
    federation = Federation("a", "b", "c").started()
    federation.complete("a", "b")
    federation.say("c", waiting_for=("b",))
    federation.wait(600)
    plan = federation.decide()
    assert (plan.epoch, plan.run, federation.members()) == (2, 1, "abc")
    assert federation.last.reason == "b is complete, but waited for"


def test_an_edge_that_does_not_work():
    """A tree is formed without it, if there is another way."""
    federation = Federation("a", "b", "c", "d", "e").started()
    child, root = federation.child_of_root(), federation.plan.root
    federation.say(child, unreachable=(root,))
    federation.wait(15)
    assert federation.decide() is None
    federation.wait(0.1)
    plan = federation.decide()
    assert (plan.epoch, plan.run, federation.members()) == (2, 1, "abcde")
    assert plan.by_node[child].parent not in ("", root)
    assert plan.root == root
    federation.silence(next(m.node for m in plan.members if m.node not in (child, root)))
    federation.wait(16)
    assert federation.decide().by_node[child].parent != root, "forgotten in the next epoch"


def test_an_edge_to_a_dead_or_restarted_parent():
    """That a dead parent can't be reached says nothing about the edge."""
    federation = Federation("a", "b", "c", "d").started()
    child, root = federation.child_of_root(), federation.plan.root
    federation.silence(root)
    federation.say(child, unreachable=(root,))
    federation.wait(14)
    federation.say(root, Report(f"{root}:7710", b"2", epoch=1, run=1, phase=Phase.RUNNING))
    federation.wait(10)
    assert federation.decide() is None


def test_a_message_lost_between_two():
    """Parent and child that wait for each other get other partners."""
    federation = Federation("a", "b", "c", "d", "e").started()
    child, root = federation.child_of_root(), federation.plan.root
    federation.say(child, waiting_for=(root,))
    federation.say(root, waiting_for=(child,))
    federation.wait(600)
    plan = federation.decide()
    assert federation.members() == "abcde"
    assert plan.by_node[child].parent != root


def test_a_node_that_nobody_can_dial():
    """It becomes a leaf, even if it was the root."""
    federation = Federation("a", "b", "c", "d").started()
    root = federation.plan.root
    for member in federation.plan.members:
        if member.parent == root:
            federation.say(member.node, unreachable=(root,))
    federation.wait(16)
    plan = federation.decide()
    assert federation.members() == "abcd"
    assert plan.root != root
    assert root not in {member.parent for member in plan.members}


def test_a_node_without_any_way():
    """A node that can't dial the only one that can be dialled is left out, and stays out."""
    federation = Federation("a")
    for node in "bcd":
        federation.join(node, address="")
    federation.started()
    federation.say("c", unreachable=("a",))
    federation.wait(16)
    assert federation.decide()
    assert federation.members() == "abd"
    federation.complete()
    federation.wait(100)
    assert federation.decide() is None


def test_a_member_leaves():
    """A run without it is due at once; if it is refused, it isn't tried again."""
    federation = Federation("a", "b", "c", "d").started()
    federation.complete()
    federation.silence("d")
    del federation.presences["d"]
    federation.wait(3)
    plan = federation.decide(departed="d")
    assert (plan.epoch, plan.run, federation.members()) == (2, 2, "abc")
    assert federation.last.reason == "d left"
    federation.refuse("a", "b", "c", reason="d alone")
    federation.wait(1000)
    assert federation.decide() is None
    federation.join("b", session=b"2")
    federation.wait(3)
    assert (federation.decide().run, federation.members()) == (3, "abc")


def test_members_leave_a_federation_that_began_with_more():
    """It isn't kept waiting for nodes that there are no more; for those that are dead it is."""
    rules = replace(RULES, minimum_nodes=5)
    federation = Federation("a", "b", "c", "d", "e", rules=rules).started()
    federation.complete()
    federation.silence("e")
    federation.wait(16)
    assert federation.decide(departed="x") is None
    assert federation.last.waiting.startswith("4 of 5 nodes have registered; waiting for e")
    del federation.presences["e"]
    assert federation.decide(departed="e").run == 2
    assert federation.members() == "abcd"


def test_a_replaced_member():
    """A node that enrolled anew is not the member that the plan means."""
    federation = Federation("a", "b", "c", "d").started()
    federation.fingerprints["d"] = b"another"
    federation.join("d", session=b"2")
    assert federation.decide()
    assert federation.members() == "abc"
    federation.complete()
    federation.wait(3)
    plan = federation.decide()
    assert (plan.run, plan.by_node["d"].fingerprint) == (2, b"another")


def test_a_moved_member():
    """A member with another address gets a plan that says so, in the same run."""
    federation = Federation("a", "b", "c").started()
    federation.say("b", address="elsewhere:7710")
    plan = federation.decide()
    assert (plan.epoch, plan.run, plan.by_node["b"].address) == (2, 1, "elsewhere:7710")
    assert federation.decide() is None


def test_nobody_accepts_connections():
    """Without any node that can be dialled there is no plan, and the reason says what to do."""
    federation = Federation()
    for node in "abc":
        federation.join(node, address="")
    federation.wait(5)
    assert federation.decide() is None
    assert "no node can be dialled" in federation.last.waiting
    assert "`advertise`" in federation.last.waiting


def test_another_spec():
    """A plan for another spec is void: a new run begins with whoever holds the new one."""
    federation = Federation("a", "b", "c").started()
    federation.rules = replace(RULES, spec_hash=b"t" * 32)
    federation.wait(3)
    plan = federation.decide()
    assert (plan.epoch, plan.run, plan.spec_hash) == (2, 2, b"t" * 32)


def test_a_registry_from_a_backup():
    """Nodes that are ahead of the registry are overtaken, so that they listen again."""
    federation = Federation("a", "b", "c").started()
    for node in "abc":
        federation.say(node, epoch=7, run=3)
    federation.wait(3)
    plan = federation.decide()
    assert (plan.epoch, plan.run) == (8, 4)
    assert federation.decide() is None


def test_ten_thousand_nodes():
    """A large federation is planned, loses a node, and little of its tree changes."""
    federation = Federation(*(f"device-{i}" for i in range(10_000)))
    federation.started()
    before = federation.plan
    federation.silence("device-17")
    federation.wait(16)
    after = federation.decide()
    moved = [m.node for m in after.members if m.parent != before.by_node[m.node].parent]
    orphans = [m.node for m in before.members if m.parent == "device-17"]
    assert set(moved) <= set(orphans)
    assert len(after.members) == 9_999

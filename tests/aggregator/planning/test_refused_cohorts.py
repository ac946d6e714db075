"""Nodes that refuse, and cohorts that are refused: what is planned then."""

from edge_node.federation.report import Phase
from tests.aggregator.planning.federation import Federation


def test_a_refusal():
    """A node that refuses is left out until its process is another one."""
    federation = Federation("a", "b", "c", "d").started()
    federation.say("d", phase=Phase.REFUSED, reason="no rows")
    assert federation.decide()
    assert federation.members() == "abc"
    federation.complete()
    federation.say("d", phase=Phase.IDLE)
    federation.wait(100)
    assert federation.decide() is None
    federation.join("d", session=b"2")
    federation.wait(3)
    assert (federation.decide().run, federation.members()) == (2, "abcd")


def test_a_refusal_is_explained():
    """What is waited for says why a node refuses."""
    federation = Federation("a", "b", "c")
    federation.say("c", phase=Phase.REFUSED, reason="no rows")
    federation.decide()
    assert federation.last.waiting == (
        "2 of 3 nodes have registered; waiting for c, which refuses: no rows"
    )


def newcomer_planned() -> Federation:
    """A run of abcd is complete; e comes, and a cohort with it is planned."""
    federation = Federation("a", "b", "c", "d").started()
    federation.complete()
    federation.join("e")
    federation.wait(3)
    assert (federation.decide().run, federation.members()) == (2, "abcde")
    return federation


def newcomer_refused() -> Federation:
    """The same, and the others refuse it."""
    federation = newcomer_planned()
    federation.refuse("a", "b", "c", "d")
    assert federation.decide() is None
    return federation


def test_a_refused_cohort_is_not_tried_again():
    """What it waits for says why; what was complete stands, whoever of the others comes or goes."""
    federation = newcomer_refused()
    federation.wait(1000)
    assert federation.decide() is None
    assert federation.last.waiting == "a, b, c, d refuse the cohort a, b, c, d, e: e alone"
    federation.silence("e")
    federation.wait(1000)
    assert federation.decide() is None, "abcd have a posterior of theirs"
    federation.join("e", session=b"1")
    federation.wait(1000)
    assert federation.decide() is None, "the same processes"


def test_nodes_refuse_one_after_the_other():
    """The first to refuse is not left out of a new cohort before the others have answered."""
    federation = newcomer_planned()
    federation.wait(10)  # the members check the cohort
    for node in "abcd":
        federation.refuse(node)
        assert federation.decide() is None
        federation.wait(2.9)
        assert federation.decide() is None
    federation.wait(1000)
    assert federation.decide() is None
    assert federation.members() == "abcde"


def test_only_one_refuses():
    """The others' silence is their answer: once it is quiet, they go on without it."""
    federation = newcomer_planned()
    federation.wait(10)
    federation.refuse("a")
    federation.wait(2.9)
    assert federation.decide() is None
    assert federation.last.waiting == "a refuses the cohort a, b, c, d, e: e alone"
    federation.wait(0.1)
    assert (federation.decide().run, federation.members()) == (3, "bcde")


def test_another_cohort_is_tried():
    """When enough others have come, or a node was started anew: it may consent now."""
    federation = newcomer_refused()
    federation.join("f")
    federation.join("g")
    assert federation.decide() is None, "it isn't quiet yet"
    federation.wait(3)
    plan = federation.decide()
    assert (plan.epoch, plan.run, federation.members()) == (3, 3, "abcdefg")
    federation.complete()
    assert federation.decide() is None
    assert federation.last.waiting == "", "the refusal before is history: everyone is in"
    federation = newcomer_refused()
    federation.join("e", session=b"2")
    federation.wait(3)
    assert (federation.decide().run, federation.members()) == (3, "abcde")
    federation.complete()
    assert federation.decide() is None
    assert federation.last.waiting == ""


def test_a_node_that_was_started_anew_refuses():
    """Its rows have changed in the middle of the run: a new run begins, with everyone."""
    federation = Federation("a", "b", "c", "d").started()
    federation.join("b", session=b"2")
    federation.say("b", epoch=1, run=1, phase=Phase.RUNNING)
    assert federation.decide() is None
    federation.refuse("b", reason="rows have changed")
    federation.wait(3)
    assert (federation.decide().run, federation.members()) == (2, "abcd")
    federation.refuse("b")
    federation.wait(3)
    assert (federation.decide().run, federation.members()) == (3, "acd"), "and now it is known"


def test_the_others_go_on_without_one_that_refuses():
    """It is taken back when the cohort is another, without a restart."""
    federation = Federation("a", "b", "c", "d").started()
    federation.refuse("a", reason="d is no peer")
    federation.wait(3)
    assert (federation.decide().run, federation.members()) == (2, "bcd")
    federation.complete()
    federation.wait(100)
    assert federation.decide() is None
    assert federation.last.waiting == "a refuses the cohort a, b, c, d: d is no peer"
    federation.silence("d")
    federation.join("e")
    federation.wait(16)
    assert (federation.decide().run, federation.members()) == (3, "abce")


def test_a_refusal_in_the_middle_of_a_run():
    """Survivors that refuse to go on wait for whoever is lost."""
    federation = Federation("a", "b", "c", "d", "e").started()
    federation.silence("d")
    federation.silence("e")
    federation.wait(16)
    assert federation.decide()
    assert federation.members() == "abc"
    federation.refuse("a", "b", "c", reason="d and e only")
    federation.wait(1000)
    assert federation.decide() is None
    assert federation.last.waiting.startswith("a, b, c refuse the cohort a, b, c: d and e only")
    federation.join("d", session=b"2")
    federation.join("e", session=b"2")
    federation.wait(3)
    assert (federation.decide().run, federation.members()) == (2, "abcde")


def test_a_restarted_aggregator_hears_of_refusals():
    """Nodes say what they refuse."""
    federation = newcomer_refused()
    federation.restart_aggregator()
    for node in "abcde":
        federation.say(node)
    federation.wait(1000)
    assert federation.decide() is None
    assert federation.last.waiting.startswith("a, b, c, d refuse")

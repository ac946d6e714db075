"""When the demonstration takes a refusal as final."""

import pytest

from edge_node.demo.refusals import Refusals
from edge_node.errors import RefusedError
from edge_node.serving.status import NodeStatus

NODES = ("a", "b", "c")
WHY = "class 'rare': too few rows"


def status(node: str, phase: str, reason: str = "") -> NodeStatus:
    """What a node says."""
    return NodeStatus(
        node=node, federation="f", phase=phase, epoch=1, run=1, step="", waiting_for=(),
        waiting_seconds=0.0, discovery_reachable=True, cohort=(), posterior_time=None,
        certificate_expires=None, reason=reason, bytes_sent=0, bytes_received=0, steps_completed=0,
    )  # fmt: skip


def said(**phases: str) -> dict[str, NodeStatus]:
    """The statuses of some nodes."""
    return {node: status(node, phase, WHY * (phase == "refused")) for node, phase in phases.items()}


def test_all_refuse() -> None:
    """Nothing is going to happen: it ends within a second, with what the nodes say."""
    refusals = Refusals(NODES)
    everybody = said(a="refused", b="refused", c="refused")
    refusals.check(everybody, 0.0)
    with pytest.raises(RefusedError) as caught:
        refusals.check(everybody, 1.0)
    assert caught.value.where == "a, b, c"
    assert str(caught.value).count(WHY) == 1
    assert caught.value.exit_code == 7


def test_some_refuse() -> None:
    """They may accept the next cohort; if the refusal lasts, the error names those who refuse."""
    refusals = Refusals(NODES)
    some = said(a="refused", b="running", c="running")
    for second in range(19):
        refusals.check(some, float(second))
    with pytest.raises(RefusedError, match=r"^a: refused: class 'rare'"):
        refusals.check(some, 21.0)


def test_a_refusal_that_passes() -> None:
    """If the node refuses again later, its time starts anew."""
    refusals = Refusals(NODES)
    for second in range(60):
        a = "running" if second % 15 == 0 else "refused"
        refusals.check(said(a=a, b="complete", c="complete"), float(second))


def test_a_node_that_does_not_answer() -> None:
    """Two that refuse are not all of three."""
    refusals = Refusals(NODES)
    two = said(a="refused", b="refused")
    refusals.check(two, 0.0)
    refusals.check(two, 5.0)
    with pytest.raises(RefusedError):
        refusals.check(two, 25.0)

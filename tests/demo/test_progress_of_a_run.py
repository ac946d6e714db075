"""What the demonstration says of a federation at work."""

from dataclasses import replace

from edge_node.demo.experiment import _how_far
from edge_node.serving.status import NodeStatus

IDLE = NodeStatus(
    node="a", federation="f", phase="running", epoch=1, run=1, step="", waiting_for=(),
    waiting_seconds=0.0, discovery_reachable=True, cohort=(), posterior_time=None,
    certificate_expires=None, reason="", bytes_sent=0, bytes_received=0, steps_completed=0,
)  # fmt: skip


def test_steps_of_how_many_and_the_time_left() -> None:
    """Of the node that is farthest; none is at work, as long as nodes are missing."""
    absent = replace(IDLE, phase="idle")
    assert _how_far([absent], 1.0) == ("Federating: waiting for all nodes", 0.3)
    early = replace(IDLE, step="means", steps_completed=2)
    assert _how_far([absent, IDLE, early], 1.0)[0] == "Federating: means (2 steps done)"
    between = replace(IDLE, steps_completed=3)
    assert _how_far([early, between], 1.0)[0] == "Federating: computing (3 steps done)"
    later = replace(IDLE, step="posterior", steps_completed=9, steps_planned=12)
    assert _how_far([later], 3.0) == (
        "Federating: posterior (9 of at most 12 steps, about 1 s left)",
        0.3 + 0.45 * 0.75,
    )


def test_the_share_grows_with_the_steps() -> None:
    """And is never complete before the run is."""
    shares = [
        _how_far([replace(IDLE, step="s", steps_completed=done, steps_planned=planned)], 1.0)[1]
        for done, planned in [(1, 0), (3, 12), (9, 12), (12, 12), (13, 12)]
    ]
    assert max(shares) < 0.76
    assert shares[1] < shares[2] < shares[3]
    status = replace(IDLE, steps_planned=12)
    assert NodeStatus.from_message(status.to_message()) == status

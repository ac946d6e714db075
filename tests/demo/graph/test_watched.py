"""What the phases come to: the sentences that the command prints, as facts."""

import re

import numpy as np
import pytest

from edge_node.demo.graph import watched
from edge_node.demo.graph.phase import Phase
from edge_node.demo.graph.rows import Handful
from edge_node.demo.graph.telling import ending
from edge_node.inference.messages.guarantees.certificate import Verdict, certify
from edge_node.inference.messages.propagation.solution import Variances


def test_a_tree_is_exact_after_one_sweep(rows: Handful, seen: dict[str, Phase]) -> None:
    """Means and variances, to rounding; before it neither is. A message each way along an edge."""
    before, after = seen["tree"].frames
    assert (before.step, before.messages) == (0, 0)
    assert (after.step, after.messages) == (2, 2 * len(seen["tree"].joined.edges))
    assert max(after.mean_error, after.deviation_error) < 1e-12 * rows.deviation
    assert min(before.mean_error, before.deviation_error) > 0.1 * rows.deviation
    assert seen["tree"].variances is Variances.EXACT


def test_precisions_add_up(seen: dict[str, Phase]) -> None:
    """In the example that is told: a row's target and one message make its belief."""
    said, told, believed = (
        [float(number) for number in re.findall(r"[\d.]+(?=, give)|(?<=take )\d+\.?\d*", line)]
        for line in seen["tree"].lines[-3:]
    )
    precision = said[1] ** -2 + told[1] ** -2
    assert believed[1] == pytest.approx(precision**-0.5, rel=5e-3)
    mean = (said[0] * said[1] ** -2 + told[0] * told[1] ** -2) / precision
    assert believed[0] == pytest.approx(mean, rel=5e-3)


def test_on_loops_means_arrive_and_variances_do_not(rows: Handful, seen: dict[str, Phase]) -> None:
    """They stay off, and are labelled approximate."""
    loops = seen["loops"]
    assert loops.frames[-1].arrived
    assert not loops.frames[-2].arrived
    assert loops.frames[-1].deviation_error > 0.01 * rows.deviation
    assert abs(loops.deviation_off) > 0.01
    assert loops.variances is Variances.APPROXIMATE
    assert certify(loops.joined.graph).verdict is Verdict.CONVERGES


def test_with_lost_messages_it_takes_longer_and_arrives(seen: dict[str, Phase]) -> None:
    """At the same beliefs."""
    loops, lost = seen["loops"].frames, seen["lost"].frames
    assert lost[-1].arrived
    assert len(lost) > len(loops)
    assert lost[1].messages == loops[1].messages  # as many are sent in a step
    assert lost[-1].mean == pytest.approx(loops[-1].mean)
    assert lost[-1].deviation == pytest.approx(loops[-1].deviation)


def test_where_every_pair_is_joined_nothing_is_promised_and_messages_diverge(
    seen: dict[str, Phase],
) -> None:
    """The certificate knows before, and the engine refuses."""
    pairs = seen["pairs"]
    assert certify(pairs.joined.graph).verdict is Verdict.UNKNOWN
    assert pairs.variances is None
    assert "diverge" in pairs.refusal
    assert pairs.frames[-1].mean_error > pairs.frames[0].mean_error


def test_the_double_loop_arrives_there(rows: Handful, seen: dict[str, Phase]) -> None:
    """On the very same graph; its variances are labelled approximate, and are off."""
    loop = seen["double-loop"]
    assert loop.joined.graph is seen["pairs"].joined.graph
    assert loop.frames[-1].arrived
    assert loop.variances is Variances.APPROXIMATE
    assert loop.frames[-1].deviation_error > 0.01 * rows.deviation


def test_a_double_loop_that_does_not_arrive_is_told(
    rows: Handful, seen: dict[str, Phase], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it came to is shown, and no answer is claimed; here too much is asked of float64."""
    assert ending(seen["double-loop"]).startswith("Means: exact")
    monkeypatch.setattr(watched, "_TOLERANCES", (0.1, 1e-30))
    *_, phase = watched.phases(rows)
    assert [frame.arrived for frame in phase.frames] == [False, False]
    assert phase.variances is None
    assert ending(phase).startswith("No answer: the double loop has not converged")


def test_steps_are_told_in_order(seen: dict[str, Phase]) -> None:
    """With ever more messages."""
    for phase in seen.values():
        steps, messages = (
            [getattr(frame, name) for frame in phase.frames] for name in ("step", "messages")
        )
        assert (np.diff(steps) > 0).all()
        assert (np.diff(messages) > 0).all()

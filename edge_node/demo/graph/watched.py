"""The phases: the same rows, joined ever more closely, and what their messages come to."""

from collections.abc import Iterator

import numpy as np

from edge_node.demo.graph import lessons
from edge_node.demo.graph.joined import Joined, joined, joined_in_pairs
from edge_node.demo.graph.phase import Frame, Phase, exact_frame, frame
from edge_node.demo.graph.rows import Handful
from edge_node.inference.messages.gaussian import Gaussian
from edge_node.inference.messages.guarantees.certificate import certify
from edge_node.inference.messages.guarantees.double_loop import double_loop
from edge_node.inference.messages.propagation.asynchronous import Asynchronous, Posted
from edge_node.inference.messages.propagation.graph import FactorGraph
from edge_node.inference.messages.propagation.messages import Inbox
from edge_node.inference.messages.propagation.schedules import S, Schedule, State, Synchronous
from edge_node.inference.messages.propagation.solution import PropagationError, Variances
from edge_node.inference.messages.propagation.solve import marginals, solve
from edge_node.inference.messages.propagation.two_pass import two_pass

__all__ = ["phases", "watched"]

_LOST, _SEED = 0.2, 0
_MOST_STEPS = 1000
_GIVEN_UP = 30  # steps that are watched of a run that does not arrive
_TOLERANCES = tuple(10.0**-power for power in range(1, 11))  # the double loop's, one by one


def phases(rows: Handful) -> Iterator[Phase]:
    """One after the other, each computed when it is asked for."""
    tree, loops, pairs = joined(rows, 1), joined(rows, 2), joined_in_pairs(rows)
    yield _tree(rows, tree)
    yield watched(
        rows, loops, Synchronous(), name="loops", title="Loops", lines=lessons.LOOPS,
        certificate=certify(loops.graph).summary(),
    )  # fmt: skip
    yield watched(
        rows, loops, Asynchronous(seed=_SEED, delivered=1.0, lost=_LOST),
        name="lost", title=f"Loops, {100 * _LOST:g} % of messages lost", lines=lessons.LOST,
    )  # fmt: skip
    yield watched(
        rows, pairs, Synchronous(), name="pairs", title="Every pair joined", lines=lessons.PAIRS,
        certificate=certify(pairs.graph).summary(),
    )  # fmt: skip
    yield _double_loop(rows, pairs)


def watched(
    rows: Handful,
    joined: Joined,
    schedule: Schedule[S],
    *,
    name: str,
    title: str,
    lines: tuple[str, ...],
    certificate: str = "",
) -> Phase:
    """A run of a schedule: before it, and step by step until the means are exact to rounding."""
    variances, refusal = _answer(joined.graph, schedule)
    frames = _frames(rows, joined, schedule)
    return Phase(
        name,
        title,
        lines,
        joined,
        exact=exact_frame(rows, joined),
        frames=tuple(frames[: _GIVEN_UP + 1] if refusal else frames),
        variances=variances,
        certificate=certificate,
        refusal=refusal,
    )


def _answer(graph: FactorGraph, schedule: Schedule[S]) -> tuple[Variances | None, str]:
    """How far the engine's variances can be relied on; or why it refuses to give an answer."""
    try:
        return solve(graph, schedule, most_steps=_MOST_STEPS).variances, ""
    except PropagationError as error:
        return None, _in_short(error)


def _in_short(error: PropagationError) -> str:
    return f"{error.problem} ({error.found})"


def _frames(rows: Handful, joined: Joined, schedule: Schedule[S]) -> list[Frame]:
    state = schedule.start(joined.graph)
    frames = [_frame(rows, joined, state)]
    while state.steps < _MOST_STEPS and not frames[-1].arrived:
        try:
            state = schedule.step(joined.graph, state)
        except PropagationError:  # the answer is refused for this, too
            break
        frames.append(_frame(rows, joined, state))
    return frames


def _frame(rows: Handful, joined: Joined, state: State) -> Frame:
    mean, covariance, _ = marginals(joined.graph, state.inbox)
    sent = state.sent // 2 if isinstance(state, Posted) else state.sent  # it counts both ways
    return frame(rows, joined, mean[:, 0, 0], covariance[:, 0, 0], step=state.steps, messages=sent)


def _tree(rows: Handful, tree: Joined) -> Phase:
    """Two passes, and what they say to one row."""
    before, after = State(tree.graph.silence()), two_pass(tree.graph)
    return Phase(
        "tree",
        "A tree",
        (*lessons.TREE, *_example(rows, tree, after.inbox)),
        tree,
        exact=exact_frame(rows, tree),
        frames=(_frame(rows, tree, before), _frame(rows, tree, after)),
        variances=solve(tree.graph).variances,
        certificate=certify(tree.graph).summary(),
    )


def _example(rows: Handful, tree: Joined, inbox: Inbox) -> Iterator[str]:
    """What the last row says, hears and believes: it is a leaf, and hears one message."""
    _, parent = tree.edges[-1]
    heard, own = inbox[0].gaussian(-1, 0), tree.graph.own.gaussian(-1)
    yield f"For example, row {rows.size} says its target: {_in_words(rows, own)}."
    yield f"Row {parent + 1} tells it: {_in_words(rows, heard)}."
    yield f"Row {rows.size} believes: {_in_words(rows, own * heard)}."


def _in_words(rows: Handful, belief: Gaussian) -> str:
    mean = rows.mean + rows.deviation * float(belief.shift[0, 0] / belief.precision[0, 0])
    deviation = rows.deviation / float(np.sqrt(belief.precision[0, 0]))
    return f"{mean:.3g}, give or take {deviation:.3g}"


def _double_loop(rows: Handful, pairs: Joined) -> Phase:
    """Outer step by outer step: the loop is asked for ever smaller residuals."""
    frames, variances, refusal = {0: _frame(rows, pairs, State(pairs.graph.silence()))}, None, ""
    try:
        for tolerance in _TOLERANCES:
            found = double_loop(pairs.graph, tolerance=tolerance)
            mean, variance = found.mean[:, 0, 0], found.covariance[:, 0, 0]
            frames[found.steps] = frame(
                rows, pairs, mean, variance, step=found.steps, messages=found.messages
            )
            variances = found.variances
    except PropagationError as error:
        variances, refusal = None, _in_short(error)
    return Phase(
        "double-loop",
        "Every pair joined: the double loop",
        lessons.DOUBLE_LOOP,
        pairs,
        exact=exact_frame(rows, pairs),
        frames=tuple(frames.values()),
        variances=variances,
        refusal=refusal,
    )

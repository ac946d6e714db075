"""A run of belief propagation with an end: a solution whose residual is known, or an error by name.

Whatever the schedule, a run has converged when the mean's residual, recomputed from the graph, and
what one more exchange of all messages would change of the precisions are both below the tolerance.
"""

from dataclasses import replace
from typing import Any

import numpy as np

from edge_node.arrays import Matrix
from edge_node.inference.messages.propagation.graph import FactorGraph
from edge_node.inference.messages.propagation.messages import Inbox, Messages
from edge_node.inference.messages.propagation.probe import columns, probed
from edge_node.inference.messages.propagation.schedules import (
    Schedule,
    State,
    Synchronous,
    responses,
)
from edge_node.inference.messages.propagation.solution import (
    Cause,
    Mask,
    Method,
    PropagationError,
    Solution,
    Variances,
)
from edge_node.inference.messages.propagation.stacks import proper_inverse, times
from edge_node.inference.messages.propagation.two_pass import two_pass

__all__ = ["marginals", "solution", "solve"]

_EVERY = 8  # steps between two looks at the residual, which cost about two steps
_LESS, _SMALL, _PATIENCE = 0.9, 1e-6, 100
"""A residual below 1e-6 that hasn't lost a tenth while each message was sent a hundred times is
as small as rounding lets it be. (One that falls so slowly would need ten thousand times more.)"""
_GROWTH = 1e8  # of the residual over its least: beyond, a run has diverged
_ROUNDING = 1e-10  # what rounding may leave of two passes, which no further step makes smaller


def solve(
    graph: FactorGraph,
    schedule: Schedule[Any] | None = None,
    *,
    tolerance: float = 1e-10,
    most_steps: int = 2000,
) -> Solution:
    """The marginals of a graph.

    Args:
        graph: variables and factors.
        schedule: who sends when; None: two passes on a forest, else synchronous.
        tolerance: of the mean's residual |A x - h| / |h|, and of the precisions.
        most_steps: how many steps the schedule may take.

    Raises:
        PropagationError: there is no answer; its `cause` says why.
    """
    if schedule is None and graph.is_forest:
        return _two_passes(graph, tolerance)
    return _run(graph, schedule or Synchronous(), tolerance, most_steps)


def _two_passes(graph: FactorGraph, tolerance: float) -> Solution:
    """The marginals of a forest, and a probe of their precisions.

    Where a pivot is nearly singular, rounding spoils precisions; a shift of zeros wouldn't show it.
    So a random column is solved along (`probe`), and must have a small residual, too.
    """
    both = probed(graph)
    state = two_pass(both)
    for some in (slice(-1, None), slice(0, -1)):
        asked = columns(both, some)
        inbox = tuple(Messages(each.precision, each.shift[..., some]) for each in state.inbox)
        allowed = max(tolerance, _rounding(asked, inbox))
        found = solution(asked, replace(state, inbox=inbox), tolerance=allowed)
    return replace(found, method=Method.TWO_PASSES)


def _run(
    graph: FactorGraph, schedule: Schedule[Any], tolerance: float, most_steps: int
) -> Solution:
    state, least, since = schedule.start(graph), np.inf, 0
    while state.steps < most_steps:
        with np.errstate(over="ignore", invalid="ignore"):
            state = schedule.step(graph, state)
        if state.steps % _EVERY and state.steps & (state.steps - 1):
            continue
        residual = graph.residual(marginals(graph, state.inbox)[0])
        if residual < _LESS * least:
            least, since = residual, state.sent
        if not all(messages.finite for messages in state.inbox) or residual > _GROWTH * least:
            raise _diverged(residual, state.steps)
        settled = tolerance < least < _SMALL and state.sent - since > _PATIENCE * graph.slots
        if settled or (
            residual <= tolerance and _precisions_differ(graph, state.inbox) <= tolerance
        ):
            break
    return solution(graph, state, tolerance=tolerance)


def solution(graph: FactorGraph, state: State, *, tolerance: float) -> Solution:
    """What a state says, if it is an answer.

    Raises:
        PropagationError: SINGULAR, IMPROPER, DIVERGED (not finite) or NOT_CONVERGED.
    """
    mean, covariance, proper = marginals(graph, state.inbox)
    residual = graph.residual(mean)
    if not np.isfinite(residual):
        raise _diverged(residual, state.steps)
    if not proper.all():
        raise PropagationError(
            Cause.SINGULAR,
            "variables are not determined",
            found=f"{np.count_nonzero(~proper)} of {len(proper)} beliefs have no variance",
            remedy="Give each variable a precision of its own",
        )
    if residual > tolerance or not _precisions_differ(graph, state.inbox) <= tolerance:
        raise PropagationError(
            Cause.NOT_CONVERGED,
            "the messages have not converged",
            expected=f"a residual of {tolerance:.1e} or less, and precisions that stay",
            found=f"a residual of {residual:.1e} after {state.steps} steps",
            remedy="Allow more steps, add damping, or use the double loop",
        )
    if not graph.is_forest and (np.einsum("nii->ni", covariance) <= 0).any():
        raise PropagationError(
            Cause.IMPROPER,
            "a variance is not positive",
            remedy="The system may not be positive definite: solve it directly",
        )
    variances = Variances.EXACT if graph.is_forest else Variances.APPROXIMATE
    return Solution(mean, covariance, variances, residual, state.steps, state.sent, Method.MESSAGES)


def marginals(graph: FactorGraph, inbox: Inbox) -> tuple[Matrix, Matrix, Mask]:
    """Each belief's mean (n, d, q) and covariance (n, d, d), and whether it has them (n,).

    Those that are improper have zeros.
    """
    belief = graph.beliefs(inbox)
    with np.errstate(all="ignore"):
        covariance, proper = proper_inverse(belief.precision)
        return times(covariance, belief.shift), covariance, proper


def _rounding(graph: FactorGraph, inbox: Inbox) -> float:
    """The residual up to which two passes are an answer: relative to A x before it cancels (here
    with random signs), not only to h.
    """
    mean = marginals(graph, inbox)[0]
    signs = np.random.default_rng(0).choice([-1.0, 1.0], (*mean.shape[:2], 1))
    terms, shift = (
        np.abs(a).max(initial=0.0) for a in (graph.apply(signs * mean), graph.total_shift)
    )
    return _ROUNDING * max(1.0, float(terms / (shift or 1.0)))


def _precisions_differ(graph: FactorGraph, inbox: Inbox) -> float:
    """What one more exchange would change of a message's precision, relative to the largest."""
    with np.errstate(over="ignore", invalid="ignore"):
        new = responses(graph, inbox)
        pairs = [(a.precision, b.precision) for a, b in zip(inbox, new, strict=True)]
        scale = max((np.abs(a).max(initial=0.0) for a, _ in pairs), default=0.0)
        change = max((np.abs(a - b).max(initial=0.0) for a, b in pairs), default=0.0)
    return float(change / scale) if scale > 0 else float(change)


def _diverged(residual: float, steps: int) -> PropagationError:
    return PropagationError(
        Cause.DIVERGED,
        "the messages diverge",
        found=f"a residual of {residual:.1e} after {steps} steps",
        remedy="Add damping, or use the double loop",
    )

"""Who sends when: schedules of messages on a graph with loops.

A schedule's step takes a state and gives the next one. What is sent replaces what was there: a
message is a whole, not an increment, so sending it twice or late does no harm. All schedules have
the same fixed points; they differ in whether, and after how many messages, they come to one.

    Synchronous      everybody sends at once, damped if asked for
    ResidualFirst    the share of messages that would change most (Elidan, McGraw & Koller 2006)

`asynchronous.Asynchronous` is the schedule of devices whose messages get lost, `two_pass` that of
forests.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np

from edge_node.arrays import Vector
from edge_node.errors import ConfigurationError
from edge_node.inference.messages.propagation.graph import FactorGraph
from edge_node.inference.messages.propagation.messages import Factors, Inbox, Messages, respond

__all__ = [
    "ResidualFirst",
    "S",
    "Schedule",
    "State",
    "Synchronous",
    "cavities",
    "check_share",
    "responses",
]

_TOGETHER = 2**16  # numbers of a part of a family: its temporaries stay in the processor's cache


@dataclass(frozen=True)
class State:
    """Where a run is.

    Attributes:
        inbox: the factors' messages as the variables have them.
        steps: how many steps were taken.
        sent: how many messages were sent.
    """

    inbox: Inbox
    steps: int = 0
    sent: int = 0


S = TypeVar("S", bound=State)
"""A schedule's states."""


class Schedule(Protocol[S]):
    """A way of sending messages; a pure function of graph and state."""

    def start(self, graph: FactorGraph) -> S:
        """Before anything is sent."""

    def step(self, graph: FactorGraph, state: S) -> S:
        """After one more step."""


@dataclass(frozen=True)
class Synchronous:
    """Every factor answers everybody at once.

    Attributes:
        damping: the share of the old message that stays, in [0, 1). Some damping turns
            oscillations into convergence; the fixed points are the same.
    """

    damping: float = 0.0

    def __post_init__(self) -> None:
        check_share("damping", self.damping, below=True)

    def start(self, graph: FactorGraph) -> State:
        """Silence."""
        return State(graph.silence())

    def step(self, graph: FactorGraph, state: State) -> State:
        """Raises PropagationError: something to be inverted is singular."""
        inbox = responses(graph, state.inbox)
        if self.damping:
            pairs = zip(state.inbox, inbox, strict=True)
            inbox = tuple(_between(old, new, self.damping) for old, new in pairs)
        return State(inbox, state.steps + 1, state.sent + graph.slots)


@dataclass(frozen=True)
class ResidualFirst:
    """Only the messages that would change most are sent.

    A change is measured against the largest precision and the largest shift of the family. (All
    messages are computed at each step: what is saved is sending them.)

    Attributes:
        share: which share of the slots is sent in a step, in (0, 1].
    """

    share: float = 0.25

    def __post_init__(self) -> None:
        check_share("share", self.share, above=True)

    def start(self, graph: FactorGraph) -> State:
        """Silence."""
        return State(graph.silence())

    def step(self, graph: FactorGraph, state: State) -> State:
        """Raises PropagationError: something to be inverted is singular."""
        new = responses(graph, state.inbox)
        changes = [_change(*pair) for pair in zip(state.inbox, new, strict=True)]
        if not graph.slots:
            return State(new, state.steps + 1, state.sent)
        least = _quantile(np.concatenate([each.ravel() for each in changes]), self.share)
        chosen = [(each >= least) & (each > 0) for each in changes]
        inbox = tuple(map(Messages.replaced, state.inbox, new, chosen))
        sent = sum(int(np.count_nonzero(each)) for each in chosen)
        return State(inbox, state.steps + 1, state.sent + sent)


def responses(graph: FactorGraph, inbox: Inbox) -> Inbox:
    """What all factors answer when all variables have sent their cavities."""
    beliefs = graph.beliefs(inbox)
    answers = []
    for family, messages in zip(graph.families, inbox, strict=True):
        answer = Messages(np.empty_like(messages.precision), np.empty_like(messages.shift))
        for part in messages.parts(_TOGETHER):
            incoming = beliefs[family.scope[part]] / messages[part]
            out = respond(family.take(part), incoming)
            answer.precision[part], answer.shift[part] = out.precision, out.shift
        answers.append(answer)
    return tuple(answers)


def cavities(graph: FactorGraph, inbox: Inbox) -> Inbox:
    """What all variables send to their factors: the belief without the factor's own share."""
    beliefs = graph.beliefs(inbox)
    pairs: Iterator[tuple[Factors, Messages]] = zip(graph.families, inbox, strict=True)
    return tuple(beliefs[family.scope] / messages for family, messages in pairs)


def check_share(name: str, value: float, *, below: bool = False, above: bool = False) -> None:
    """Raises ConfigurationError unless in [0, 1]; ``below``: less than 1; ``above``: not 0."""
    if not 0 <= value <= 1 or (below and value == 1) or (above and value == 0):
        raise ConfigurationError(
            f"{name} is a share",
            where="schedule",
            expected="between 0 and 1" + " (not 1)" * below + " (not 0)" * above,
            found=str(value),
        )


def _between(old: Messages, new: Messages, damping: float) -> Messages:
    return Messages(
        damping * old.precision + (1 - damping) * new.precision,
        damping * old.shift + (1 - damping) * new.shift,
    )


def _change(old: Messages, new: Messages) -> Vector:
    """How much each message would change, (F, a), against the family's largest."""
    change = np.zeros(old.shift.shape[:2])
    with np.errstate(all="ignore"):
        for before, after in ((old.precision, new.precision), (old.shift, new.shift)):
            scale = np.abs(after).max(initial=0.0)
            change += np.abs(after - before).max(axis=(2, 3), initial=0.0) / (scale or 1.0)
    return np.nan_to_num(change, nan=np.inf)


def _quantile(values: Vector, share: float) -> float:
    """The least of the ``share`` of values that are largest."""
    count = max(round(share * len(values)), 1)
    return float(np.partition(values, len(values) - count)[len(values) - count])

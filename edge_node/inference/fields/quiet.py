"""Devices that speak when they have something to say.

No root, no epoch, no clock that is shared. In a tick, some devices wake. One that is awake has two
kinds of messages: what its own regression says to each of its neighbours, and to each device whose
regression it is in, what it knows without that one's word (the cavity). It sends those that would
move what the receiver believes by more than a tolerance, against what the receiver has. Some are
lost; a device learns by acknowledgements what has come, so it will say it again. A message is a
whole that replaces the one before, and it is about one edge, so it does no harm twice or late
(`propagation.asynchronous` delays and repeats messages as well).

At first everybody takes others for what the prior says of any device. Silence instead would make
the first beliefs nearly flat, and means that are far out for tens of ticks.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_node.errors import ConfigurationError
from edge_node.inference.fields.fleet import Fleet
from edge_node.inference.messages.propagation.graph import FactorGraph
from edge_node.inference.messages.propagation.messages import Messages, respond
from edge_node.inference.messages.propagation.schedules import State
from edge_node.inference.numerics.distances import Indices

__all__ = ["Quiet", "Talk", "opening"]

_TOGETHER = 2**17  # numbers of a part: its temporaries stay in the processor's cache


@dataclass(frozen=True, kw_only=True)
class Talk(State):
    """What devices have heard so far.

    Attributes:
        heard: the cavities as the regressions' owners have them, (n, k + 1).
        spoken: how many messages each device has sent (n,).
        news: how many messages the last tick found worth sending, with all devices awake.
    """

    heard: Messages
    spoken: Indices
    news: int = -1

    @property
    def said(self) -> Messages:
        """What the regressions' owners have said, as it has come, (n, k + 1)."""
        return self.inbox[0]


def opening(fleet: Fleet, graph: FactorGraph) -> Talk:
    """Before anything is sent: each device takes its neighbours for what the prior says."""
    precision = np.ones((*fleet.scope.shape, 1, 1))
    precision /= fleet.field.variances(fleet.devices.places)[fleet.scope][..., None, None]
    shift = np.zeros((*fleet.scope.shape, 1, graph.shift.shape[-1]))
    heard = Messages(precision, shift)
    said = respond(graph.families[0], heard)
    return Talk(inbox=(said,), heard=heard, spoken=np.zeros(fleet.size, dtype=np.intp))


@dataclass(frozen=True)
class Quiet:
    """Messages are sent by those that are awake, if they are news.

    Attributes:
        seed: of the chances.
        tolerance: how much a message must change to be sent, in the receiver's deviations: of the
            mean, and as a share of the precision.
        awake: the chance that a device is awake in a tick, in (0, 1].
        lost: the chance that a message is lost, in [0, 1).

    Raises:
        ConfigurationError: a value outside its range.
    """

    seed: int
    tolerance: float = 1e-3
    awake: float = 0.5
    lost: float = 0.0

    def __post_init__(self) -> None:
        if not (self.tolerance >= 0 and 0 < self.awake <= 1 and 0 <= self.lost < 1):
            raise ConfigurationError(
                "devices can't talk like this",
                expected="tolerance from 0, awake above 0 and up to 1, lost from 0 and below 1",
                found=f"{self.tolerance}, {self.awake} and {self.lost}",
            )

    def step(self, graph: FactorGraph, state: Talk) -> Talk:
        """The next tick, of a graph that `fleet.graph_of` made."""
        rng, shape = np.random.default_rng([self.seed, state.steps]), state.heard.shift.shape[:2]
        awake = rng.random(graph.size) < self.awake
        arrives = rng.random((2, *shape)) >= self.lost
        tick = _Tick(graph, state, graph.beliefs(state.inbox), awake, arrives, self.tolerance)
        rows = [tick.owners(part) for part in state.heard.parts(_TOGETHER)]
        heard, said = (_Told.joined([pair[way] for pair in rows]) for way in (0, 1))
        spoken = np.count_nonzero(said.sent, axis=1)
        spoken += np.bincount(graph.families[0].scope[heard.sent], minlength=graph.size)
        return Talk(
            inbox=(said.messages,),
            steps=state.steps + 1,
            sent=state.sent + int(spoken.sum()),
            heard=heard.messages,
            spoken=state.spoken + spoken,
            news=heard.news + said.news,
        )


@dataclass(frozen=True)
class _Told:
    """One way's messages after a tick, to or from some owners (m, k + 1).

    Attributes:
        messages: as the receivers have them.
        sent: which were sent over the air.
        news: how many were worth sending.
    """

    messages: Messages
    sent: NDArray[np.bool_]
    news: int

    @classmethod
    def joined(cls, parts: Sequence["_Told"]) -> "_Told":
        """Of all owners."""
        messages = Messages(
            np.concatenate([part.messages.precision for part in parts]),
            np.concatenate([part.messages.shift for part in parts]),
        )
        sent = np.concatenate([part.sent for part in parts])
        return cls(messages, sent, sum(part.news for part in parts))


@dataclass(frozen=True)
class _Tick:
    """What a tick starts from: what devices believe, who is awake, which messages would arrive."""

    graph: FactorGraph
    state: Talk
    beliefs: Messages
    awake: NDArray[np.bool_]
    arrives: NDArray[np.bool_]
    tolerance: float

    def owners(self, part: slice) -> tuple[_Told, _Told]:
        """What some owners of regressions hear, and what they say then."""
        family, old = self.graph.families[0].take(part), self.state.said[part]
        had, beliefs = self.state.heard[part], self.beliefs[family.scope]
        cavities, arrives = beliefs / old, self.arrives[:, part]
        news = self._news(had, cavities, beliefs) & (family.scope >= 0)
        heard = _told(had, cavities, news, self.awake[family.scope], arrives[0])
        answers = respond(family, heard.messages)
        news = self._news(old, answers, beliefs) & (family.scope >= 0)
        return heard, _told(old, answers, news, self.awake[part, None], arrives[1])

    def _news(self, old: Messages, new: Messages, beliefs: Messages) -> NDArray[np.bool_]:
        """Which messages (m, k + 1) would move the receiver's belief by more than the tolerance."""
        scale, more = beliefs.precision, new.precision - old.precision
        pull = scale * (new.shift - old.shift) - more * beliefs.shift  # times scale: of the shift
        moves: NDArray[np.bool_] = (np.abs(more) > self.tolerance * scale)[..., 0, 0]
        moves |= np.abs(pull).max(axis=(2, 3)) > self.tolerance * scale[..., 0, 0] ** 1.5
        return moves


def _told(
    old: Messages,
    new: Messages,
    news: NDArray[np.bool_],
    awake: NDArray[np.bool_],
    arrives: NDArray[np.bool_],
) -> _Told:
    """Slot 0 is the owner's own variable: nothing is sent, and nothing is lost."""
    sent = news & awake
    comes = sent & arrives
    comes[:, 0] = awake[:, 0]
    sent[:, 0] = False
    return _Told(old.replaced(new, comes), sent, int(np.count_nonzero(news)))

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

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_node.errors import ConfigurationError
from edge_node.inference.fields.fleet import Fleet
from edge_node.inference.messages.propagation.graph import FactorGraph, Messages
from edge_node.inference.messages.propagation.schedules import State
from edge_node.inference.numerics.distances import Indices

__all__ = ["Quiet", "Talk", "opening"]


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
    said = graph.families[0].respond(heard)
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
        rng, scope = np.random.default_rng([self.seed, state.steps]), graph.families[0].scope
        awake = rng.random(graph.size) < self.awake
        beliefs = graph.beliefs(state.inbox)[scope]
        asked = beliefs / state.said
        questions = self._news(state.heard, asked, beliefs, scope)
        heard, sent = self._told(rng, state.heard, asked, questions, awake[scope])
        answers = graph.families[0].respond(heard)
        replies = self._news(state.said, answers, beliefs, scope)
        said, told = self._told(rng, state.said, answers, replies, awake[:, None])
        spoken = np.count_nonzero(told, axis=1) + np.bincount(scope[sent], minlength=graph.size)
        return Talk(
            inbox=(said,),
            steps=state.steps + 1,
            sent=state.sent + int(spoken.sum()),
            heard=heard,
            spoken=state.spoken + spoken,
            news=int(np.count_nonzero(questions) + np.count_nonzero(replies)),
        )

    def _news(
        self, old: Messages, new: Messages, beliefs: Messages, scope: Indices
    ) -> NDArray[np.bool_]:
        """Which messages (n, k + 1) would move the receiver's belief by more than the tolerance."""
        precision = np.abs(new.precision - old.precision)[..., 0, 0]
        shift = np.abs(new.shift - old.shift).max(axis=(2, 3))
        scale = beliefs.precision[..., 0, 0]
        moves = (precision > self.tolerance * scale) | (shift > self.tolerance * np.sqrt(scale))
        news: NDArray[np.bool_] = moves & (scope >= 0)
        return news

    def _told(
        self,
        rng: np.random.Generator,
        old: Messages,
        new: Messages,
        news: NDArray[np.bool_],
        awake: NDArray[np.bool_],
    ) -> tuple[Messages, NDArray[np.bool_]]:
        """What has come after a tick, and which messages were sent over the air.

        Slot 0 is the owner's own variable: nothing is sent, and nothing is lost.
        """
        sent = news & awake
        comes = sent & (rng.random(news.shape) >= self.lost)
        comes[:, 0] = awake[:, 0]
        sent[:, 0] = False
        mask = comes[..., None, None]
        come = Messages(
            np.where(mask, new.precision, old.precision), np.where(mask, new.shift, old.shift)
        )
        return come, sent

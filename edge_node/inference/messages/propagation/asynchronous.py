"""Messages between devices: nobody waits, and some are lost, come late or come twice.

Both ways along a slot are journeys: a variable's cavity to the factor, and the factor's answer
back. In a tick, each end sends what it would say now with some chance. Of what is sent, some is
lost, the rest arrives in the same tick or up to some ticks later, and some arrives twice. A message
is a whole that replaces the one before, and carries the tick it was sent in as its version; one
that is older than what is there is dropped. So the order of arrival doesn't matter, nor do copies.
(The tests show what increments would come to.)

If every link keeps carrying some message of bounded age, the iteration is an asynchronous one in
the sense of Bertsekas & Tsitsiklis 1989 (chapters 6 and 7). Li & Wu 2019 (IEEE Transactions on
Signal Processing 67) give conditions under which propagation converges in any such order.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from edge_node.errors import ConfigurationError
from edge_node.inference.messages.propagation.graph import FactorGraph
from edge_node.inference.messages.propagation.messages import Inbox, Messages, respond
from edge_node.inference.messages.propagation.schedules import State, cavities, check_share
from edge_node.inference.messages.propagation.solution import Slots

__all__ = ["Asynchronous", "Mailbox", "Packet", "Posted"]


@dataclass(frozen=True)
class Packet:
    """Messages of one family that arrive together.

    Attributes:
        due: the tick in which they arrive.
        slots: which of the family's slots they are for, each once (k,), counted in C order.
        messages: what they say (k,).
        version: the tick in which they were sent.
    """

    due: int
    slots: Slots
    messages: Messages
    version: int


@dataclass(frozen=True)
class Mailbox:
    """The newest message at each slot of a family, and what is still on its way.

    Attributes:
        messages: (F, a).
        versions: the tick each was sent in, (F, a); -1: none has come.
        flying: packets that haven't arrived.
    """

    messages: Messages
    versions: Slots
    flying: tuple[Packet, ...] = ()

    def post(self, *packets: Packet) -> "Mailbox":
        """With more packets on their way."""
        return replace(self, flying=(*self.flying, *packets))

    def collect(self, tick: int) -> "Mailbox":
        """With what arrives by ``tick``: a newer version replaces an older one, never the reverse.

        The age of a packet is that of its version, not of its arrival.
        """
        arrived = sorted((p for p in self.flying if p.due <= tick), key=lambda p: p.version)
        if not arrived:
            return self
        precision, shift = self.messages.precision.copy(), self.messages.shift.copy()
        versions = self.versions.copy()
        for packet in arrived:
            newer = packet.version > versions.flat[packet.slots]
            at = np.unravel_index(packet.slots[newer], versions.shape)
            precision[at] = packet.messages.precision[newer]
            shift[at] = packet.messages.shift[newer]
            versions[at] = packet.version
        later = tuple(p for p in self.flying if p.due > tick)
        return Mailbox(Messages(precision, shift), versions, later)


@dataclass(frozen=True)
class Posted(State):
    """A state of which part is on its way.

    Attributes:
        at_factors: what variables have sent, family by family.
        at_variables: what factors have answered; ``inbox`` is what of it has arrived.
    """

    at_factors: tuple[Mailbox, ...] = ()
    at_variables: tuple[Mailbox, ...] = ()


@dataclass(frozen=True)
class Asynchronous:
    """Ticks in which messages are sent by chance, and arrive by chance.

    Attributes:
        seed: of the chances; a tick's are a function of the seed and its number.
        delivered: the chance that a message is handed over to the network in a tick, in (0, 1].
        lost: the chance that one that was handed over never arrives, in [0, 1).
        late: the most ticks that a message may take; each number from 0 is as likely.
        repeated: the chance that one arrives a second time, after a delay of its own.
    """

    seed: int
    delivered: float = 0.5
    lost: float = 0.0
    late: int = 0
    repeated: float = 0.0

    def __post_init__(self) -> None:
        check_share("delivered", self.delivered, above=True)
        check_share("lost", self.lost, below=True)
        check_share("repeated", self.repeated)
        if self.late < 0:
            raise ConfigurationError(
                "a delay is a number of ticks",
                where="schedule",
                expected="0 or more",
                found=str(self.late),
            )

    def start(self, graph: FactorGraph) -> Posted:
        """Silence, but for each variable's own factor, which its factors know from the first."""
        silence = graph.silence()
        own = cavities(graph, silence)
        return Posted(
            silence,
            at_factors=tuple(_empty(messages) for messages in own),
            at_variables=tuple(_empty(messages) for messages in silence),
        )

    def step(self, graph: FactorGraph, state: Posted) -> Posted:
        """Raises PropagationError: something to be inverted is singular."""
        rng = np.random.default_rng([self.seed, state.steps])
        tick = state.steps
        asked, questions = self._carried(
            rng, tick, graph, cavities(graph, state.inbox), state.at_factors
        )
        answers = tuple(
            respond(family, box.messages) for family, box in zip(graph.families, asked, strict=True)
        )
        told, replies = self._carried(rng, tick, graph, answers, state.at_variables)
        inbox = tuple(box.messages for box in told)
        return Posted(inbox, tick + 1, state.sent + questions + replies, asked, told)

    def _carried(
        self,
        rng: np.random.Generator,
        tick: int,
        graph: FactorGraph,
        said: Inbox,
        boxes: tuple[Mailbox, ...],
    ) -> tuple[tuple[Mailbox, ...], int]:
        """One way's mailboxes after a tick, and how many messages were handed over."""
        carried, sent = [], 0
        for family, messages, box in zip(graph.families, said, boxes, strict=True):
            filled = family.scope.ravel() >= 0
            slots = np.flatnonzero(filled & (rng.random(filled.size) < self.delivered))
            sent += len(slots)
            packets = self._packets(rng, tick, slots, messages)
            carried.append(box.post(*packets).collect(tick))
        return tuple(carried), sent

    def _packets(
        self, rng: np.random.Generator, tick: int, slots: Slots, messages: Messages
    ) -> Iterator[Packet]:
        """What arrives of the messages at ``slots``, by delay; some of it twice."""
        arriving = slots[rng.random(len(slots)) >= self.lost]
        again = arriving[rng.random(len(arriving)) < self.repeated]
        for some in (arriving, again):
            delays = rng.integers(0, self.late + 1, len(some))
            for delay in range(self.late + 1):
                those = some[delays == delay]
                at = np.unravel_index(those, messages.shift.shape[:2])
                yield Packet(tick + delay, those, messages[at], tick)


def _empty(messages: Messages) -> Mailbox:
    return Mailbox(messages, np.full(messages.shift.shape[:2], -1, dtype=np.intp))

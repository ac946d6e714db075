"""Messages that are lost, late or repeated do no harm, because each replaces the one before."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_node.inference.messages.propagation.asynchronous import (
    Asynchronous,
    Mailbox,
    Packet,
    Posted,
)
from edge_node.inference.messages.propagation.graph import FactorGraph
from edge_node.inference.messages.propagation.messages import Inbox, Messages, respond
from edge_node.inference.messages.propagation.schedules import Synchronous, cavities
from edge_node.inference.messages.propagation.solution import PropagationError
from edge_node.inference.messages.propagation.solve import solve
from tests.inference.messages.products import assert_same
from tests.inference.messages.propagation.graphs import dense, field, grid

SEEDS = st.integers(0, 2**32 - 1)


def one(value: float) -> Messages:
    """A message (1,)."""
    return Messages(np.full((1, 1, 1), value), np.full((1, 1, 1), -value))


def box() -> Mailbox:
    """A mailbox of one slot that has got nothing."""
    return Mailbox(Messages.flat((1, 1), 1, 1), np.full((1, 1), -1))


def packet(due: int, value: float, version: int) -> Packet:
    """A message for the only slot."""
    return Packet(due, np.array([0]), one(value), version)


@settings(max_examples=20)
@given(SEEDS, st.floats(0.2, 1.0), st.floats(0.0, 0.5), st.integers(0, 5), st.floats(0.0, 0.5))
def test_any_loss_delay_and_repetition_reach_the_same_answer(
    seed: int, delivered: float, lost: float, late: int, repeated: float
) -> None:
    """On a walk-summable grid."""
    graph = grid(np.random.default_rng(0), 4, excess=0.5)
    schedule = Asynchronous(seed, delivered, lost, late, repeated)
    A, h = dense(graph)
    found = solve(graph, schedule, tolerance=1e-9).mean
    np.testing.assert_allclose(found[:, 0], np.linalg.solve(A, h), atol=1e-7)


def test_a_fifth_lost_costs_time_and_not_the_answer() -> None:
    """On a field that is measured at half of its places."""
    graph = field(np.random.default_rng(1), 150)
    plain = solve(graph)
    lossy = solve(graph, Asynchronous(seed=2, delivered=0.8, lost=0.2, late=3, repeated=0.1))
    np.testing.assert_allclose(lossy.mean, plain.mean, atol=1e-7)
    np.testing.assert_allclose(lossy.covariance, plain.covariance, rtol=1e-7)
    assert lossy.steps > plain.steps


def test_without_chance_it_is_the_synchronous_schedule() -> None:
    """Step by step."""
    graph = field(np.random.default_rng(3), 30)
    schedule, other = Asynchronous(seed=0, delivered=1.0), Synchronous()
    state, plain = schedule.start(graph), other.start(graph)
    for _ in range(5):
        state, plain = schedule.step(graph, state), other.step(graph, plain)
        assert_same(state.inbox[0], plain.inbox[0], 1e-12)
    assert state.sent == 2 * plain.sent  # both ways


def test_the_same_seed_gives_the_same_run() -> None:
    """And another seed another one."""
    graph = grid(np.random.default_rng(4), 4)
    runs = [solve(graph, Asynchronous(seed, lost=0.2, late=2)).messages for seed in (1, 1, 2)]
    assert runs[0] == runs[1] != runs[2]


def test_an_older_message_never_replaces_a_newer_one() -> None:
    """Whether it comes later or at the same time; a newer one does, and a copy changes nothing."""
    newest = box().post(packet(0, 5.0, 4)).collect(0)
    assert newest.messages.precision.item() == 5.0
    late = newest.post(packet(1, 3.0, 2), packet(1, 5.0, 4)).collect(1)
    assert (late.messages.precision.item(), late.versions.item()) == (5.0, 4)
    together = box().post(packet(0, 5.0, 4), packet(0, 3.0, 2)).collect(0)
    assert together.messages.precision.item() == 5.0
    newer = late.post(packet(2, 7.0, 6)).collect(2)
    assert (newer.messages.precision.item(), newer.versions.item()) == (7.0, 6)


def test_nothing_arrives_before_it_is_due() -> None:
    """It is on its way, and kept."""
    waiting = box().post(packet(3, 5.0, 0))
    assert waiting.collect(2).messages.precision.item() == 0.0
    assert waiting.collect(2).collect(3).messages.precision.item() == 5.0
    assert waiting.collect(3).flying == ()


@dataclass(frozen=True)
class _Adding(Mailbox):
    """The control: what arrives is added to what is there."""

    def collect(self, tick: int) -> "_Adding":
        precision, shift = self.messages.precision.copy(), self.messages.shift.copy()
        for each in self.flying:
            if each.due <= tick:
                at = np.unravel_index(each.slots, self.versions.shape)
                precision[at] += each.messages.precision
                shift[at] += each.messages.shift
        flying = tuple(each for each in self.flying if each.due > tick)
        return replace(self, messages=Messages(precision, shift), flying=flying)


@dataclass(frozen=True)
class _Incremental(Asynchronous):
    """The control: each end sends by how much its message has changed since it last sent it."""

    def start(self, graph: FactorGraph) -> Posted:
        silence = graph.silence()
        boxes = tuple(
            _Adding(messages, np.full(messages.shift.shape[:2], -1)) for messages in silence
        )
        return Posted(silence, at_factors=silence, at_variables=boxes)  # type: ignore[arg-type]

    def step(self, graph: FactorGraph, state: Posted) -> Posted:
        told_before: Inbox = state.at_factors  # type: ignore[assignment]
        rng = np.random.default_rng([self.seed, state.steps])
        said = tuple(
            respond(family, cavity)
            for family, cavity in zip(graph.families, cavities(graph, state.inbox), strict=True)
        )
        changes = tuple(new / old for new, old in zip(said, told_before, strict=True))
        boxes, sent = self._carried(rng, state.steps, graph, changes, state.at_variables)
        inbox = tuple(each.messages for each in boxes)
        return Posted(inbox, state.steps + 1, state.sent + sent, said, boxes)  # type: ignore[arg-type]


def test_increments_fail_where_replacements_do_not() -> None:
    """Increments reach the answer while every message arrives once; one lost, and never again."""
    graph = grid(np.random.default_rng(5), 4, excess=0.5)
    expected = solve(graph)
    whole = solve(graph, _Incremental(seed=1, delivered=1.0))
    np.testing.assert_allclose(whole.mean, expected.mean, atol=1e-8)
    for flaw in ({"lost": 0.2}, {"repeated": 0.2}):
        with pytest.raises(PropagationError):
            solve(graph, _Incremental(seed=1, delivered=1.0, **flaw), most_steps=300)
        again = solve(graph, Asynchronous(seed=1, delivered=1.0, **flaw))
        np.testing.assert_allclose(again.mean, expected.mean, atol=1e-8)


def test_where_hardly_anything_arrives_it_only_takes_longer() -> None:
    """In a hundred ticks of these nothing may improve: that isn't rounding's doing."""
    graph = grid(np.random.default_rng(0), 3)
    schedule = Asynchronous(3, delivered=0.1, lost=0.9)
    found = solve(graph, schedule, most_steps=20_000)
    assert found.steps > 2000
    A, h = dense(graph)
    np.testing.assert_allclose(found.mean.reshape(h.shape), np.linalg.solve(A, h), atol=1e-8)

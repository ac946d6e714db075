"""Messages that are sent when they are news, lost, late and repeated, end at the posterior."""

from dataclasses import replace

import numpy as np
import pytest

from edge_node.errors import ConfigurationError
from edge_node.inference.fields.field import Field
from edge_node.inference.fields.fleet import Fleet, graph_of
from edge_node.inference.fields.quiet import Quiet, Talk, opening
from edge_node.inference.messages.propagation.asynchronous import Asynchronous
from edge_node.inference.messages.propagation.graph import FactorGraph
from edge_node.inference.messages.propagation.messages import Messages, respond
from edge_node.inference.messages.propagation.schedules import Synchronous
from edge_node.inference.messages.propagation.solution import Cause, PropagationError
from edge_node.inference.messages.propagation.solve import solve
from tests.inference.fields.fleets import (
    FIELD,
    KERNEL,
    fleet,
    means,
    scattered_devices,
    system,
    until_quiet,
)


@pytest.mark.parametrize("lost", [0.0, 0.2])
def test_every_device_ends_with_the_posteriors_mean(lost: float) -> None:
    """To 1e-8, whether messages are lost or not."""
    some = fleet(300)
    graph, (A, h) = graph_of(some), system(some)
    talk = until_quiet(Quiet(1, tolerance=1e-11, lost=lost), graph, opening(some, graph))
    np.testing.assert_allclose(means(graph, talk)[:, 0], np.linalg.solve(A, h), atol=1e-8)


def test_late_and_repeated_messages_do_no_harm() -> None:
    """The engine's own schedule: up to three ticks late, a fifth lost, a fifth twice."""
    some = fleet(200)
    graph, (A, h) = graph_of(some), system(some)
    solution = solve(graph, Asynchronous(2, lost=0.2, late=3, repeated=0.2), tolerance=1e-11)
    np.testing.assert_allclose(solution.mean[:, 0, 0], np.linalg.solve(A, h), atol=1e-8)


def by_increments(graph: FactorGraph, talk: Talk, lost: float, ticks: int) -> Messages:
    """The control: what is sent is the change since what was sent before, and is added."""
    rng, (family,) = np.random.default_rng(0), graph.families

    def added(has: Messages, told: Messages, new: Messages) -> Messages:
        arrives = (rng.random(family.scope.shape) >= lost)[..., None, None]
        return Messages(
            has.precision + arrives * (new.precision - told.precision),
            has.shift + arrives * (new.shift - told.shift),
        )

    heard, said = told, answered = talk.heard, talk.said
    for _ in range(ticks):
        asked = graph.beliefs((said,))[family.scope] / said
        heard, told = added(heard, told, asked), asked
        answers = respond(family, heard)
        said, answered = added(said, answered, answers), answers
    return graph.beliefs((said,))


def test_increments_instead_of_replacements_end_elsewhere() -> None:
    """If nothing is lost they end at the same mean; if a tenth is, nowhere near it."""
    some = fleet(200)
    graph, (A, h) = graph_of(some), system(some)
    errors = []
    for lost in (0.0, 0.1):
        with np.errstate(all="ignore"):
            belief = by_increments(graph, opening(some, graph), lost, 300)
            error = belief.shift[:, 0, 0] / belief.precision[:, 0, 0] - np.linalg.solve(A, h)
        errors.append(np.nan_to_num(np.abs(error), nan=np.inf).max())
    assert errors[0] < 1e-8
    assert errors[1] > 0.1


def test_a_looser_tolerance_takes_fewer_messages_and_errs_by_about_it() -> None:
    """In units of each device's deviation. When all is said, nobody speaks any more."""
    some = fleet(300)
    graph, (A, h) = graph_of(some), system(some)
    exact, sd = np.linalg.solve(A, h), np.sqrt(np.linalg.inv(A).diagonal())
    sent, errors = [], []
    for tolerance in (1e-2, 1e-4):
        schedule = Quiet(1, tolerance=tolerance, lost=0.2)
        talk = until_quiet(schedule, graph, opening(some, graph))
        errors.append(float((np.abs(means(graph, talk)[:, 0] - exact) / sd).max() / tolerance))
        sent.append(talk.sent)
        assert talk.sent == talk.spoken.sum()
        assert schedule.step(graph, talk).sent == talk.sent
    assert sent[0] < 0.7 * sent[1]
    assert 0.1 < min(errors) < max(errors) < 20


def test_devices_that_start_from_silence_are_far_out_at_first() -> None:
    """So they start from the prior: after ten ticks they are ten times nearer."""
    some = fleet(300)
    graph, (A, h) = graph_of(some), system(some)
    exact = np.linalg.solve(A, h)
    start = opening(some, graph)
    places = some.scope.shape
    silence = replace(
        start, inbox=(Messages.flat(places, 1, 1),), heard=Messages.flat(places, 1, 1)
    )

    def error(talk: Talk) -> float:
        for _ in range(10):
            talk = Quiet(1, tolerance=0.0).step(graph, talk)
        return float(np.sqrt(np.mean(np.square(means(graph, talk)[:, 0] - exact))))

    assert error(start) < 0.2
    assert error(silence) > 2.0


def test_a_smooth_field_needs_a_part_of_each_devices_own() -> None:
    """Without it plain messages diverge."""
    graph = graph_of(fleet(300))
    assert solve(graph, Synchronous(0.3)).residual < 1e-10
    with pytest.raises(PropagationError) as found:
        solve(graph_of(fleet(300, field=Field(KERNEL, 0.0, 6))), Synchronous())
    assert found.value.cause is Cause.DIVERGED


def test_impossible_chances_are_refused() -> None:
    """All messages lost, or nobody ever awake."""
    for wrong in ({"lost": 1.0}, {"awake": 0.0}, {"tolerance": -1.0}):
        with pytest.raises(ConfigurationError, match="can't talk like this"):
            Quiet(0, **wrong)


@pytest.mark.parametrize("offset", [0.0, 10.0, 1000.0])
@pytest.mark.parametrize("noise", [1e-3, 0.1])
def test_far_from_zero_means_are_as_near_as_the_tolerance_says(offset: float, noise: float) -> None:
    """There a precision that changes a little would move a mean a lot, if its shift stayed."""
    devices, _ = scattered_devices(200)
    moved = replace(devices, readings=devices.readings + offset, noise=np.full(200, noise))
    some = Fleet.of(FIELD, moved)
    graph = graph_of(some)
    talk = until_quiet(Quiet(1, tolerance=1e-3, lost=0.2), graph, opening(some, graph))
    A, h = system(some)
    error = (means(graph, talk)[:, 0] - np.linalg.solve(A, h)) / np.sqrt(
        np.linalg.inv(A).diagonal()
    )
    assert 1e-5 < np.abs(error).max() < 0.01

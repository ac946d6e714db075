"""Devices leave and come: the fleet becomes the one that is there, and hears it from neighbours."""

from dataclasses import replace

import numpy as np
import pytest

from edge_node.errors import DataError
from edge_node.inference.fields.churn import carried, joined, left
from edge_node.inference.fields.devices import Devices
from edge_node.inference.fields.fleet import Fleet, graph_of
from edge_node.inference.fields.quiet import Quiet, Talk, opening
from edge_node.inference.fields.spread import variances
from edge_node.inference.messages.propagation.solve import marginals
from tests.inference.fields.fleets import fleet, means, scattered_devices, system, until_quiet

EXACTLY = Quiet(1, tolerance=1e-11, lost=0.2)
ROUGHLY = Quiet(1, tolerance=1e-2, lost=0.2)


def newcomers(before: Fleet, count: int, *, samples: int = 0) -> Devices:
    """Devices somewhere among those of a fleet."""
    first = int(before.devices.names[-1]) + 1
    made, _ = scattered_devices(count, samples=samples, seed=7, first=first)
    side = before.devices.places.max()
    return replace(made, places=made.places * (side / np.sqrt(count)))


def settled(some: Fleet, schedule: Quiet = EXACTLY) -> Talk:
    """A fleet that has come to rest."""
    graph = graph_of(some)
    return until_quiet(schedule, graph, opening(some, graph))


def resumed(before: Fleet, talk: Talk, after: Fleet) -> Talk:
    """What the devices of the changed fleet start from."""
    return carried(before, talk, after, opening(after, graph_of(after)))


@pytest.mark.parametrize("change", ["leave", "come", "both"])
def test_a_changed_fleet_ends_with_the_posterior_of_those_that_are_there(change: str) -> None:
    """From what it had heard, with a fifth of all messages lost: means to 1e-8."""
    before = after = fleet(200)
    if change != "come":
        after = left(after, np.array([3, 60, 61, 150]))  # an early one is the neighbour of many
    if change != "leave":
        after = joined(after, newcomers(before, 5))
    start, (A, h) = resumed(before, settled(before), after), system(after)
    graph, exact = graph_of(after), np.linalg.solve(A, h)
    assert np.abs(means(graph, start)[:, 0] - exact).max() > 1e-3  # there is something to say
    talk = until_quiet(EXACTLY, graph, start)
    np.testing.assert_allclose(means(graph, talk)[:, 0], exact, atol=1e-8)


def test_only_those_who_lost_a_neighbour_regress_anew() -> None:
    """Their children; a newcomer changes nobody's regression."""
    before = fleet(200)
    after = left(before, np.array([100]))
    stay = np.arange(200) != 100
    children = (before.neighbours == 100).any(axis=1)[stay]
    changed = before.conditionals.variances[stay] != after.conditionals.variances
    assert np.array_equal(changed, children)
    assert changed.any()
    grown = joined(before, newcomers(before, 5))
    assert np.array_equal(grown.neighbours[:200], before.neighbours)
    assert np.array_equal(grown.conditionals.coefficients[:200], before.conditionals.coefficients)


def test_variances_stay_honest_through_churn() -> None:
    """Each device keeps the noise it has drawn, and newcomers draw their own."""
    before = fleet(300, samples=16)
    after = joined(left(before, np.arange(20, 40)), newcomers(before, 20, samples=16))
    graph = graph_of(after)
    talk = until_quiet(
        Quiet(2, tolerance=1e-4), graph, resumed(before, settled(before, ROUGHLY), after)
    )
    exact = np.linalg.inv(system(after)[0]).diagonal()
    ratio = variances(after, graph, marginals(graph, talk.inbox)[0]) / exact
    assert abs(ratio.mean() - 1.0) < 0.2 * np.sqrt(2 / 16)
    assert ratio.std() < 0.2 * np.sqrt(2 / 16)


def test_a_change_stays_where_it_is() -> None:
    """Few devices have anything to say of one that left, and they are near it."""
    before = fleet(1000)
    talk = settled(before, ROUGHLY)
    gone = 700
    after = left(before, np.array([gone]))
    graph = graph_of(after)
    again = until_quiet(ROUGHLY, graph, resumed(before, talk, after))
    far = np.linalg.norm(after.devices.places - before.devices.places[gone], axis=1)
    assert 0 < again.sent < 0.02 * talk.sent
    assert np.count_nonzero(again.spoken) < 0.1 * after.size
    assert np.average(far, weights=again.spoken) < 0.3 * far.mean()


def test_edges_that_are_still_there_keep_their_messages() -> None:
    """Others start from the prior; a fleet that didn't change has nothing to say."""
    before = fleet(200)
    talk = settled(before)
    same = resumed(before, talk, before)
    assert np.array_equal(same.said.shift, talk.said.shift)
    assert np.array_equal(same.heard.precision, talk.heard.precision)
    graph = graph_of(before)
    assert EXACTLY.step(graph, same).news == 0
    after = left(before, np.array([100]))
    start, kept = opening(after, graph_of(after)), resumed(before, talk, after)
    fresh = (kept.said.precision == start.said.precision).all(axis=(2, 3)) & (after.scope >= 0)
    children = np.count_nonzero(before.neighbours == 100)
    assert 0 < np.count_nonzero(fresh[:, 1:]) == children


def test_unknown_names_are_refused() -> None:
    """One that isn't there can't leave; one that comes has a name after all others; some stay."""
    some = fleet(20)
    with pytest.raises(DataError, match=r"no such device.*found 20"):
        left(some, np.array([3, 20]))
    with pytest.raises(DataError, match="ascending name"):
        joined(some, replace(newcomers(some, 1), names=np.array([5])))
    with pytest.raises(DataError, match="another number of samples"):
        joined(some, newcomers(some, 1, samples=2))
    with pytest.raises(DataError, match="too small"):
        left(some, np.arange(15))

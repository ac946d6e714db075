"""Devices that leave and come: how many messages that takes, and how far it is heard."""

from collections.abc import Iterator

import numpy as np
from scipy.spatial import KDTree

from benchmarks.field.drawn import NOISE, Exact, drawn
from benchmarks.field.talk import TOLERANCE
from benchmarks.figures import Row
from edge_node.arrays import Matrix
from edge_node.inference.fields.churn import carried, joined, left
from edge_node.inference.fields.devices import Devices
from edge_node.inference.fields.fleet import Fleet, graph_of
from edge_node.inference.fields.quiet import Quiet, Talk, opening
from edge_node.inference.messages.propagation.solve import marginals

__all__ = ["measure_changes"]

_MOST_TICKS = 400


def measure_changes(devices: int, *, measuring: float, lost: float) -> Iterator[Row]:
    """A fleet that is quiet changes: one device, the oldest, one in a hundred; leaves or comes."""
    fleet, _ = drawn(devices, measuring=measuring, samples=0)
    schedule = Quiet(0, tolerance=TOLERANCE, lost=lost)
    first = _quiet(schedule, fleet, opening(fleet, graph_of(fleet)))
    random, side = np.random.default_rng(2), np.sqrt(devices)
    one, some = np.array([devices // 2]), random.choice(devices, devices // 100, replace=False)
    setting = {"devices": devices, "measuring": measuring, "lost": lost}
    yield {"part": "change", **setting, "change": "all come", **_cost(fleet, first)}
    places = fleet.devices.places
    for name, gone in (("one leaves", one), ("the oldest leaves", np.array([0]))):
        yield {"part": "change", **setting, "change": name,
               **_after(schedule, fleet, first, left(fleet, gone), places[gone])}  # fmt: skip
    yield {"part": "change", **setting, "change": "one in 100 leave",
           **_after(schedule, fleet, first, left(fleet, np.sort(some)), places[some])}  # fmt: skip
    for name, count in (("one comes", 1), ("one in 100 come", devices // 100)):
        at = random.random((count, 2)) * side
        came = _newcomers(devices, at, random)
        yield {"part": "change", **setting, "change": name,
               **_after(schedule, fleet, first, joined(fleet, came), at)}  # fmt: skip


def _newcomers(first: int, places: Matrix, random: np.random.Generator) -> Devices:
    """Devices with readings, of which the fleet knows nothing yet."""
    readings = random.normal(size=len(places))
    return Devices.drawn(places, readings, NOISE, samples=0, random=random, first=first)


def _after(schedule: Quiet, before: Fleet, talk: Talk, after: Fleet, where: Matrix) -> Row:
    start = carried(before, talk, after, opening(after, graph_of(after)))
    again = _quiet(schedule, after, start)
    distances = np.asarray(KDTree(where).query(after.devices.places)[0])
    farthest = distances[again.spoken > 0].max(initial=0.0)
    share = again.spoken / max(again.sent, 1)
    near = float(share[distances < 10.0].sum())
    return {**_cost(after, again), "farthest": float(farthest), "within_10": near}


def _cost(fleet: Fleet, talk: Talk) -> Row:
    """Messages in all, devices that spoke, and the error of the means in deviations."""
    mean, covariance, _ = marginals(graph_of(fleet), talk.inbox)
    error = np.square(mean[:, 0, 0] - Exact(fleet).mean)
    return {
        "tick": talk.steps,
        "sent": talk.sent,
        "speakers": int(np.count_nonzero(talk.spoken)),
        "mean_error": float(np.sqrt(error.mean() / covariance.mean())),
    }


def _quiet(schedule: Quiet, fleet: Fleet, talk: Talk) -> Talk:
    graph = graph_of(fleet)
    while talk.news and talk.steps < _MOST_TICKS:
        talk = schedule.step(graph, talk)
    return talk

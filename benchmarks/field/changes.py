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
    """What it takes a quiet fleet to be quiet again, when some devices leave, or others come."""
    fleet, _ = drawn(devices, measuring=measuring, samples=0)
    schedule, random = Quiet(0, tolerance=TOLERANCE, lost=lost), np.random.default_rng(2)
    first = _quiet(schedule, fleet, opening(fleet, graph_of(fleet)))

    def row(change: str, count: int, cost: Row) -> Row:
        setting = {"devices": devices, "measuring": measuring, "lost": lost}
        return {"part": "change", **setting, "change": change, "changed": count, **cost}

    yield row("come", devices, _cost(fleet, first))
    for count in (devices // 1000, devices // 100):
        at = random.random((count, 2)) * np.sqrt(devices)
        grown = joined(fleet, _newcomers(fleet, first, at, random))
        yield row("come", count, _after(schedule, fleet, first, grown, at))
        gone = np.sort(random.choice(devices, count, replace=False))
        rest, at = left(fleet, gone), fleet.devices.places[gone]
        yield row("leave", count, _after(schedule, fleet, first, rest, at))
    rest, at = left(fleet, np.array([0])), fleet.devices.places[:1]
    yield row("the oldest leaves", 1, _after(schedule, fleet, first, rest, at))


def _newcomers(fleet: Fleet, talk: Talk, at: Matrix, random: np.random.Generator) -> Devices:
    """Devices that measure what the device nearest to them believes, with an error."""
    mean = marginals(graph_of(fleet), talk.inbox)[0][:, 0, 0]
    nearest = np.asarray(KDTree(fleet.devices.places).query(at)[1])
    readings = mean[nearest] + np.sqrt(NOISE) * random.normal(size=len(at))
    return Devices.drawn(at, readings, NOISE, samples=0, random=random, first=fleet.size)


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

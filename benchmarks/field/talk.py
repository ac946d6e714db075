"""Errors of means and variances against messages sent, and what intervals cover in the end."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.field.drawn import Exact, drawn
from benchmarks.figures import Row
from edge_node.arrays import Vector
from edge_node.inference.fields.fleet import Fleet, graph_of
from edge_node.inference.fields.quiet import Quiet, Talk, opening
from edge_node.inference.fields.spread import variances
from edge_node.inference.messages.propagation.graph import FactorGraph
from edge_node.inference.messages.propagation.solve import marginals
from edge_node.inference.numerics.distances import Indices

__all__ = ["TOLERANCE", "Judge", "measure_talk"]

TOLERANCE = 1e-3  # of a message that is news, in deviations
_JUDGED = 300  # devices whose exact variances are computed
_EVERY = 10  # ticks between two looks


@dataclass(frozen=True)
class Judge:
    """A fleet, its true field, and what is exact.

    Attributes:
        fleet: n devices.
        truth: the field at them (n,).
        mean: of the posterior (n,).
        some: devices whose variances are known (m,).
        spread: their variances (m,).
    """

    fleet: Fleet
    truth: Vector
    mean: Vector
    some: Indices
    spread: Vector

    @classmethod
    def of(cls, fleet: Fleet, truth: Vector) -> "Judge":
        """By a sparse factorisation."""
        exact = Exact(fleet)
        judged = min(_JUDGED, fleet.size)
        some = np.random.default_rng(1).choice(fleet.size, judged, replace=False)
        return cls(fleet, truth, exact.mean, some, exact.variances(some))

    def errors(self, graph: FactorGraph, talk: Talk) -> Row:
        """Of what has been heard: of means in deviations, of variances as shares."""
        mean, loopy, own = self._answers(graph, talk, self.some)
        unit = np.sqrt(self.spread.mean())
        return {
            "mean_error": float(np.sqrt(np.mean(np.square(mean - self.mean))) / unit),
            "variance_error": _share_off(own, self.spread),
            "loopy_error": _share_off(loopy[self.some], self.spread),
        }

    def verdicts(self, graph: FactorGraph, talk: Talk) -> Iterator[Row]:
        """Bias, spread and coverage of the variances: exact, by own noise, and of messages."""
        everybody = np.arange(self.fleet.size)
        mean, loopy, own = self._answers(graph, talk, everybody)
        exact = np.full(self.fleet.size, np.nan)
        exact[self.some] = self.spread
        ways = {
            "exact": (self.some, exact),
            "own noise": (everybody, own),
            "loopy": (everybody, loopy),
        }
        for way, (at, found) in ways.items():
            ratio = found[self.some] / self.spread
            low, high = np.quantile(ratio, [0.05, 0.95])
            inside = self._inside(at, mean, found)
            yield {
                "variances": way, "bias": float(ratio.mean() - 1), "spread": float(ratio.std()),
                "ratio5": float(low), "ratio95": float(high), "coverage95": float(inside.mean()),
                "coverage95_asking": float(inside[~self.fleet.devices.measuring[at]].mean()),
            }  # fmt: skip

    def _answers(
        self, graph: FactorGraph, talk: Talk, at: Indices
    ) -> tuple[Vector, Vector, Vector]:
        """Means (n,), the variances of the messages (n,), and those by own noise at some (m,)."""
        mean, covariance, _ = marginals(graph, talk.inbox)
        return mean[:, 0, 0], covariance[:, 0, 0], variances(self.fleet, graph, mean, at=at)

    def _inside(self, at: Indices, mean: Vector, found: Vector) -> NDArray[np.bool_]:
        inside: NDArray[np.bool_] = np.abs(self.truth - mean)[at] < 1.96 * np.sqrt(found[at])
        return inside


def measure_talk(
    devices: int, *, measuring: float, samples: int, losses: Sequence[float], most_ticks: int
) -> Iterator[Row]:
    """Errors every few ticks, until nobody has anything to say; then what intervals cover."""
    fleet, truth = drawn(devices, measuring=measuring, samples=samples)
    judge, graph = Judge.of(fleet, truth), graph_of(fleet)
    for lost in losses:
        setting = {"devices": devices, "measuring": measuring, "samples": samples, "lost": lost}
        talk, schedule = opening(fleet, graph), Quiet(0, tolerance=TOLERANCE, lost=lost)
        while talk.news and talk.steps < most_ticks:
            talk = schedule.step(graph, talk)
            if talk.steps % _EVERY == 0 or not talk.news:
                told = {"tick": talk.steps, "messages": talk.sent / devices}
                yield {"part": "talk", **setting, **told, **judge.errors(graph, talk)}
        for verdict in judge.verdicts(graph, talk):
            yield {"part": "answer", **setting, **verdict}


def _share_off(found: Vector, exact: Vector) -> float:
    return float(np.sqrt(np.mean(np.square(found / exact - 1.0))))

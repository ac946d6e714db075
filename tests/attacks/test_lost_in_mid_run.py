"""A node is lost between two steps of one run: what totals with and without it tell of it."""

import asyncio
from collections.abc import Mapping

import numpy as np

from edge_node.arrays import Vector
from edge_node.config import Column, DataSpec, FederationSpec, LandmarkKind, ModelSpec, Task
from edge_node.data.sources.source import Batch, MemorySource
from edge_node.network.memory import MemoryFederation
from edge_node.program import infer
from tests.support.networks import Watched

LOST, LOST_ROWS = "d", 9
SPEC = FederationSpec(
    name="lost",
    data=DataSpec(
        task=Task.REGRESSION, target="y", columns=tuple(Column(name=name) for name in "pqr")
    ),
    model=ModelSpec(
        landmarks=12, depths=(1,), biases=(1.0,), landmark_kinds=(LandmarkKind.GAUSSIAN,)
    ),
)


def sources() -> dict[str, MemorySource]:
    """Four nodes; the last has fewer rows than there are landmarks."""
    random, found = np.random.default_rng(3), {}
    for node, rows in {"a": 70, "b": 70, "c": 70, LOST: LOST_ROWS}.items():
        X = random.normal(size=(rows, 3))
        y = np.sin(2 * X[:, 0]) + 0.2 * random.normal(size=rows)
        found[node] = MemorySource((Batch(X, np.empty((rows, 0), dtype=object), y),))
    return found


def totals_seen(lost_at: str) -> Mapping[str, Vector]:
    """The totals that the others see when d is lost as it comes to a step."""
    rows, totals = sources(), {}
    federation = MemoryFederation(list(rows), {LOST: lost_at})
    program = federation.run(
        lambda net: infer(Watched(net, totals) if net.node == "a" else net, rows[net.node], SPEC)
    )
    asyncio.run(program)
    return totals


def test_what_is_counted_again_tells_the_lost_nodes_counts() -> None:
    """The stated limit: a crash costs a sweep and not the run, so counts with and without it are
    known, and with them how many rows it had.
    """
    totals = totals_seen("statistics/0")
    assert totals["counts"][0] - totals["counts/again-1"][0] == LOST_ROWS

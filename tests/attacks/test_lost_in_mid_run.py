"""A node is lost between two steps of one run: what totals with and without it tell of it."""

import asyncio
from collections.abc import Mapping

import numpy as np

from edge_node.arrays import Vector
from edge_node.config import Column, DataSpec, FederationSpec, LandmarkKind, ModelSpec, Task
from edge_node.data.sources.source import Batch, MemorySource
from edge_node.inference.messages.folds import FOLDS
from edge_node.model.model import Model
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


def learn(lost_at: str) -> tuple[Model, Mapping[str, Vector]]:
    """What the others learn when d is lost as it comes to a step, and the totals that they saw."""
    rows, totals = sources(), {}
    federation = MemoryFederation(list(rows), {LOST: lost_at} if lost_at else None)
    program = federation.run(
        lambda net: infer(Watched(net, totals) if net.node == "a" else net, rows[net.node], SPEC)
    )
    return asyncio.run(program)["a"], totals


def missing_rows(totals: Mapping[str, Vector]) -> float:
    """How many rows are in the statistics of all rows, but not in those of the folds.

    If there are any, the difference of both is the plain message of the node that was lost in
    between, and `test_reconstruction` makes rows of it.
    """
    whole, folds = totals["statistics/0"], totals.get("statistics/folds")
    return 0.0 if folds is None else float((whole - folds.reshape(FOLDS, -1).sum(axis=0))[0])


def test_folds_are_summed_over_the_nodes_of_the_whole_or_not_at_all() -> None:
    """Wherever the node is lost: before folds are counted, and between count and sum."""
    for step in ("folds", "statistics/folds"):
        model, totals = learn(step)
        assert missing_rows(totals) == 0.0
        assert LOST in model.provenance.cohorts["statistics/0"]


def test_with_all_nodes_folds_add_up_to_the_whole() -> None:
    """The control: the folds make up the whole. A node that is lost later changes neither."""
    for step in ("", "noise/0"):
        _, totals = learn(step)
        assert missing_rows(totals) == 0.0
        whole, folds = totals["statistics/0"], totals["statistics/folds"]
        np.testing.assert_allclose(folds.reshape(FOLDS, -1).sum(axis=0), whole, rtol=1e-9)


def test_what_is_counted_again_tells_the_lost_nodes_counts() -> None:
    """The stated limit: a crash costs a sweep and not the run, so counts with and without it are
    known, and with them how many rows it had.
    """
    _, totals = learn("statistics/0")
    assert (totals["counts"] - totals["counts/again-1"])[0] == LOST_ROWS

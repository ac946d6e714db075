"""A node is lost at any step: no sum is over fewer nodes than were counted before it."""

import asyncio

import numpy as np
import pytest

from edge_node.arrays import Vector
from edge_node.config import Column, DataSpec, FederationSpec, ModelSpec, SitePolicy, Task
from edge_node.data.sources.source import Batch, MemorySource
from edge_node.errors import CohortRefusedError
from edge_node.model.model import Model
from edge_node.network.base import Network
from edge_node.network.memory import MemoryFederation
from edge_node.program import infer
from edge_node.program.recounting import RecountingNetwork
from edge_node.step import Step

LOST_AT = [
    *(
        (Task.REGRESSION, step)
        for step in (
            *("counts", "means", "spread"),
            *("statistics/0", "gradients/1", "statistics/1", "kmeans/0", "posterior"),
            "calibration",
        )
    ),
    *(
        (Task.CLASSIFICATION, step)
        for step in ("counts", "spread", "statistics/0", "posterior", "newton/0")
    ),
    *((task, "newton/1") for task in (Task.COUNT, Task.ORDINAL, Task.SURVIVAL)),
]


def spec_for(task: Task, **changes: int) -> FederationSpec:
    """A small model that takes every kind of step."""
    columns = tuple(Column(name=name) for name in "abc")
    classes = ("no", "yes", "often")[: 2 + (task is Task.ORDINAL)] if task.has_classes else ()
    event = "seen" if task is Task.SURVIVAL else ""
    data = DataSpec(task=task, target="y", columns=columns, classes=classes, event=event)
    model = ModelSpec(
        landmarks=8, depths=(1,), biases=(1.0,), metric_repetitions=1, min_rows_per_landmark=3
    )
    return FederationSpec(name="census", data=data, model=model, **changes)


def sources_for(task: Task, rows: int = 60) -> dict[str, MemorySource]:
    """Three nodes'; the last has as many rows as the others."""
    random, sources = np.random.default_rng(1), {}
    for node in "abc":
        X = random.normal(size=(rows, 3))
        y = np.sin(2 * X[:, 0]) + 0.2 * random.normal(size=rows)
        match task:
            case Task.CLASSIFICATION:
                y = (y > 0).astype(float)
            case Task.ORDINAL:
                y = np.digitize(y, [-0.3, 0.5]).astype(float)
            case Task.COUNT:
                y = random.poisson(np.exp(1 + y)).astype(float)
            case Task.SURVIVAL:
                y = np.exp(y) * np.where(random.random(rows) < 0.3, -1, 1)
        sources[node] = MemorySource((Batch(X, np.empty((rows, 0), dtype=object), y),))
    return sources


def learn(spec: FederationSpec, lost_at: str = "", policy: SitePolicy | None = None) -> list[Model]:
    """The models of those who are left."""
    sources = sources_for(spec.data.task)
    federation = MemoryFederation("abc", {"c": lost_at} if lost_at else {})

    async def program(network: Network) -> Model:
        mine = policy if network.node == "a" else None
        return await infer(network, sources[network.node], spec, policy=mine)

    models = asyncio.run(federation.run(program))
    assert set(models) == ({"a", "b"} if lost_at else {"a", "b", "c"})
    return list(models.values())


@pytest.mark.parametrize(("task", "step"), LOST_AT)
def test_no_sum_is_over_fewer_nodes_than_the_newest_count(task: Task, step: str) -> None:
    """The run goes on, and all who are left have the same model."""
    first, second = learn(spec_for(task), step)
    cohorts = first.provenance.cohorts
    assert cohorts == second.provenance.cohorts
    assert first.provenance.cohort == ("a", "b") or step.startswith(("newton/", "calibration"))
    counted: tuple[str, ...] = ()
    for name, cohort in cohorts.items():
        counted = cohort if name.startswith("counts") else counted
        if "/" not in name or "again" in name or name.endswith(("counts", "sums")):
            assert cohort == counted
    given_up = first.provenance.traversals - len(cohorts)
    assert given_up == any("again" in name for name in cohorts)
    arrays = [model.posterior.to_arrays() for model in (first, second)]
    for key, values in arrays[0].items():
        np.testing.assert_array_equal(values, arrays[1][key])


@pytest.mark.parametrize("step", ["counts", "means", "kmeans/0", "statistics/0", "posterior"])
def test_rows_are_counted_before_a_sum_goes_on_without_a_node(step: str) -> None:
    """180 are enough for everybody; the 120 that are left are not."""
    for spec, policy, who in (
        (spec_for(Task.REGRESSION, minimum_rows=150), None, "spec"),
        (spec_for(Task.REGRESSION), SitePolicy(minimum_rows=150), "this site"),
    ):
        learn(spec, policy=policy)
        with pytest.raises(CohortRefusedError, match=rf"{who}: .*at least 150, found 120"):
            learn(spec, step, policy)


async def test_a_sum_that_lost_a_node_is_taken_again_after_a_count() -> None:
    """Under another name; the first one says which attempt it was."""

    async def program(network: Network) -> list[str]:
        totals: list[Vector] = []
        census = RecountingNetwork(network, np.ones(1), totals.append)
        await census.count()
        await census.sum(Step("groups"), np.ones(2))
        await census.sum(Step("other"), np.ones(2))
        assert [float(total[0]) for total in totals] == [3.0, 2.0]
        assert census.attempt(Step("other")) == Step("other").again
        return [str(step) for step, nodes in network.steps.items() if nodes]

    results = await MemoryFederation("abc", {"c": "other"}).run(program)
    expected = ["counts", "groups", "counts/again-1", "other/again-1"]
    assert results == {"a": expected, "b": expected}

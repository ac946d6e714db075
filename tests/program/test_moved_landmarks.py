"""Landmarks move if the spec asks for it: uphill, the same for any partition, and paid for."""

import asyncio
from dataclasses import replace

import msgspec
import numpy as np
import pytest

from edge_node.config import (
    Column,
    DataSpec,
    FederationSpec,
    KernelKind,
    ModelSpec,
    SiteRefinement,
    Task,
)
from edge_node.data.sources.source import Batch, MemorySource
from edge_node.model.model import Model
from edge_node.network.base import Network
from edge_node.network.memory import MemoryFederation
from edge_node.program import infer
from edge_node.program.plan.affordable import within
from edge_node.program.plan.planning import schedule_for
from edge_node.program.plan.schedule import Schedule
from edge_node.program.simulation import simulate, simulate_pooled
from edge_node.security.disclosure.allowance import Allowance

ANY = Allowance.unlimited()  # how much is told is not the question in most of these tests
MOVES = 8
TASKS = pytest.mark.parametrize("task", [Task.REGRESSION, Task.CLASSIFICATION])


def spec_for(task: Task = Task.REGRESSION, **changes: object) -> FederationSpec:
    """A small model; its moves follow one repetition of the metric and k-means."""
    classes = ("no", "maybe", "yes") if task is Task.CLASSIFICATION else ()
    columns = tuple(Column(name=name) for name in "abc")
    data = DataSpec(task=task, target="y", columns=columns, classes=classes)
    settings = {
        "landmarks": 20,
        "depths": (1,),
        "biases": (1.0,),
        "metric_repetitions": 1,
        "move_landmarks": MOVES,
        "newton_steps": 2,
        "site_refinement": SiteRefinement.NONE,
    }
    model = ModelSpec(**(settings | changes))
    return FederationSpec(name="moves", data=data, model=model, minimum_rows=0)


def sources_for(spec: FederationSpec, sizes: tuple[int, ...]) -> dict[str, MemorySource]:
    """Nodes that hold so many rows each."""
    random, rows = np.random.default_rng(2), sum(sizes)
    X = random.normal(size=(rows, 3))
    y = np.sin(2 * X[:, 0]) + X[:, 0] * X[:, 1] + 0.1 * random.normal(size=rows)
    if classes := spec.data.classes:
        y = np.digitize(y, np.quantile(y, (0.3, 0.7))[: len(classes) - 1]).astype(float)
    labels = np.empty((rows, 0), dtype=object)
    parts = np.split(np.arange(rows), np.cumsum(sizes)[:-1])
    return {
        f"node-{i}": MemorySource((Batch(X[own], labels[own], y[own]),))
        for i, own in enumerate(parts)
    }


def learn(spec: FederationSpec, sizes: tuple[int, ...] = (600,)) -> Model:
    """The first node's model."""
    return simulate(spec, sources_for(spec, sizes), allowance=ANY)["node-0"]


def moves_of(model: Model) -> list[str]:
    """The moves' steps."""
    return [step for step in model.provenance.cohorts if step.startswith("moves/")]


@TASKS
@pytest.mark.parametrize("repetitions", [0, 1])
def test_any_partition_gives_the_pooled_posterior(task: Task, repetitions: int) -> None:
    """Given its parts: landmarks, metric and noise where the moves have led."""
    spec = spec_for(task, metric_repetitions=repetitions)
    sources = sources_for(spec, (100, 37, 163))
    models = simulate(spec, sources, allowance=ANY)
    pooled = simulate_pooled(spec, sources, allowance=ANY)
    assert len(moves_of(models["node-0"])) == MOVES
    (queries,) = sources_for(spec, (40,))["node-0"].parts
    mean, sd = pooled.latent(queries)
    for model in models.values():
        theirs = model.latent(queries)
        np.testing.assert_allclose(theirs[0], mean, rtol=1e-8, atol=1e-8)
        np.testing.assert_allclose(theirs[1], sd, rtol=1e-8)


def test_moves_raise_the_evidence() -> None:
    """And without them, which is the default, nothing is moved and the evidence is lower."""
    assert ModelSpec().move_landmarks == 0
    still, moved = learn(spec_for(move_landmarks=0)), learn(spec_for())
    assert moves_of(still) == []
    assert len(moves_of(moved)) == MOVES
    assert moved.provenance.log_evidence > still.provenance.log_evidence + 20
    assert moved.posterior.noise < still.posterior.noise
    places = (each.posterior.features.landmarks for each in (still, moved))
    assert not np.allclose(*places)


def test_a_metric_that_leaves_inputs_out_stays_while_landmarks_move() -> None:
    """Two of sixteen inputs matter; moves see these alone."""
    columns = tuple(Column(name=f"x{i}") for i in range(16))
    spec = spec_for(move_landmarks=2)
    spec = msgspec.structs.replace(spec, data=msgspec.structs.replace(spec.data, columns=columns))
    random = np.random.default_rng(3)
    X = random.normal(size=(400, 16))
    y = np.sin(2 * X[:, 0]) + X[:, 1] + 0.1 * random.normal(size=400)
    source = MemorySource((Batch(X, np.empty((400, 0), dtype=object), y),))
    model = simulate(spec, {"node-0": source}, allowance=ANY)["node-0"]
    features = model.posterior.features
    assert len(moves_of(model)) == 2
    assert features.metric is not None
    assert features.metric.shape == (2, 16)
    assert features.landmarks.shape[1] == 2


@pytest.mark.parametrize("lost_at", ["moves/0", "moves/3", "moves/7"])
@TASKS
def test_a_node_may_be_lost_at_any_move(lost_at: str, task: Task) -> None:
    """Those who are left go on, all with one model."""
    spec = spec_for(task)
    sources = sources_for(spec, (200, 150, 100))

    async def program(network: Network) -> Model:
        return await infer(network, sources[network.node], spec, allowance=ANY)

    federation = MemoryFederation(list(sources), {"node-2": lost_at})
    models = list(asyncio.run(federation.run(program)).values())
    assert len(models) == 2
    for model in models:
        assert model.provenance.cohorts[f"{lost_at}/again-1"] == ("node-0", "node-1")
        assert len(moves_of(model)) >= MOVES
    one, two = (each.posterior.features for each in models)
    assert np.array_equal(one.landmarks, two.landmarks)
    assert np.array_equal(one.metric, two.metric)


def test_the_bill_counts_them() -> None:
    """Each as many numbers as were planned: r (d + 1) + d d, and four, or less for a diagonal."""
    spec = msgspec.structs.replace(spec_for(landmarks="auto"), most_told=3.0)
    sources = sources_for(spec, (500, 500, 500))
    model = simulate(spec, sources)["node-0"]
    bill, features = model.provenance.bill, model.posterior.features
    assert bill is not None
    assert len(moves_of(model)) >= 3
    size = len(features.landmarks)
    for step in moves_of(model):
        assert bill.steps[step] in (4 * size + 4, 4 * size + 7, 4 * size + 13)
    assert sum(bill.steps.values()) <= 3.0 * bill.rows * bill.columns


def plan(rows: int, moves: int, most_told: float = 0.5, **changes: object) -> Schedule:
    """Of a regression of eight inputs, whose largest site has a quarter of the rows."""
    columns = tuple(Column(name=f"x{i}") for i in range(8))
    data = DataSpec(task=Task.REGRESSION, target="y", columns=columns)
    model = ModelSpec(move_landmarks=moves, **changes)
    spec = FederationSpec(name="plan", data=data, model=model)
    return schedule_for(spec, Allowance(3 * rows // 4, 9, most_told), rows=rows, inputs=8)


def test_moves_take_no_more_than_half_of_what_the_coarse_look_leaves() -> None:
    """They cost landmarks, and there are fewer than were asked for where rows are few."""
    without, some, many = plan(36_000, 0), plan(36_000, 10), plan(36_000, 1000)
    assert without.moves == 0
    assert some.moves == 10
    assert 10 < many.moves < 1000
    assert many.full < some.full < without.full
    assert many.full > 0.65 * without.full
    assert plan(2_000, 1000).moves < many.moves
    assert plan(36_000, 1000, 1000.0).moves == 1000


def test_a_kernel_without_gradients_moves_nothing() -> None:
    """Convolutions have none."""
    images = {"kernels": (KernelKind.CONV_NTK,), "image": (2, 4, 1)}
    assert plan(36_000, 10, **images).moves == 0
    assert plan(36_000, 10).moves == 10


def test_what_may_no_longer_be_told_is_not_asked() -> None:
    """A plan that must shrink keeps the landmarks that it can, and moves them less often."""
    whole = plan(36_000, 20)
    spent = sum(each.numbers for each in whole.full_sums)
    assert within(whole, spent, whole.full) == whole
    less = within(whole, spent - 1, whole.full)
    assert (less.full, less.moves) != (whole.full, whole.moves)
    assert sum(each.numbers for each in less.full_sums) <= spent - 1
    assert within(replace(whole, moves=0), spent, whole.full).moves == 0

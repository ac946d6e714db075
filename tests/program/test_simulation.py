"""The program over a federation in this process."""

import asyncio
import tracemalloc
from collections import Counter
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest

from edge_node.config import (
    Column,
    ColumnKind,
    DataSpec,
    FederationSpec,
    LandmarkKind,
    ModelSpec,
    SiteRefinement,
    Task,
)
from edge_node.data.sources.source import Batch, MemorySource
from edge_node.errors import CohortRefusedError, NetworkError
from edge_node.inference.features.nystrom import Features
from edge_node.inference.regression.posterior import Posterior
from edge_node.model.model import Model
from edge_node.network.base import Network
from edge_node.network.memory import MemoryFederation
from edge_node.program import simulation
from edge_node.program.features import places
from edge_node.program.simulation import simulate, simulate_pooled
from edge_node.program.together import decide_together
from edge_node.step import Step

TWO = DataSpec(task=Task.REGRESSION, target="y", columns=(Column(name="a"), Column(name="b")))
WIDE = FederationSpec(
    name="wide",
    data=TWO,
    model=ModelSpec(
        landmarks=30,
        depths=(1,),
        biases=(1.0,),
        metric_repetitions=1,
        landmark_kinds=(LandmarkKind.GAUSSIAN,),
        site_refinement=SiteRefinement.NONE,
    ),
    most_told=1000.0,
)
CATEGORICAL = ColumnKind.CATEGORICAL
SPEC = FederationSpec(
    name="simulated",
    data=DataSpec(task=Task.REGRESSION, target="y", columns=(Column(name="x"),)),
    model=ModelSpec(landmarks=9, depths=(1,), metric_repetitions=0),
    most_told=3.0,  # so that landmarks are moved
)


def rows(count: int, seed: int) -> Batch:
    """One input, and a smooth function of it."""
    x = np.random.default_rng(seed).normal(size=(count, 1))
    return Batch(x, np.empty((count, 0), dtype=object), np.sin(2 * x[:, 0]))


PARTS = {name: rows(60, seed) for seed, name in enumerate(("bern", "oslo", "pisa"))}
POOLED = Batch(
    np.concatenate([part.numeric for part in PARTS.values()]),
    np.concatenate([part.categorical for part in PARTS.values()]),
    np.concatenate([part.target for part in PARTS.values()]),
)
SOURCES = {name: MemorySource((part,)) for name, part in PARTS.items()}


def test_a_federation_learns_what_one_node_with_all_rows_and_its_parts_learns() -> None:
    """To rounding, at each of its nodes; nobody agrees on parts that are given."""
    pooled = simulate_pooled(SPEC, SOURCES)
    models = simulate(SPEC, SOURCES)
    assert list(models) == ["bern", "oslo", "pisa"]
    mean, sd = pooled.latent(POOLED)
    for model in models.values():
        theirs = model.latent(POOLED)
        np.testing.assert_allclose(theirs[0], mean, atol=1e-8)
        np.testing.assert_allclose(theirs[1], sd, atol=1e-8)
        assert model.encoder == pooled.encoder
    agreed = {"means", "spread", "kmeans/0"}
    assert agreed <= set(models["bern"].provenance.cohorts)
    assert agreed.isdisjoint(pooled.provenance.cohorts)


def test_simulated_sites_tell_no_more_than_daemons() -> None:
    """They sign their rows as daemons do; one site alone hides nothing from itself."""
    spec = msgspec.structs.replace(SPEC, most_told=0.5)
    models = simulate(spec, SOURCES)
    bill = models["oslo"].provenance.bill
    assert bill is not None
    assert bill.sizes == dict.fromkeys(SOURCES, 32)
    assert bill.told <= 0.5 * bill.cells == 64
    alone = simulate(spec, {"alone": MemorySource((POOLED,))})["alone"]
    assert alone.provenance.bill is None
    assert models["oslo"].provenance.landmarks < alone.provenance.landmarks == 9


def test_a_few_rows_with_labels_of_their_own_are_enough() -> None:
    """120 rows at three sites: labels have no products, so they cost a number each."""
    random = np.random.default_rng(0)
    columns = (*(Column(name=f"x{i}") for i in range(4)), Column(name="ward", kind=CATEGORICAL))
    data = DataSpec(task=Task.REGRESSION, target="y", columns=columns)
    sources = {}
    for site in SOURCES:
        X, ward = random.normal(size=(40, 4)), random.integers(0, 3, 40)
        labels = np.array([[f"ward {each}"] for each in ward], dtype=object)
        sources[site] = MemorySource((Batch(X, labels, X[:, 0] + ward),))
    model = simulate(FederationSpec(name="wards", data=data), sources)["pisa"]
    assert model.provenance.landmarks >= 10
    bill = model.provenance.bill
    assert bill is not None
    assert 0.75 * 160 < bill.told <= 160 == 0.5 * bill.cells


def test_each_step_is_reported_once() -> None:
    """When it is complete for all nodes, with how many there will be once that is planned."""
    told: list[tuple[str, float, int, int | None]] = []
    simulate(SPEC, SOURCES, report=lambda *each: told.append(each))
    steps = [step for step, _, _, _ in told]
    assert steps[0] == "counts"
    assert len(set(steps)) == len(steps) > 3
    assert told == sorted(told, key=lambda each: each[1])
    assert [done for _, _, done, _ in told] == [*range(1, len(told) + 1)]
    planned = dict(zip(steps, (each for _, _, _, each in told), strict=True))
    assert planned["spread"] is None
    assert len(told) <= planned["posterior"] <= len(told) + 1, "or one more, to clean of outliers"


@pytest.mark.parametrize("task", [Task.REGRESSION, Task.CLASSIFICATION])
def test_what_nodes_share_in_one_process_changes_no_bit(
    task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each node's whole model, against nodes that compute for themselves, as daemons do."""
    spec, sources = SPEC, SOURCES
    if task is Task.CLASSIFICATION:
        data = msgspec.structs.replace(SPEC.data, task=task, classes=("low", "high"))
        spec = msgspec.structs.replace(SPEC, data=data)
        parts = {
            node: replace(part, target=1.0 * (part.target > 0)) for node, part in PARTS.items()
        }
        sources = {node: MemorySource((part,)) for node, part in parts.items()}
    shared = simulate(spec, sources)
    monkeypatch.setattr(simulation, "MemoryFederation", apart)
    alone = simulate(spec, sources)
    for models, are_shared in ((shared, True), (alone, False)):
        first, *_, last = models.values()
        assert (first.posterior.features is last.posterior.features) is are_shared
    for node, model in alone.items():
        assert model.provenance.cohorts == shared[node].provenance.cohorts
        assert content_of(model) == content_of(shared[node])


def test_many_nodes_build_no_more_than_few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Landmarks, feature maps and posteriors are counted: nodes that share have one of each."""
    built = Counter[str]()

    def counted(owner: Any, name: str) -> None:
        function = getattr(owner, name)

        def call(*args: Any, **settings: Any) -> Any:
            built[name] += 1
            return function(*args, **settings)

        monkeypatch.setattr(owner, name, call)

    counted(Features, "build")
    counted(Posterior, "of")
    counted(places, "gaussian_landmarks")
    counts = {}
    for shares, federation in ((True, MemoryFederation), (False, apart)):
        monkeypatch.setattr(simulation, "MemoryFederation", federation)
        for nodes in (3, 9):
            built.clear()
            simulate(WIDE, spread_over(nodes))
            counts[shares, nodes] = dict(built)
    assert counts[True, 3] == counts[True, 9]
    assert all(each >= 1 for each in counts[True, 3].values())
    assert len(counts[True, 3]) == 3
    assert all(counts[False, 9][name] >= 4 * each for name, each in counts[True, 9].items())


def test_a_node_that_waits_holds_one_copy_of_what_it_gave() -> None:
    """And the federation one vector in all: with the nodes, memory grows by one vector each."""
    nodes, size = [f"node {i:02}" for i in range(20)], 1 << 15

    async def program(network: Network) -> None:
        own = np.arange(float(size))
        await decide_together(network, Step("s"), [own.copy(), own.copy()], lambda _: b"")

    tracemalloc.start()
    try:
        asyncio.run(MemoryFederation(nodes).run(program))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    vector, own, words = 2 * 8 * size, 8 * size, 2 * 16 * size
    assert peak < len(nodes) * (own + vector) + 8 * words < len(nodes) * (own + 2 * vector)


def spread_over(nodes: int) -> dict[str, MemorySource]:
    """120 rows of two inputs, dealt out to the nodes."""
    x = np.random.default_rng(0).normal(size=(120, 2))
    y = np.sin(2 * x[:, 0]) + x[:, 1]
    parts = [(x[i::nodes], y[i::nodes]) for i in range(nodes)]
    return {
        f"{i:02}": MemorySource((Batch(X, np.empty((len(X), 0), dtype=object), target),))
        for i, (X, target) in enumerate(parts)
    }


def apart(*nodes: Any, **settings: Any) -> MemoryFederation:
    """A federation whose nodes share nothing."""
    return MemoryFederation(*nodes, **{**settings, "shares": False})


def content_of(model: Model) -> dict[str, bytes]:
    """The bytes of every array that a model is made of."""
    arrays = dict(model.posterior.to_arrays())
    if model.refinement is not None:
        arrays |= {f"site/{name}": each for name, each in model.refinement.to_arrays().items()}
    return {name: each.tobytes() for name, each in arrays.items()}


async def test_inside_a_running_loop() -> None:
    """As in a notebook; the loop that runs already is not disturbed."""
    before = asyncio.get_running_loop()
    assert set(simulate(SPEC, SOURCES)) == set(SOURCES)
    assert asyncio.get_running_loop() is before


def test_what_goes_wrong_is_raised_as_it_is() -> None:
    """No node goes on by itself."""
    few = {name: MemorySource((rows(3, 0),)) for name in SOURCES}
    with pytest.raises(CohortRefusedError):
        simulate(SPEC, few)
    with pytest.raises(NetworkError, match="no node"):
        simulate(SPEC, {})

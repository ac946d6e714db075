"""A run with differential privacy: one sum, with noise; and what the model says of it."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Unpack

import msgspec
import numpy as np
import pytest

from edge_node.config import (
    Column,
    ColumnKind,
    DataSpec,
    FederationSpec,
    KernelKind,
    LandmarkKind,
    Level,
    ModelSpec,
    PrivacySpec,
    Task,
    check_spec,
)
from edge_node.data.sources.source import Batch, MemorySource
from edge_node.errors import ConfigurationError, NetworkError, NumericalError
from edge_node.inference.private.release import Deviations, NoisySums
from edge_node.model.model import Model
from edge_node.model.predictions import ClassPredictions, IntervalPredictions
from edge_node.network.base import Network, Terms
from edge_node.network.memory import MemoryFederation
from edge_node.program import infer
from edge_node.program.private import infer_privately
from edge_node.program.root_decisions import read_noisy_evidence
from edge_node.security.pki.authority import Authority
from edge_node.security.privacy import discrete_gaussian
from edge_node.security.privacy.privacy_ledger import read_ledger
from edge_node.step import Step
from tests.program.test_program import part
from tests.support.mesh import Mesh
from tests.system.test_canary import Recording

COLUMNS = (
    Column(name="x", bounds=(-3.0, 3.0)),
    Column(name="z", bounds=(0.0, 10.0), missing=True),
    Column(name="kind", kind=ColumnKind.CATEGORICAL, categories=("a", "b")),
)


def spec_for(task: Task, classes: int = 2, **privacy: object) -> FederationSpec:
    """A small model of one sum."""
    regression = task is Task.REGRESSION
    labels = () if regression else tuple(f"class-{i}" for i in range(classes))
    promise = {"level": Level.RECORD, "epsilon": 4.0, "delta": 1e-6}
    promise |= {"target_bounds": (-200.0, 200.0)} if regression else {}
    spec = FederationSpec(
        name="private",
        data=DataSpec(task=task, target="y", columns=COLUMNS, classes=labels),
        model=ModelSpec(
            kernels=(KernelKind.NTK,),
            landmarks=30,
            depths=(2,),
            biases=(1.0,),
            landmark_kinds=(LandmarkKind.GAUSSIAN,),
        ),
        privacy=PrivacySpec(**(promise | privacy)),
    )
    check_spec(spec, where="test")
    return spec


def rows_for(spec: FederationSpec, rows: int, seed: int) -> Batch:
    """A function of two numbers and a category; some cells are missing, or out of bounds."""
    random = np.random.default_rng(seed)
    numeric = np.column_stack([1.5 * random.normal(size=rows), random.uniform(0, 10, rows)])
    kind = random.choice(np.array(["a", "b"], dtype=object), (rows, 1))
    signal = np.sin(numeric[:, 0]) + (numeric[:, 1] - 5) / 5 + (kind[:, 0] == "a")
    signal += 0.3 * random.normal(size=rows)
    numeric[random.random(rows) < 0.05, 1] = np.nan
    if spec.data.task is Task.REGRESSION:
        return Batch(numeric, kind, 60.0 * signal)
    edges = np.quantile(signal, np.linspace(0, 1, len(spec.data.classes) + 1)[1:-1])
    return Batch(numeric, kind, np.digitize(signal, edges).astype(float))


def learn(
    spec: FederationSpec,
    batch: Batch,
    nodes: int = 4,
    watch: Callable[[Network], Network] = lambda network: network,
    **options: object,
) -> dict[str, Model]:
    """Over so many nodes of unequal size."""
    cuts = np.cumsum(np.arange(1, nodes)) * len(batch) // (nodes * (nodes + 1) // 2)
    parts = np.split(np.arange(len(batch)), cuts)
    sources = {f"node-{i}": MemorySource((part(batch, rows),)) for i, rows in enumerate(parts)}
    federation = MemoryFederation(list(sources))
    return asyncio.run(
        federation.run(lambda net: infer(watch(net), sources[net.node], spec, **options))
    )


TASKS = [(Task.REGRESSION, 0), (Task.CLASSIFICATION, 2), (Task.CLASSIFICATION, 3)]


@pytest.mark.parametrize(("task", "classes"), TASKS)
def test_a_private_run_learns(task: Task, classes: int, tmp_path: Path) -> None:
    """The same at all nodes; far better than nothing; and it says what it promises, saved, too."""
    spec = spec_for(task, classes)
    train, test = rows_for(spec, 6000, 1), rows_for(spec, 500, 2)
    models = list(learn(spec, train).values())
    predicted = models[0].predict(test)
    if isinstance(predicted, IntervalPredictions):
        error = predicted.mean - test.target
        assert np.sqrt(np.mean(error**2)) < 0.6 * np.std(test.target)
        inside = (predicted.lower < test.target) & (test.target < predicted.upper)
        assert 0.9 < np.mean(inside) < 0.995
    else:
        labels = test.target.astype(int)
        loss = -np.mean(np.log(predicted.probabilities[np.arange(500), labels]))
        assert loss < 0.75 * np.log(classes)
    for model in models[1:]:
        np.testing.assert_allclose(model.latent(test), models[0].latent(test), rtol=1e-9)
    provenance = models[0].provenance
    assert provenance.privacy == spec.privacy
    assert (provenance.sums, provenance.traversals) == (1, 3)  # basis, release, choice
    assert abs(provenance.rows - 6000) < 200
    assert provenance.rows != 6000 or len({model.provenance.rows for model in models}) == 1
    models[0].save(tmp_path / "model.npz")
    opened = Model.load(tmp_path / "model.npz")
    assert opened.provenance == provenance
    np.testing.assert_array_equal(opened.latent(test), models[0].latent(test))


@pytest.mark.parametrize(("task", "classes"), TASKS)
def test_without_draws_any_partition_gives_the_pooled_posterior(
    task: Task, classes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sums of whole numbers are exact: what is rounded is rounded row by row."""
    monkeypatch.setattr(discrete_gaussian, "draw_integers", lambda scale, size: [0] * size)
    spec = spec_for(task, classes, curious_members=0)  # the same noise, however many share it
    batch = rows_for(spec, 2000, 3)
    (pooled,) = learn(spec, batch, nodes=1).values()
    mean, sd = pooled.latent(batch)
    for nodes in (3, 7):
        theirs = next(iter(learn(spec, batch, nodes).values())).latent(batch)
        np.testing.assert_array_equal(theirs[0], mean)
        np.testing.assert_array_equal(theirs[1], sd)


def test_nothing_of_rows_is_summed_without_noise() -> None:
    """One sum of numbers, whose noise is the spec's; all else are decisions."""
    spec = spec_for(Task.REGRESSION)
    steps: dict[str, list[tuple[str, bool]]] = {}

    class Watching(Recording):
        async def sum(self, step: Step, vector: np.ndarray, **terms: Unpack[Terms]) -> np.ndarray:
            if len(vector):
                steps.setdefault(self.node, []).append((str(step), "noise" in terms))
            return await super().sum(step, vector, **terms)

    learn(spec, rows_for(spec, 2000, 4), watch=Watching)
    assert set(map(tuple, steps.values())) == {(("release", True),)}


def test_two_runs_differ_by_noise_alone() -> None:
    """The same rows, other totals: each run draws anew."""
    spec = spec_for(Task.REGRESSION)
    batch = rows_for(spec, 2000, 5)
    first, second = (next(iter(learn(spec, batch).values())) for _ in range(2))
    assert not np.array_equal(first.latent(batch)[0], second.latent(batch)[0])
    assert first.encoder.numeric == second.encoder.numeric
    np.testing.assert_array_equal(
        first.posterior.features.landmarks, second.posterior.features.landmarks
    )


def test_at_site_level_a_site_adds_so_many_rows_at_most() -> None:
    """And the noise is as much larger, but not too large for a hundred sites."""
    spec = spec_for(Task.REGRESSION, level=Level.SITE, rows_per_site=50, epsilon=100.0)
    batch = rows_for(spec, 12_000, 6)
    model = next(iter(learn(spec, batch, nodes=100).values()))
    assert abs(model.provenance.rows - 100 * 50) < 3000
    assert model.provenance.privacy.level is Level.SITE


def test_noise_that_hides_everything_is_an_error_everywhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Three sites can't hide behind each other: the root says so, and all hear it."""
    monkeypatch.setattr(
        discrete_gaussian, "draw_integers", lambda scale, size: [-int(scale)] * size
    )
    spec = spec_for(Task.REGRESSION, level=Level.SITE, rows_per_site=50, epsilon=0.1)
    with pytest.raises(NumericalError, match=r"the noise hides all there is.*privacy.epsilon"):
        learn(spec, rows_for(spec, 300, 6), nodes=3)


async def test_over_a_tree_everybody_pays(tmp_path: Path) -> None:
    """Over mutual TLS: the same model at all nodes, a line in each ledger, and nothing else."""
    spec = spec_for(Task.REGRESSION)
    batch = rows_for(spec, 900, 7)
    parents = {"a": "", "b": "a", "c": "b"}
    sources = {
        name: MemorySource((part(batch, rows),))
        for name, rows in zip(parents, np.array_split(np.arange(900), 3), strict=True)
    }
    async with Mesh(Authority.create(tmp_path / "ca", "private"), tmp_path) as mesh:
        await mesh.start(parents)
        mesh.offer(mesh.plan(1, parents))
        models = await mesh.run(lambda network: infer(network, sources[network.node], spec))
    latents = [model.latent(batch)[0] for model in models.values()]
    np.testing.assert_array_equal(latents[0], latents[1])
    np.testing.assert_array_equal(latents[0], latents[2])
    for name in parents:
        (entry,) = read_ledger(tmp_path / name / "privacy.ledger", tmp_path / name / "privacy.head")
        assert (entry.step, entry.cohort, entry.level) == ("release", 3, Level.RECORD)
        assert entry.epsilon == pytest.approx(4.0, rel=1e-6)


def test_public_landmarks_need_no_row_either() -> None:
    """They are encoded by the bounds; a spec that names them gets them, or says so."""
    spec = spec_for(Task.REGRESSION)
    model = msgspec.structs.replace(
        spec.model, landmark_kinds=(LandmarkKind.PUBLIC,), public_landmarks_sha256=64 * "0"
    )
    spec = msgspec.structs.replace(spec, model=model)
    batch, public = rows_for(spec, 3000, 8), rows_for(spec, 40, 9)
    learnt = next(iter(learn(spec, batch, public=public).values()))
    assert learnt.provenance.landmark_kind is LandmarkKind.PUBLIC
    given = {row.tobytes() for row in learnt.encoder.encode(public)[:30]}
    assert {row.tobytes() for row in learnt.posterior.features.landmarks} <= given
    with pytest.raises(ConfigurationError, match="public landmarks are not given"):
        learn(spec, batch)


def test_the_landmark_kind_decides_whether_public_rows_are_taken() -> None:
    """Gaussian landmarks are the same whether or not somebody hands in public rows."""
    spec = spec_for(Task.REGRESSION)
    batch, public = rows_for(spec, 3000, 8), rows_for(spec, 40, 9)
    without, given = (
        next(iter(learn(spec, batch, public=rows).values())) for rows in (None, public)
    )
    assert spec.model.landmark_kinds == (LandmarkKind.GAUSSIAN,)
    np.testing.assert_array_equal(
        given.posterior.features.landmarks, without.posterior.features.landmarks
    )


def test_without_a_promise_there_is_no_private_program() -> None:
    """A caller that asks for it by name gets no other."""
    spec = msgspec.structs.replace(spec_for(Task.REGRESSION), privacy=None)
    network = MemoryFederation(["a"]).network("a")
    with pytest.raises(ConfigurationError, match=r"no `\[privacy\]`"):
        asyncio.run(infer_privately(network, MemorySource(()), spec))


def test_classes_are_predicted_by_their_names() -> None:
    """As a run without privacy does."""
    spec = spec_for(Task.CLASSIFICATION, 3)
    batch = rows_for(spec, 3000, 10)
    predicted = next(iter(learn(spec, batch).values())).predict(batch)
    assert isinstance(predicted, ClassPredictions)
    assert predicted.classes == ("class-0", "class-1", "class-2")
    np.testing.assert_allclose(predicted.probabilities.sum(axis=1), 1.0)


@pytest.mark.parametrize(
    "lie",
    [
        {"noise": 1e6},
        {"noise": -1.0},
        {"noise": 0.0},
        {"amplitude": 10.0},
        {"amplitude": float("inf")},
        {"log_evidence": None},
        {"another": 1.0},
    ],
)
def test_a_root_that_lies_ends_the_run(lie: dict[str, float | None]) -> None:
    """A noise or amplitude that can't have been found is not used."""
    noise = Deviations(*(1.0,) * 5)
    sums = NoisySums(100.0, 50.0, 10.0, np.zeros((2, 1)), 45.0 * np.eye(2), 1.0, noise)
    honest = {"log_evidence": -3.0, "noise": 0.5, "amplitude": 0.5}
    assert read_noisy_evidence(msgspec.json.encode(honest), sums, step="choice").noise == 0.5
    with pytest.raises(NetworkError, match="the root's choice can't be used"):
        read_noisy_evidence(msgspec.json.encode(honest | lie), sums, step="choice")

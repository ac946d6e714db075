"""The law: however rows are split, the posterior, given its parts, is the pooled one."""

from dataclasses import replace
from itertools import product

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from threadpoolctl import threadpool_limits

from edge_node.config import (
    Activation,
    Column,
    ColumnKind,
    DataSpec,
    FederationSpec,
    KernelKind,
    LandmarkKind,
    ModelSpec,
    SiteRefinement,
    Task,
)
from edge_node.data.sources.source import Batch, MemorySource
from edge_node.errors import ConfigurationError, DataError, NumericalError
from edge_node.inference.kernels.dense import NETWORKS
from edge_node.inference.kernels.stationary import STATIONARY
from edge_node.inference.regression.posterior import Posterior
from edge_node.model.model import Model
from edge_node.program.simulation import simulate, simulate_pooled
from edge_node.security.disclosure.allowance import Allowance

ANY = Allowance.unlimited()  # how much is told is not the question here

COLUMNS = (
    Column(name="x"),
    Column(name="time"),
    Column(name="tiny"),
    Column(name="kind", kind=ColumnKind.CATEGORICAL),
)


def spec_for(task: Task, classes: int = 2, **model: object) -> FederationSpec:
    """A small model over three numbers and a category."""
    labels = tuple(f"class-{i}" for i in range(classes)) if task is Task.CLASSIFICATION else ()
    data = DataSpec(task=task, target="y", columns=COLUMNS, classes=labels, min_rows_per_category=3)
    settings_ = {
        "landmarks": 15,
        "depths": (1, 2),
        "min_rows_per_landmark": 3,
        "site_refinement": (  # a classifier's takes seconds
            SiteRefinement.AUTO if task is Task.REGRESSION else SiteRefinement.NONE
        ),
    }
    model_ = ModelSpec(**(settings_ | model))
    return FederationSpec(name="law", data=data, model=model_, minimum_rows=0)


def rows_for(spec: FederationSpec, rows: int, seed: int) -> Batch:
    """Rows with missing cells, duplicates, ties, a time stamp and a tiny unit."""
    random = np.random.default_rng(seed)
    x = np.round(random.normal(size=rows), 1)
    numeric = np.column_stack(
        [x, 1.7e9 + random.integers(0, 9, rows), 1e-12 * random.normal(size=rows)]
    )
    numeric[random.random(numeric.shape) < 0.1] = np.nan
    numeric[: rows // 4] = numeric[rows // 4 : 2 * (rows // 4)]
    kind = random.choice(np.array(["a", "b", "ç", None], dtype=object), (rows, 1))
    signal = np.sin(x) + 0.1 * random.normal(size=rows)
    if spec.data.task is Task.REGRESSION:
        return Batch(numeric, kind, 1e6 * signal + 5e7)
    edges = np.quantile(signal, np.linspace(0, 1, len(spec.data.classes) + 1)[1:-1])
    return Batch(numeric, kind, np.digitize(signal, edges).astype(float))


def part(batch: Batch, rows: np.ndarray) -> Batch:
    """Some of a batch's rows."""
    target = None if batch.target is None else batch.target[rows]
    return Batch(batch.numeric[rows], batch.categorical[rows], target)


def sources_of(parts: list[Batch]) -> dict[str, MemorySource]:
    """One node a part."""
    return {f"node-{i:02d}": MemorySource((each,)) for i, each in enumerate(parts)}


def learn(
    spec: FederationSpec, parts: list[Batch], public: Batch | None = None
) -> dict[str, Model]:
    """One node a part."""
    return simulate(spec, sources_of(parts), public=public, allowance=ANY)


def learn_pooled(spec: FederationSpec, parts: list[Batch], public: Batch | None = None) -> Model:
    """One machine with all rows that these nodes give, and their parts."""
    return simulate_pooled(spec, sources_of(parts), public=public, allowance=ANY)


def assert_same(models: list[Model], pooled: Model, queries: Batch) -> None:
    """Mean and sd to 1e-8 relative, the same choices, and the same scores of held-out rows."""
    mean, sd = pooled.latent(queries)
    for model in models:
        theirs = model.latent(queries)
        np.testing.assert_allclose(theirs[0], mean, rtol=1e-8, atol=1e-8 * np.abs(mean).max())
        np.testing.assert_allclose(theirs[1], sd, rtol=1e-8)
        assert model.provenance.kernel == pooled.provenance.kernel
        assert model.provenance.landmark_kind == pooled.provenance.landmark_kind
        assert model.encoder == pooled.encoder
        if isinstance(pooled.posterior, Posterior):
            assert isinstance(model.posterior, Posterior)
            ours, exact = (each.posterior.calibration.scores for each in (model, pooled))
            np.testing.assert_allclose(ours.pack(), exact.pack(), rtol=1e-7)


KERNELS = [
    *product(NETWORKS, Activation),
    *((kind, Activation.RELU) for kind in STATIONARY),  # which has no activation
]
TASKS = [(Task.REGRESSION, 0), (Task.CLASSIFICATION, 2), (Task.CLASSIFICATION, 3)]


@pytest.mark.parametrize(("task", "classes"), TASKS)
@settings(max_examples=4, deadline=None, suppress_health_check=list(HealthCheck))
@given(nodes=st.integers(1, 16), seed=st.integers(0, 2**32 - 1))
def test_any_partition_gives_the_pooled_posterior(
    task: Task, classes: int, nodes: int, seed: int
) -> None:
    """Over 1 to 16 nodes, in any order of rows, with sites of any size; and with two threads."""
    spec = spec_for(task, classes)
    batch = rows_for(spec, 60, seed)
    random = np.random.default_rng(seed)
    owners = random.integers(0, nodes, len(batch))
    order = random.permutation(len(batch))
    parts = [part(batch, order[owners[order] == node]) for node in range(nodes)]
    parts = [each for each in parts if len(each)]
    pooled = learn_pooled(spec, parts)
    with threadpool_limits(2, user_api="blas"):
        models = learn(spec, parts)
    assert_same(list(models.values()), pooled, part(rows_for(spec, 60, seed + 1), np.arange(20)))


@pytest.mark.parametrize(("kernel", "activation"), KERNELS)
def test_every_kernel_is_exact(kernel: KernelKind, activation: Activation) -> None:
    """Smooth kernels' matrices are ill-conditioned; the pruned basis keeps them exact."""
    spec = spec_for(Task.REGRESSION, kernels=(kernel,), activations=(activation,), landmarks=40)
    batch = rows_for(spec, 80, 7)
    parts = [part(batch, rows) for rows in np.array_split(np.arange(80), [1, 2, 30])]
    assert_same(list(learn(spec, parts).values()), learn_pooled(spec, parts), batch)


@pytest.mark.parametrize("task", [Task.REGRESSION, Task.CLASSIFICATION])
def test_public_landmarks_give_the_pooled_posterior(task: Task) -> None:
    """As other kinds do; they are the given rows, the first of them if there are too many."""
    kinds = (LandmarkKind.PUBLIC,)
    digest = 64 * "0"  # who reads the file compares it
    spec = spec_for(
        task, landmark_kinds=kinds, public_landmarks_sha256=digest, metric_repetitions=0
    )
    batch, public = rows_for(spec, 60, 5), rows_for(spec, 20, 6)
    parts = [part(batch, rows) for rows in np.array_split(np.arange(60), [1, 30])]
    pooled = learn_pooled(spec, parts, public)
    assert_same(list(learn(spec, parts, public).values()), pooled, batch)
    assert pooled.provenance.landmark_kind is LandmarkKind.PUBLIC
    given = {row.tobytes() for row in pooled.encoder.encode(public)[:15]}
    assert {row.tobytes() for row in pooled.posterior.features.landmarks} <= given
    with pytest.raises(ConfigurationError, match="public landmarks are not given"):
        learn(spec, [batch])


def test_auto_tries_every_kind_there_is() -> None:
    """Public landmarks where the function varies win; ones from far away lose, without a trace."""
    spec = spec_for(Task.REGRESSION, depths=(1,), metric_repetitions=0)
    batch = rows_for(spec, 60, 7)
    far = replace(batch, numeric=np.full_like(batch.numeric, 3e10))
    model = msgspec.structs.replace(spec.model, public_landmarks_sha256=64 * "0")
    (without,) = learn(spec, [batch]).values()
    among = msgspec.structs.replace(spec, model=model)
    (lost,) = learn(among, [batch], far).values()
    assert_same([lost], without, batch)
    assert lost.provenance.landmark_kind is not LandmarkKind.PUBLIC
    (won,) = learn(among, [batch], part(batch, np.arange(30, 45))).values()
    assert won.provenance.landmark_kind is LandmarkKind.PUBLIC


def test_a_class_absent_at_a_site_and_a_site_with_one_row() -> None:
    """What averaging of models can't do: it costs nothing here.

    The one row stays at home: a sum over the rows of its class would be it.
    """
    spec = spec_for(Task.CLASSIFICATION)
    batch = rows_for(spec, 60, 3)
    order = np.argsort(batch.target, kind="stable")
    parts = [part(batch, rows) for rows in np.split(order, [1, 30])]
    pooled = learn_pooled(spec, parts)
    assert pooled.provenance.rows == 59
    assert_same(list(learn(spec, parts).values()), pooled, batch)


def test_nothing_to_learn_is_refused_by_name() -> None:
    """A constant target; a class without rows; a single row."""
    regression, classification = spec_for(Task.REGRESSION), spec_for(Task.CLASSIFICATION)
    batch = rows_for(regression, 20, 0)
    constant = replace(batch, target=np.full(20, 3.25))
    with pytest.raises(DataError, match=r"column 'y'.*constant.*one value in every row"):
        learn(regression, [constant])
    with pytest.raises(NumericalError, match="at least two classes"):
        learn(classification, [replace(batch, target=np.zeros(20))])
    with pytest.raises(DataError, match="too few rows"):
        learn(regression, [part(batch, np.arange(1))])


def test_the_model_says_where_it_comes_from() -> None:
    """Cohort by step, sums and traversals, and the share that landmarks don't cover."""
    spec = spec_for(Task.REGRESSION)
    batch = rows_for(spec, 80, 1)
    models = learn(spec, [part(batch, rows) for rows in np.array_split(np.arange(80), 3)])
    provenance = models["node-01"].provenance
    assert provenance.cohort == ("node-00", "node-01", "node-02")
    assert provenance.rows == 80
    # counts, labels, means, spread, screen, statistics, residuals, gradients, statistics (no
    # better), k-means, posterior, calibration; the bases of the landmarks are no sums
    assert provenance.sums == 12
    # decisions ride in the sums' records
    assert provenance.traversals == len(provenance.cohorts)
    assert 0 <= provenance.uncovered_share <= 1
    assert provenance.spec_hash == spec.digest().hex()


def test_the_spec_hash_ignores_nothing() -> None:
    """Any change of a value is another federation."""
    spec = spec_for(Task.REGRESSION)
    other = msgspec.structs.replace(spec, minimum_nodes=4)
    assert spec.digest() != other.digest()

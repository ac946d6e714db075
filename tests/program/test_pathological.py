"""Difficult data, the whole program: the pooled posterior to 1e-8, or an error that says what."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_node.arrays import Matrix, Vector
from edge_node.config import (
    Column,
    DataSpec,
    FederationSpec,
    Floors,
    KernelKind,
    ModelSpec,
    Task,
    Which,
)
from edge_node.data.sources.source import Batch, MemorySource
from edge_node.errors import DataError, NumericalError, TangentMeshError
from edge_node.model.model import Model
from edge_node.model.predictions import ClassPredictions, IntervalPredictions
from edge_node.program.simulation import simulate, simulate_pooled
from edge_node.security.disclosure.allowance import Allowance

ANY = Allowance.unlimited()  # how much is told is not the question here

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(60, 3))
SMOOTH = np.sin(2 * X[:, 0]) + X[:, 1]
Y = SMOOTH + 0.1 * RANDOM.normal(size=60)
LABELS = (X[:, 0] > 0).astype(float)


def spec_for(inputs: int, classes: int = 0, **model: object) -> FederationSpec:
    """A small model; regression unless there are classes."""
    columns = tuple(Column(name=f"x{i}") for i in range(inputs))
    task = Task.CLASSIFICATION if classes else Task.REGRESSION
    labels = tuple(f"class-{i}" for i in range(classes))
    small = {
        "landmarks": 20,
        "depths": (1,),
        "biases": (1.0,),
        "min_rows_per_landmark": 1,
        "kmeans_iterations": 1,
        "metric_repetitions": 1,
        "site_rows": 40,
        "site_block_rows": 15,
    }
    data = DataSpec(task=task, target="y", columns=columns, classes=labels, min_rows_per_category=1)
    return FederationSpec(
        name="difficult", data=data, model=ModelSpec(**(small | model)), minimum_rows=0
    )


def batch_of(inputs: Matrix, target: Vector) -> Batch:
    """Numeric columns only."""
    numeric = np.ascontiguousarray(inputs, dtype=np.float64)
    return Batch(numeric, np.empty((len(numeric), 0), dtype=object), np.asarray(target, float))


def learn(spec: FederationSpec, parts: Sequence[tuple[Matrix, Vector]]) -> list[Model]:
    """One node a part. They give all they have: few rows are difficult, too."""
    return list(simulate(spec, sources_of(parts), floors=Floors.none(), allowance=ANY).values())


def sources_of(parts: Sequence[tuple[Matrix, Vector]]) -> dict[str, MemorySource]:
    """One node a part."""
    return {f"node-{i:02d}": MemorySource((batch_of(*part),)) for i, part in enumerate(parts)}


def spread(inputs: Matrix, target: Vector, sites: int = 4) -> list[tuple[Matrix, Vector]]:
    """A site without rows, one with a single row, and others."""
    order = np.random.default_rng(1).permutation(len(inputs))
    cuts = [0, 1, *(len(inputs) * i // (sites - 1) for i in range(2, sites - 1))]
    return [(inputs[rows], target[rows]) for rows in np.split(order, cuts)]


def assert_right(
    spec: FederationSpec, inputs: Matrix, target: Vector, queries: Matrix, close: float = 1e-8
) -> Model:
    """Federated is pooled; predictions are finite, with positive variances, whoever answers."""
    batch = batch_of(queries, np.zeros(len(queries)))
    parts = spread(inputs, target)
    pooled = simulate_pooled(spec, sources_of(parts), floors=Floors.none(), allowance=ANY)
    mean, sd = pooled.latent(batch)
    for model in learn(spec, parts):
        theirs = model.latent(batch)
        scale = np.abs(mean).max() + sd.max()
        np.testing.assert_allclose(theirs[0], mean, rtol=close, atol=close * scale)
        np.testing.assert_allclose(theirs[1], sd, rtol=close)
        assert_proper(model, batch)
    assert_proper(pooled, batch)
    return pooled


def assert_proper(model: Model, batch: Batch) -> None:
    """Finite numbers, positive deviations, probabilities that add up."""
    every = (Which.AUTO, Which.GLOBAL, *([Which.SITE] if model.refinement else []))
    for which in every:
        found = model.predict(batch, which=which)
        if isinstance(found, ClassPredictions):
            assert np.isfinite(found.probabilities).all()
            assert (found.probabilities >= 0).all()
            np.testing.assert_allclose(found.probabilities.sum(axis=1), 1.0)
        else:
            assert np.isfinite([found.mean, found.sd, found.lower, found.upper]).all()
            assert (found.sd > 0).all()


def once(values: Vector, row: int, value: float) -> Vector:
    """A copy with one number changed."""
    changed = values.copy()
    changed[row] = value
    return changed


REPEATED = np.repeat(X[:8], 10, axis=0)
REGRESSIONS = {
    "plain": (X, Y),
    "duplicates": (REPEATED, np.repeat(Y[:8], 10)),
    "duplicates that contradict each other": (REPEATED, RANDOM.normal(size=80)),
    "one row differs": (np.repeat(X[:2], [50, 1], axis=0), RANDOM.normal(size=51)),
    "two values": (LABELS[:, None], Y),
    "fewer rows than landmarks": (X[:7], Y[:7]),
    "two rows": (X[:2], Y[:2]),
    "collinear": (np.column_stack([X[:, 0], 2 * X[:, 0] + 1, -3e5 * X[:, 0]]), Y),
    "a constant input": (np.column_stack([X[:, :2], np.full(60, 3.0)]), Y),
    "an empty column": (np.column_stack([X[:, :2], np.full(60, np.nan)]), Y),
    "one target differs": (X, np.eye(60)[3]),
    "opposite targets in duplicates": (np.repeat(X, 2, axis=0), np.kron(np.eye(60)[0], [1, -1])),
    "without noise": (X, SMOOTH),
    "linear": (X, X @ [1.0, 2.0, 3.0]),
    "an outlying row": (np.vstack([X, np.full(3, 1e12)]), np.append(Y, 0.0)),
    "an outlying target": (X, once(Y, 3, 1e12)),
    "tiny and huge": (X * [1e-12, 1.0, 1e12], 1e-12 * Y),
    "to the end": (X * [1e-100, 1.0, 1e100], 1e-100 * Y),
    "far from zero": (X + 1e9, Y + 1e9),
}


@pytest.mark.parametrize("name", REGRESSIONS)
def test_difficult_regressions_are_exact(name: str) -> None:
    """At the rows themselves, and far outside."""
    inputs, target = REGRESSIONS[name]
    queries = np.vstack([inputs, 1e6 * inputs[:5]])
    assert_right(spec_for(inputs.shape[1]), inputs, target, queries)


@pytest.mark.parametrize("kind", [KernelKind.NTK, KernelKind.MATERN32, KernelKind.RBF])
def test_many_duplicates_without_noise(kind: KernelKind) -> None:
    """What is left of the targets is less than rounding: taken for what can be told from it.

    Far from the three rows that all are, rounding counts n / s2 times: 1e9 here.
    """
    inputs = np.repeat(X[:3], 300, axis=0)
    spec = spec_for(3, kernels=(kind,))
    model = assert_right(spec, inputs, inputs[:, 0], X, close=2e-6)
    found = model.predict(batch_of(inputs, inputs[:, 0]))
    assert isinstance(found, IntervalPredictions)
    np.testing.assert_allclose(found.mean, inputs[:, 0], atol=1e-4)
    assert found.sd.max() < 1e-2


CLASSIFICATIONS = {
    "separable": (X, LABELS, 2),
    "three, ordered": (X, LABELS + (X[:, 0] > 1), 3),
    "duplicates that contradict each other": (REPEATED, np.tile([0.0, 1.0], 40), 2),
    "a class with one row": (X, np.eye(60)[3], 2),
    "two classes with one row": (X, np.eye(60)[3] + 2 * np.eye(60)[4], 3),
    "fewer rows than landmarks": (X[:5], np.array([0.0, 1.0, 0.0, 1.0, 1.0]), 2),
    "two rows": (X[:2], np.array([0.0, 1.0]), 2),
    "two values": (LABELS[:, None], LABELS, 2),
    "tiny and huge": (X * [1e-12, 1.0, 1e12], LABELS, 2),
}


@pytest.mark.parametrize("name", CLASSIFICATIONS)
def test_difficult_classifications_are_exact(name: str) -> None:
    """Sites that lack a class, or all but one row, among them."""
    inputs, target, classes = CLASSIFICATIONS[name]
    queries = np.vstack([inputs, 1e6 * inputs[:5]])
    spec = spec_for(inputs.shape[1], classes, newton_steps=5)
    close = 1e-7 if "contradict" in name else 1e-8  # ten rows pull each of eight points both ways
    assert_right(spec, inputs, target, queries, close)


REFUSALS = {
    "constant inputs": (np.ones((9, 3)), Y[:9], "every input is constant"),
    "constant target": (X, np.full(60, 2.0), "column 'y'.*constant.*one value in every row"),
    "one row": (X[:1], Y[:1], "too few rows"),
    "an infinite cell": (once(X, (3, 1), np.inf), Y, "'x1'.*too large.*found 1 larger"),
    "an infinite target": (X, once(Y, 3, -np.inf), "column 'y'.*too large.*found 1 larger"),
    "a missing target": (X, once(Y, 3, np.nan), "column 'y'.*no target"),
    "beyond 1e120": (once(X, (3, 2), 1e130), Y, "'x2'.*too large.*found 1 larger"),
    "less than the digits": (X, Y + 1e16, "column 'y'.*constant"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_what_cannot_be_learned_is_refused_by_name(name: str) -> None:
    """With the column; never a cell's value, since a node reports why it refuses."""
    inputs, target, message = REFUSALS[name]
    with pytest.raises(DataError, match=message):
        learn(spec_for(3), [(inputs, target)])


def test_classes_that_cannot_be_learned_are_refused_by_name() -> None:
    """Fewer than two that rows have, and one that the schema doesn't."""
    with pytest.raises(NumericalError, match=r"at least two classes .found rows of 1"):
        learn(spec_for(3, 3), [(X, np.ones(60))])
    with pytest.raises(DataError, match=r"column 'y'.*index of one of 2.*rows without"):
        learn(spec_for(3, 2), [(X, LABELS + 1)])


def test_a_class_without_rows_stays_possible() -> None:
    """The third has no row at any node: the model says so, and gives it little."""
    (model,) = learn(spec_for(3, 3), [(X, LABELS)])
    assert model.encoder.warnings == ("no site has enough rows of class 'class-2'",)
    found = model.predict(batch_of(X, LABELS))
    assert isinstance(found, ClassPredictions)
    assert 0 < found.probabilities[:, 2].max() < 0.1


def test_a_query_far_away_counts_as_being_at_the_end_of_the_range() -> None:
    """However far."""
    (model,) = learn(spec_for(3), [(X * [1e-100, 1.0, 1.0], Y)])
    far, farther = (batch_of(np.array([[x, 0.0, 0.0]]), np.zeros(1)) for x in (1e60, 1e110))
    assert_proper(model, far)
    assert model.predict(far).rows() == model.predict(farther).rows()


@settings(max_examples=4, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    column=st.integers(0, 2),
    inputs=st.integers(-12, 12),
    target=st.integers(-12, 12),
    seed=st.integers(0, 99),
)
def test_units_do_not_matter(column: int, inputs: int, target: int, seed: int) -> None:
    """A column or target in another unit: the same predictions, in that unit."""
    random = np.random.default_rng(seed)
    A, units = random.normal(size=(120, 3)), np.ones(3)
    y = np.sin(2 * A[:, 0]) + 0.2 * random.normal(size=120)
    units[column], unit = 10.0**inputs, 10.0**target
    spec = spec_for(3, min_rows_per_landmark=2)  # a kernel has a kink at a row
    (plain,), (scaled,) = learn(spec, [(A, y)]), learn(spec, [(A * units, unit * y)])
    Q = 1.5 * random.normal(size=(20, 3))
    expected = plain.predict(batch_of(Q, np.zeros(20)))
    found = scaled.predict(batch_of(Q * units, np.zeros(20)))
    assert isinstance(expected, IntervalPredictions)
    assert isinstance(found, IntervalPredictions)
    np.testing.assert_allclose(found.mean / unit, expected.mean, rtol=1e-8, atol=2e-8)
    np.testing.assert_allclose(found.sd / unit, expected.sd, rtol=2e-8)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 2**32 - 1), classes=st.sampled_from([0, 2]))
def test_right_or_refused(seed: int, classes: int) -> None:
    """Few rows, few values, any scale, missing cells: right, or an error of our own."""
    random = np.random.default_rng(seed)
    rows, inputs = random.integers(1, 40), random.integers(1, 4)
    A = np.round(random.normal(size=(rows, inputs)), random.integers(0, 3))
    A = A * 10.0 ** random.integers(-12, 13, inputs) + random.choice([0.0, 1.0, 1e6], inputs)
    A[random.random(A.shape) < random.choice([0.0, 0.3, 0.9])] = np.nan
    y = np.round(random.normal(size=rows), random.integers(0, 3))
    y = (y > 0).astype(float) if classes else y * 10.0 ** random.integers(-12, 13)
    refused: TangentMeshError | None = None
    try:
        assert_right(spec_for(int(inputs), classes, newton_steps=3), A, y, A)
    except (DataError, NumericalError) as error:
        refused = error
    assert refused is None or refused.found  # what was wrong, by name

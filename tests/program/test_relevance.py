"""Inputs that matter are found among many that don't, by a whole federation."""

import msgspec
import numpy as np
import pytest

from edge_node.arrays import Matrix, Vector
from edge_node.config import Column, DataSpec, FederationSpec, ModelSpec, Task
from edge_node.data.sources.source import Batch, MemorySource
from edge_node.errors import CohortRefusedError
from edge_node.inference.features.metric import kept_inputs
from edge_node.model.model import Model
from edge_node.model.predictions import ClassPredictions, IntervalPredictions
from edge_node.program.plan import allowances, planning
from edge_node.program.simulation import simulate, simulate_parts, simulate_pooled

SITES, TEST = 4, 300


CLASSES = {Task.CLASSIFICATION: ("no", "yes"), Task.ORDINAL: ("low", "middle", "high")}


def spec_for(inputs: int, task: Task = Task.REGRESSION) -> FederationSpec:
    """Numeric columns; two classes for a classifier."""
    data = DataSpec(
        task=task,
        target="y",
        columns=tuple(Column(name=f"x{i}") for i in range(inputs)),
        classes=CLASSES.get(task, ()),
        event="seen" if task is Task.SURVIVAL else "",
    )
    return FederationSpec(name="relevance", data=data, model=ModelSpec(landmarks=150, depths=(1,)))


def sources(X: Matrix, y: Vector) -> dict[str, MemorySource]:
    """The rows without the last ones, over four sites in turn."""
    X, y = X[:-TEST], y[:-TEST]
    return {f"site-{i}": MemorySource((batch(X[i::SITES], y[i::SITES]),)) for i in range(SITES)}


def batch(X: Matrix, y: Vector) -> Batch:
    """Rows without categories."""
    return Batch(X, np.empty((len(X), 0), dtype=object), y)


def rmse(model: Model, X: Matrix, y: Vector) -> float:
    """On the last rows, in units of the target's sd."""
    answers = model.predict(batch(X[-TEST:], y[-TEST:]))
    assert isinstance(answers, IntervalPredictions)
    return float(np.sqrt(np.mean((answers.mean - y[-TEST:]) ** 2)) / y.std())


def products(inputs: int = 32, rows: int = 1000) -> tuple[Matrix, Vector]:
    """Two products of two inputs each."""
    random = np.random.default_rng(0)
    X = random.normal(size=(rows + TEST, inputs))
    return X, X[:, 0] * X[:, 1] + X[:, 2] * X[:, 3] + 0.1 * random.normal(size=len(X))


def test_products_of_two_inputs_are_found_among_32(monkeypatch: pytest.MonkeyPatch) -> None:
    """Under the default ceiling. Without a look at the inputs first, nothing is learnt."""
    X, y = products()
    model = simulate(spec_for(32), sources(X, y))["site-0"]
    assert kept_inputs(model.posterior.features.metric, 32) == [0, 1, 2, 3]
    assert rmse(model, X, y) < 0.3
    monkeypatch.setattr(planning, "FEWEST_SCREENED", 1000)
    assert rmse(simulate(spec_for(32), sources(X, y))["site-0"], X, y) > 0.9


def test_a_federation_is_pooled_rows_with_the_same_inputs_kept() -> None:
    """The inputs that are kept are a part of the model: they may depend on the split."""
    X, y = products(rows=600)
    parts = simulate_parts(spec_for(32), sources(X, y))
    assert parts.kept == (0, 1, 2, 3)
    federated = simulate(spec_for(32), sources(X, y))["site-0"]
    pooled = simulate_pooled(spec_for(32), sources(X, y))
    for here, there in zip(federated.latent(batch(X, y)), pooled.latent(batch(X, y)), strict=True):
        np.testing.assert_allclose(here, there, rtol=1e-6, atol=1e-7)


def test_one_input_of_200_is_found_under_the_default_ceiling() -> None:
    """800 rows at four sites; products of the columns would cost more than a third of it."""
    random = np.random.default_rng(1)
    X = random.normal(size=(800 + TEST, 200))
    y = np.sin(2 * X[:, 17]) + 0.1 * random.normal(size=len(X))
    model = simulate(spec_for(200), sources(X, y))["site-0"]
    assert kept_inputs(model.posterior.features.metric, 200) == [17]
    assert rmse(model, X, y) < 0.25
    bill = model.provenance.bill
    assert bill is not None
    assert bill.steps["spread"] < 2000


def test_a_class_that_one_input_of_many_decides_is_found() -> None:
    """An even function of it: a linear model sees nothing."""
    random = np.random.default_rng(2)
    X = random.normal(size=(800 + TEST, 60))
    y = (np.abs(X[:, 5]) > 0.67).astype(float)
    model = simulate(spec_for(60, Task.CLASSIFICATION), sources(X, y))["site-0"]
    answers = model.predict(batch(X[-TEST:], y[-TEST:]))
    assert isinstance(answers, ClassPredictions)
    assert np.mean(answers.probabilities.argmax(axis=1) == y[-TEST:]) > 0.95


def test_columns_of_few_values_are_not_looked_at_but_kept() -> None:
    """A sum over a flag would be a sum over a group: of a regression's targets, or of classes."""
    X, y = products(rows=600)
    X[:, 20] = X[:, 20] > 1
    parts = simulate_parts(spec_for(32), sources(X, y))
    assert parts.kept == (0, 1, 2, 3, 20)


def test_many_columns_in_few_rows_refuse_no_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """And an input that matters is found. The control sums products of columns."""
    random = np.random.default_rng(3)
    X = random.normal(size=(156 + TEST, 60))
    y = (X[:, 0] > 0).astype(float)
    spec = msgspec.structs.replace(spec_for(60, Task.CLASSIFICATION), most_told=0.35)
    model = simulate(spec, sources(X, y))["site-0"]
    assert kept_inputs(model.posterior.features.metric, 60) == [0]
    assert model.provenance.bill is not None
    assert model.provenance.bill.steps["spread"] < 400
    monkeypatch.setattr(allowances, "_PRODUCTS_SHARE", np.inf)
    with pytest.raises(CohortRefusedError, match=r"too little|so many numbers"):
        simulate(spec, sources(X, y))

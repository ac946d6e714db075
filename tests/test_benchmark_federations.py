"""Federations in benchmarks tell what daemons would tell, and are refused where they would be."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks import classifiers
from benchmarks.accuracy import Setting
from benchmarks.accuracy.cases import Case
from benchmarks.accuracy.ours import answer
from benchmarks.datasets import Problem
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
from edge_node.program.simulation import simulate

QUICK = ModelSpec(
    kernels=(KernelKind.NNGP,),
    depths=(1,),
    biases=(1.0,),
    metric_repetitions=0,
    site_refinement=SiteRefinement.NONE,
)
SITES = np.repeat(np.array(["bern", "oslo", "pisa"], dtype=object), 240)


def batch(flags: int, classes: tuple[str, ...], rare: float) -> Batch:
    """720 rows of four inputs, of which some have two values; ``rare`` are of the second class."""
    random = np.random.default_rng(0)
    X = random.normal(size=(len(SITES), 4))
    X[:, :flags] = X[:, :flags] > 0
    y = X.sum(axis=1) + 0.1 * random.normal(size=len(X))
    y = (y > np.quantile(y, 1 - rare)).astype(float) if classes else y
    return Batch(X, np.empty((len(X), 0), dtype=object), y)


def schema(classes: tuple[str, ...]) -> DataSpec:
    """Of such rows."""
    columns = tuple(Column(name=f"x{i}") for i in range(4))
    task = Task.CLASSIFICATION if classes else Task.REGRESSION
    return DataSpec(task=task, target="y", columns=columns, classes=classes)


def landmarks(
    flags: int = 0, classes: tuple[str, ...] = (), rare: float = 0.5
) -> tuple[int, int | None]:
    """How many a benchmark's federation has, and a simulated one of the same rows."""
    rows = batch(flags, classes, rare)
    problem = Problem("made", schema(classes), rows, (), SITES)
    case = Case(problem, rows, rows, SITES, SITES, Setting(model=QUICK))
    _, facts = answer("federated", case)
    sources = {site: MemorySource((part,)) for site, part in case.parts.items()}
    model = simulate(FederationSpec(name="made", data=problem.data, model=QUICK), sources)["oslo"]
    return facts["landmarks"], model.provenance.landmarks


def test_columns_of_few_values_cost_a_benchmarks_federation_landmarks() -> None:
    """As many as a federation's own nodes would lose; the control's columns have many values."""
    few, many = landmarks(flags=3), landmarks()
    assert few[0] == few[1]
    assert many[0] == many[1]
    assert few[0] < 0.8 * many[0]


def test_a_small_class_costs_a_benchmarks_federation_landmarks() -> None:
    """The control's classes have equal shares."""
    rare, even = (landmarks(classes=("low", "high"), rare=share) for share in (0.03, 0.5))
    assert rare[0] == rare[1]
    assert even[0] == even[1]
    assert rare[0] < 0.8 * even[0]


def test_a_federation_that_is_refused_has_a_reason_and_no_figures(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its peers have theirs. The control, of the same rows at the same sites, has figures."""
    cases = {}
    for name, flags, rows in (("refused", 4, slice(None, None, 12)), ("control", 0, slice(None))):
        found = batch(flags, ("low", "high"), 0.5)
        chosen = Batch(found.numeric[rows], found.categorical[rows], found.target[rows])
        case = classifiers.Case(schema(("low", "high")), chosen, SITES[rows], chosen, SITES[rows])
        cases[name] = lambda *_, case=case: case
    monkeypatch.setattr(classifiers, "CASES", cases)
    rows = list(classifiers.measure_classifiers([*cases], Path(), splits=1, model=QUICK))
    refused, control = ({row["way"]: row for row in rows if row["set"] == name} for name in cases)
    assert set(refused) == set(control) == {"shared", "site", "alone", "logistic", "boosting"}
    for way in ("shared", "site"):
        assert "may tell too little" in refused[way]["refused"]
        assert "accuracy" not in refused[way]
        assert control[way]["accuracy"] > 0.9
    assert refused["boosting"]["accuracy"] > 0.5
    first, second = classifiers.wins(rows)
    assert first["shared"] == first["site"] == "refused"
    assert "/" in first["boosting"]
    assert "/" in second["shared"]

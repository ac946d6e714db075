"""Which metric is kept: one that explains more than its own numbers do."""

import numpy as np
import pytest

from edge_node.arrays import Matrix, Vector
from edge_node.config import Column, DataSpec, FederationSpec, ModelSpec, Task
from edge_node.data.sources.source import Batch, MemorySource
from edge_node.inference.features.metric import MetricKind
from edge_node.program.simulation import simulate

INPUTS = 12


def metric(target: Vector, X: Matrix) -> Matrix | None:
    """The one that is learnt from the rows."""
    spec = FederationSpec(
        name="choice",
        data=DataSpec(
            task=Task.REGRESSION,
            target="y",
            columns=tuple(Column(name=f"x{i}") for i in range(INPUTS)),
        ),
        model=ModelSpec(landmarks=30, depths=(1,), biases=(1.0,)),
    )
    source = MemorySource((Batch(X, np.empty((len(X), 0), dtype=object), target),))
    return simulate(spec, {"one": source})["one"].posterior.features.metric


def problem(seed: int) -> tuple[Matrix, Vector]:
    """Few rows; a target that depends on no input more than on another."""
    random = np.random.default_rng(seed)
    X = random.normal(size=(80, INPUTS))
    return X, X.sum(axis=1) + 3.0 * random.normal(size=80)


def test_a_metric_that_only_fits_the_noise_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: without the penalty the evidence takes it, as it has seen the same rows."""
    X, y = problem(0)
    assert metric(y, X) is None
    monkeypatch.setattr(MetricKind, "parameters", lambda self, inputs: 0)
    assert metric(y, X) is not None


def test_a_metric_that_explains_the_target_is_kept() -> None:
    """With few rows it is diagonal; the input that matters has most of it."""
    X, _ = problem(1)
    found = metric(np.tanh(X[:, 3]), X)
    assert found is not None
    assert (np.count_nonzero(found, axis=1) == 1).all()
    assert np.square(found).sum(axis=0).argmax() == 3

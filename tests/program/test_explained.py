"""A model says how much it explains, and that it has learnt nothing where that is so."""

import numpy as np
import pytest

from edge_node.arrays import Vector
from edge_node.config import Task
from edge_node.program.simulation import simulate
from tests.program.test_relevance import TEST, batch, rmse, sources, spec_for

INPUTS = 6


def targets(noise: float) -> tuple[np.ndarray, Vector]:
    """A function of one input, and noise."""
    random = np.random.default_rng(0)
    X = random.normal(size=(600 + TEST, INPUTS))
    return X, np.sin(2 * X[:, 0]) + noise * random.normal(size=len(X))


def of_task(y: Vector, task: Task) -> Vector:
    """Numbers of variance one, as a task's targets."""
    match task:
        case Task.CLASSIFICATION:
            return (y > 0).astype(float)
        case Task.ORDINAL:
            return np.digitize(y, [-0.5, 0.5]).astype(float)
        case Task.COUNT:
            return np.rint(np.exp(1 + y))
        case Task.SURVIVAL:
            return np.exp(y)
        case _:
            return y


@pytest.mark.parametrize("noise", [0.2, 1.0])
def test_the_share_that_is_explained_is_that_of_new_rows(noise: float) -> None:
    """Not of the rows that were learnt from; and there is nothing to warn of."""
    X, y = targets(noise)
    model = simulate(spec_for(INPUTS), sources(X, y))["site-0"]
    explained = model.provenance.explained
    assert explained is not None
    assert abs(explained - (1 - rmse(model, X, y) ** 2)) < 0.15
    assert model.predict(batch(X, y)).warnings == ()


@pytest.mark.parametrize("task", list(Task))
def test_a_model_of_noise_says_that_it_has_learnt_nothing(
    task: Task, caplog: pytest.LogCaptureFixture
) -> None:
    """In the log, in the provenance, and with each prediction. The control has a signal."""
    for noise, warned in ((1e3, 1), (0.3, 0)):
        X, y = targets(noise)
        y = of_task(y / y.std(), task)
        caplog.clear()
        model = simulate(spec_for(INPUTS, task), sources(X, y))["site-0"]
        assert len(model.provenance.warnings) == warned
        warnings = model.predict(batch(X[:5], y[:5])).warnings
        assert warnings == model.provenance.warnings
        assert caplog.text.count("learnt nothing") == 4 * warned
        assert model.provenance.explained is not None
        assert (model.provenance.explained < 0.02) == bool(warned)


def test_a_class_that_is_predicted_for_none_of_many_rows_is_named() -> None:
    """A tenth of the rows have it, at random. The control has a class that inputs decide."""
    random = np.random.default_rng(4)
    X = random.normal(size=(600 + TEST, INPUTS))
    rare = (random.random(len(X)) < 0.1).astype(float)
    for y, named in ((rare, True), ((X[:, 0] > 1.3).astype(float), False)):
        model = simulate(spec_for(INPUTS, Task.CLASSIFICATION), sources(X, y))["site-0"]
        found = model.predict(batch(X, y)).warnings
        assert (
            any("class 'yes' is predicted for none of 900 rows" in each for each in found) is named
        )
        assert not any(
            "is predicted" in each for each in model.predict(batch(X[:9], y[:9])).warnings
        )
        halves = [batch(X[rows], y[rows]) for rows in np.array_split(np.argsort(X[:, 0]), 2)]
        assert model.predict_all(halves).warnings == found, "of all rows, in whatever order"


def test_outliers_among_targets_hide_nothing_that_is_explained() -> None:
    """The share is that of the targets which aren't outliers; one in thirty is."""
    X, y = targets(0.2)
    wild = y.copy()
    random = np.random.default_rng(1)
    where = random.choice(len(y), len(y) // 30, replace=False)
    wild[where] += random.choice([-1, 1], len(where)) * random.uniform(20, 60, len(where))
    model = simulate(spec_for(INPUTS), sources(X, wild))["site-0"]
    assert "cleaned/1" in model.provenance.cohorts
    assert model.provenance.explained is not None
    assert model.provenance.explained > 0.7
    assert model.provenance.warnings == ()

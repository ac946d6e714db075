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
        assert model.predict(batch(X, y)).warnings == model.provenance.warnings
        assert caplog.text.count("learnt nothing") == 4 * warned
        assert model.provenance.explained is not None
        assert (model.provenance.explained < 0.02) == bool(warned)

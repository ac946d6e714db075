"""A classifier's steps over a network: what each tells, and how many may be taken."""

import asyncio

import numpy as np
import pytest

from edge_node.config import Activation, KernelKind, LandmarkKind
from edge_node.inference.classification.classes import LabelRows, class_offsets
from edge_node.inference.classification.expansion import numbers_told
from edge_node.inference.kernels.dense import DenseKernel
from edge_node.network.base import Network
from edge_node.network.memory import MemoryFederation
from edge_node.program.features.candidates import Candidate, agree_features, agree_fits
from edge_node.program.plan.metered import MeteredNetwork
from edge_node.program.posteriors.classification import agree_classifier
from edge_node.security.disclosure.allowance import Allowance
from edge_node.step import Step
from tests.inference.problems import classification, normal

KERNEL = DenseKernel(KernelKind.NTK, Activation.RELU, 1, 2.0, 0.0)
CANDIDATE = Candidate(KERNEL, LandmarkKind.GAUSSIAN, normal(5, 10, 3))
UNLIMITED = 10**9


def learn(classes: int, most_numbers: int, most_steps: int = 12):
    """Three nodes' posteriors and steps; and how many numbers each sum has told."""
    X, y = classification(0, rows=120, classes=classes)
    offsets = class_offsets(np.bincount(y.astype(int)))
    federation = MemoryFederation("abc")
    parts = dict(zip("abc", np.array_split(np.arange(120), 3), strict=True))

    async def program(view: Network):
        network = MeteredNetwork(view, Allowance.unlimited())
        own = parts[network.node]
        rows = [(X[own], y[own])]
        labels, step = LabelRows(rows, offsets), Step("statistics")
        features = await agree_features(network, "basis", [CANDIDATE])
        (fit,) = await agree_fits(network, step, labels, [CANDIDATE], features)
        limits = {"most_steps": most_steps, "most_numbers": most_numbers}
        return await agree_classifier(network, rows, fit, offsets, **limits), network.bill

    found = list(asyncio.run(federation.run(program)).values())
    return [posterior for posterior, _ in found], {str(s): n for s, n in found[0][1].items()}


@pytest.mark.parametrize("classes", [2, 3])
def test_a_step_tells_a_gradient_and_few_numbers_more(classes: int) -> None:
    """It is r q + 3 + q (q + 1) / 2, where label regression has told r (r + 1) / 2 + r q + 3."""
    q = classes - 1
    found, told = learn(classes, UNLIMITED)
    steps = [step for step in told if step.startswith("newton/")]
    assert 3 <= len(steps) < 12
    assert {told[step] for step in steps} == {10 * q + 3 + q * (q + 1) // 2}
    assert told["statistics"] == 55 + 10 * q + 3
    (first, _), *others = found
    for posterior, _ in others:
        for key, values in first.to_arrays().items():
            np.testing.assert_array_equal(posterior.to_arrays()[key], values)


@pytest.mark.parametrize("classes", [2, 3])
def test_no_more_is_told_than_may_be(classes: int) -> None:
    """As many steps as fit; each one raises the bound of what they lead to."""
    each, bounds = numbers_told(10, classes - 1), []
    for spare, steps in ((0, 1), (each - 1, 1), (0, 2), (5, 3)):
        found, told = learn(classes, steps * each + spare)
        assert sum(step.startswith("newton/") for step in told) == steps
        bounds.append(found[0][0].log_evidence)
    assert bounds[0] == bounds[1] < bounds[2] < bounds[3]


def test_without_a_step_label_regression_answers() -> None:
    """Where not one may be told, or none is wanted: still a classifier, and better than shares."""
    X, y = classification(0, rows=120)
    for limits in ((numbers_told(10, 1) - 1, 12), (UNLIMITED, 0)):
        found, told = learn(2, *limits)
        assert not any(step.startswith("newton/") for step in told)
        posterior, step = found[0]
        assert step.name == "statistics"
        right = posterior.predict_proba(X)[np.arange(120), y.astype(int)]
        assert -np.log(right).mean() < 0.9 * np.log(2)

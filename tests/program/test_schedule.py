"""What a run plans to sum: no more than its rows may tell, and nothing finer than they bear."""

import asyncio
from contextlib import suppress

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_node.config import (
    Column,
    DataSpec,
    FederationSpec,
    KernelKind,
    LandmarkKind,
    ModelSpec,
    Task,
)
from edge_node.data.sources.source import Batch, MemorySource
from edge_node.errors import CohortRefusedError
from edge_node.inference.features.metric import MetricKind
from edge_node.network.memory import MemoryFederation
from edge_node.program import infer
from edge_node.program.plan.planning import schedule_for
from edge_node.program.plan.schedule import Schedule
from edge_node.security.disclosure.allowance import Allowance
from tests.support.networks import Watched


def spec_for(inputs: int, classes: int = 0, **model: object) -> FederationSpec:
    """Numeric columns; regression unless there are classes."""
    data = DataSpec(
        task=Task.CLASSIFICATION if classes else Task.REGRESSION,
        target="y",
        columns=tuple(Column(name=f"x{i}") for i in range(inputs)),
        classes=tuple(f"class-{i}" for i in range(classes)),
    )
    return FederationSpec(name="plan", data=data, model=ModelSpec(**model))


def plan(inputs: int, rows: int, most_told: float = 0.5, **model: object) -> Schedule:
    """Of a regression whose largest site has a quarter of the rows."""
    allowance = Allowance(3 * rows // 4, inputs + 1, most_told)
    return schedule_for(spec_for(inputs, **model), allowance, rows=rows, inputs=inputs)


@settings(max_examples=60, deadline=None)
@given(
    inputs=st.integers(1, 60),
    rows=st.integers(1, 60_000),
    most_told=st.floats(0.05, 20),
    classes=st.sampled_from([0, 2, 7]),
    moves=st.sampled_from([0, 3, 40]),
)
def test_a_plan_stays_within_the_allowance(
    inputs: int, rows: int, most_told: float, classes: int, moves: int
) -> None:
    """Or there is none, where rows are few."""
    allowance = Allowance(3 * rows // 4, inputs + 1, most_told)
    spec = spec_for(inputs, classes, move_landmarks=moves)
    found = None
    with suppress(CohortRefusedError):
        found = schedule_for(spec, allowance, rows=rows, inputs=inputs)
    if found is None:
        assert allowance.rows < 60 or allowance.numbers < inputs**2 + 20 * inputs + 400
        return
    assert sum(each.numbers for each in found.sums) <= allowance.numbers
    assert max(each.features for each in found.sums if "statistics" in each.step) >= 1
    assert found.full <= allowance.features
    assert found.full <= spec.landmark_count


def test_more_rows_buy_more_of_everything() -> None:
    """Candidates, repetitions, a full metric, centroids, landmarks."""
    few, some, many = plan(8, 200), plan(8, 900), plan(8, 36_000)
    assert few.full < some.full < many.full
    assert few.coarse < some.coarse < many.coarse
    assert (few.candidates, some.candidates, many.candidates) == (1, 2, 4)
    assert (few.repetitions, some.repetitions, many.repetitions) == (0, 1, 3)
    assert (few.metric, many.metric) == (MetricKind.DIAGONAL, MetricKind.FULL)
    assert (few.iterations, many.iterations) == (0, 1)


def test_what_is_left_at_the_ceiling_is_spent_on_noises() -> None:
    """At most four full-size messages; one where landmarks take all that may be told."""
    assert plan(8, 36_000).messages == 1
    assert plan(8, 36_000, 9.0, landmarks=500).messages == 4
    assert plan(8, 36_000, 9.0, landmarks=500).full == 500


def test_what_the_spec_asks_for_is_kept() -> None:
    """A kind of landmarks; no metric; a kernel that has no gradients."""
    assert plan(8, 200, landmark_kinds=(LandmarkKind.KMEANS,)).iterations == 1
    assert plan(8, 36_000, landmark_kinds=(LandmarkKind.GAUSSIAN,)).iterations == 0
    assert plan(8, 36_000, metric_repetitions=0).repetitions == 0
    images = {"kernels": (KernelKind.CONV_NTK,), "image": (2, 4, 1)}
    assert plan(8, 36_000, **images).repetitions == 0


def test_one_process_is_limited_by_the_spec_only() -> None:
    """And by its rows: there is no feature without one."""
    spec = spec_for(3)
    assert schedule_for(spec, Allowance.unlimited(), rows=7, inputs=3).full == 7
    assert schedule_for(spec, Allowance.unlimited(), rows=9000, inputs=3).full == 500


def test_too_few_rows_for_any_model_are_refused_with_what_helps() -> None:
    """Before anything but the encoding is summed; with more rows there is a model."""
    with pytest.raises(CohortRefusedError, match=r"too little for a model.*most_told"):
        plan(8, 28)
    assert plan(8, 120).full >= 4


@pytest.mark.parametrize("classes", [0, 2])
def test_a_run_sums_what_was_planned_and_no_more(classes: int) -> None:
    """By step (a metric that doesn't pay ends the repetitions; here it does)."""
    spec = spec_for(3, classes, landmarks="auto", newton_steps=1)
    random = np.random.default_rng(0)
    X = random.normal(size=(600, 3))
    y = np.sin(3 * X[:, 0]) + 0.1 * random.normal(size=600)
    y = (y > 0).astype(float) if classes else y
    allowance = Allowance(400, 4, 0.5)
    names, totals = [f"node-{i}" for i in range(3)], {}
    sources = {
        name: MemorySource((Batch(X[i::3], np.empty((200, 0), dtype=object), y[i::3]),))
        for i, name in enumerate(names)
    }

    async def program(network):
        return await infer(
            Watched(network, totals), sources[network.node], spec, allowance=allowance
        )

    models = asyncio.run(MemoryFederation(names).run(program))
    planned = schedule_for(spec, allowance, rows=600, inputs=3)
    told = {step: len(total) for step, total in totals.items()}
    for each in planned.sums:
        if each.step == "residuals/posterior":  # only where targets have outliers
            continue
        assert told[each.step] <= each.numbers
        assert told[each.step] > 0.8 * each.numbers or each.numbers < 20
    after = [step for step in told if step.startswith(("statistics", "gradients", "posterior"))]
    assert set(after) <= {each.step for each in planned.sums}
    assert models["node-0"].provenance.landmarks == planned.full
    (posterior,) = (each for each in planned.sums if each.step == "posterior")
    assert planned.full == posterior.features


def test_the_plan_is_the_same_for_specs_that_differ_elsewhere() -> None:
    """A pooled reference has other timing, and the same plan."""
    spec, allowance = spec_for(5), Allowance(3000, 6, 0.5)
    other = msgspec.structs.replace(spec, name="another", minimum_nodes=7)
    plans = [schedule_for(each, allowance, rows=4000, inputs=5) for each in (spec, other)]
    assert plans[0] == plans[1]

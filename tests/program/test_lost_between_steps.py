"""A node may be lost between two steps: evidences of different rows are not compared."""

import asyncio
from collections.abc import Callable

import numpy as np
import pytest

from edge_node.arrays import Matrix, Vector
from edge_node.config import Column, DataSpec, FederationSpec, LandmarkKind, ModelSpec, Task
from edge_node.data.sources.source import Batch, MemorySource
from edge_node.errors import CohortRefusedError
from edge_node.model.model import Model
from edge_node.network.base import Network
from edge_node.network.memory import MemoryFederation
from edge_node.program import infer
from edge_node.program.plan.metered import MeteredNetwork

COLUMNS = tuple(Column(name=name) for name in "abc")
SPEC = FederationSpec(
    name="lost",
    data=DataSpec(task=Task.REGRESSION, target="y", columns=COLUMNS),
    model=ModelSpec(
        depths=(1,),
        biases=(1.0,),
        landmarks=60,
        landmark_kinds=(LandmarkKind.GAUSSIAN,),
    ),
)


def learn(lost_at: str, target: Callable[[Matrix], Vector]) -> Model:
    """Two nodes of which the second, with most of the rows, may be lost; the first's model."""
    random = np.random.default_rng(0)
    sources = {}
    for node, rows in (("one", 100), ("two", 400)):
        X = random.normal(size=(rows, 3))
        noise = 0.3 * random.normal(size=rows)
        batch = Batch(X, np.empty((rows, 0), dtype=object), target(X) + noise)
        sources[node] = MemorySource((batch,))

    async def program(network: Network) -> Model:
        return await infer(network, sources[network.node], SPEC)

    lost = {"two": lost_at} if lost_at else {}
    return asyncio.run(MemoryFederation(list(sources), lost).run(program))["one"]


def test_a_metric_is_not_better_because_fewer_rows_speak_for_it() -> None:
    """Where all directions matter alike, the identity is kept: a sum over fewer rows is nearer
    zero, and the evidence of a row is no higher.
    """
    model = learn("gradients/1", lambda X: np.square(X).sum(axis=1))
    assert model.posterior.features.metric is None


def test_the_posterior_is_of_the_rows_that_are_left() -> None:
    """The coarse look was at all rows; the cohort is that of the posterior's own step."""
    model = learn("posterior", lambda X: 300 * np.sin(X[:, 0]))
    assert model.provenance.learnt_in == "posterior/again-1"
    assert model.provenance.cohort == ("one",)
    assert model.provenance.cohorts["statistics/0"] == ("one", "two")
    whole = learn("", lambda X: 300 * np.sin(X[:, 0]))
    assert whole.provenance.cohort == ("one", "two")
    assert whole.posterior.log_evidence > 2 * model.posterior.log_evidence > 0


FIVE = tuple(f"site-{i}" for i in range(5))


def learn_to_the_limit(classes: tuple[str, ...], lost: dict[str, str]) -> Model:
    """Five nodes of like size; the first's model. All that are left have as many landmarks."""
    random = np.random.default_rng(0)
    data = DataSpec(
        task=Task.CLASSIFICATION if classes else Task.REGRESSION,
        target="y",
        columns=COLUMNS,
        classes=classes,
    )
    spec = FederationSpec(name="lost", data=data)
    sources = {}
    for site in FIVE:
        X = random.normal(size=(130, 3))
        y = np.sin(3 * X[:, 0]) + 0.1 * random.normal(size=130)
        y = (y > 0).astype(float) if classes else y
        sources[site] = MemorySource((Batch(X, np.empty((130, 0), dtype=object), y),))

    async def program(network: Network) -> Model:
        return await infer(network, sources[network.node], spec)

    federation = MemoryFederation(FIVE, lost, sizes=dict.fromkeys(FIVE, 128))
    models = asyncio.run(federation.run(program))
    assert len({model.provenance.landmarks for model in models.values()}) == 1
    return models[FIVE[0]]


LOSSES = {(): ("means", "statistics/0", "gradients/1", "posterior")}
LOSSES["no", "yes"] = ("means", "statistics/0", "posterior")  # so few rows learn no metric


@pytest.mark.parametrize(
    ("lost_at", "classes"), [(step, classes) for classes in LOSSES for step in LOSSES[classes]]
)
def test_a_run_to_the_limit_completes_without_one_of_its_nodes(
    lost_at: str, classes: tuple[str, ...]
) -> None:
    """Four sites' rows may tell three quarters of what five's may: the plan is cut to that."""
    model = learn_to_the_limit(classes, {FIVE[-1]: lost_at})
    assert model.provenance.cohort == FIVE[:-1]
    assert model.provenance.bill is not None
    assert model.provenance.bill.rows == 3 * 128


def test_without_a_cut_the_run_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: the coarse look is told twice, and the first plan's posterior is too much."""
    lost = {FIVE[-1]: "statistics/0"}
    cut, whole = learn_to_the_limit((), lost), learn_to_the_limit((), {})
    assert 4 <= cut.provenance.landmarks < whole.provenance.landmarks
    monkeypatch.setattr(MeteredNetwork, "fitted", lambda _, plan: plan)
    with pytest.raises(CohortRefusedError, match="may not tell so many numbers"):
        learn_to_the_limit((), lost)

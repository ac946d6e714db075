"""A node may be lost between two steps: evidences of different rows are not compared."""

import asyncio
from collections.abc import Callable

import numpy as np

from edge_node.arrays import Matrix, Vector
from edge_node.config import Column, DataSpec, FederationSpec, LandmarkKind, ModelSpec, Task
from edge_node.data.sources.source import Batch, MemorySource
from edge_node.model.model import Model
from edge_node.network.base import Network
from edge_node.network.memory import MemoryFederation
from edge_node.program import infer

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

"""Rows from the totals of a real run: a large member watches, and attacks the three small others.

It does nothing but run the ordinary program. All that it knows is what the program tells it.
"""

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pytest

from benchmarks.disclosure.curve import told
from benchmarks.disclosure.directions import (
    rows_in_span,
    rows_that_dominate,
)
from benchmarks.disclosure.rows import Victims, found
from benchmarks.disclosure.solving import neighbourhood
from edge_node.arrays import Matrix
from edge_node.config import Column, DataSpec, FederationSpec, ModelSpec, Task
from edge_node.data.encoding.encoder import EncodedRows
from edge_node.data.sources.source import Batch, MemorySource
from edge_node.model.model import Model
from edge_node.network.base import Network
from edge_node.network.memory import MemoryFederation
from edge_node.program import infer
from edge_node.security.disclosure.allowance import Allowance
from tests.attacks.exact_sums import MOST_TOLD, allowed, guessed
from tests.attacks.overhearing import Overhearing, Secrets
from tests.inference.problems import normal

MEMBER, MEMBERS_ROWS, OTHERS = "a", 300, "bcd"
FEW, MORE = 40, 120  # rows of each of the others
INPUTS = "pqr"
CLASSES = ("no", "yes")


def spec(task: Task) -> FederationSpec:
    """A small model, with more landmarks than the others may have rows."""
    return FederationSpec(
        name="watched",
        data=DataSpec(
            task=task,
            target="y",
            columns=tuple(Column(name=name) for name in INPUTS),
            classes=CLASSES if task is Task.CLASSIFICATION else (),
        ),
        model=ModelSpec(landmarks=150, depths=(2,), biases=(1.0,), metric_repetitions=0),
    )


@dataclass(frozen=True)
class Run:
    """What the member knows, and the rows that it would like to know."""

    secrets: Secrets
    victims: Victims

    @property
    def inputs(self) -> Matrix:
        """The others' inputs (n, d), as they were encoded."""
        return self.victims.rows[:, :-1]

    def attacks(self) -> Iterator[Matrix]:
        """What each of the others' sums of outer products is taken for: inputs (k, d)."""
        points = self.victims.relaxed(np.random.default_rng(0), 60)[:, :-1]
        for G, maps in self.secrets.outer_products:
            full = np.linalg.matrix_rank(G, hermitian=True) == len(G)
            for features in maps:
                if full:
                    yield rows_that_dominate(G, features, points, 2)
                elif len(rows_in_span(G, features, points[:8])):  # these are its features
                    yield rows_in_span(G, features, points)


def sources(task: Task, others: int) -> Mapping[str, MemorySource]:
    """Rows of correlated inputs, and what follows from them; so many at each of the others."""
    made = {}
    for node, rows in ({MEMBER: MEMBERS_ROWS} | dict.fromkeys(OTHERS, others)).items():
        X = normal(ord(node), rows, 3) @ (np.eye(3) + 0.4 * normal(1, 3, 3))
        y = np.sin(2 * X[:, 0]) + 0.1 * normal(7, rows)
        if task is Task.CLASSIFICATION:
            y = (y > 0).astype(float)
        elif task is Task.COUNT:
            y = np.random.default_rng(ord(node)).poisson(np.exp(3 + y)).astype(float)
        made[node] = MemorySource((Batch(X, np.empty((rows, 0), dtype=object), y),))
    return made


def watched(
    monkeypatch: pytest.MonkeyPatch, task: Task, others: int, allowance: Allowance | None
) -> Run:
    """A run of the program at four nodes; without an ``allowance``, what the sizes allow."""
    secrets, held = Secrets(), sources(task, others)
    secrets.watch(monkeypatch)
    sizes = {MEMBER: 256} | dict.fromkeys(OTHERS, 1 << (others.bit_length() - 1))

    async def program(network: Network) -> Model:
        layer = Overhearing(network, secrets) if network.node == MEMBER else network
        return await infer(layer, held[network.node], spec(task), allowance=allowance)

    models = asyncio.run(MemoryFederation(list(held), sizes=sizes).run(program))
    encoder = models[MEMBER].encoder
    rows = {
        node: np.vstack([np.column_stack(chunk) for chunk in EncodedRows(source, encoder)])
        for node, source in held.items()
    }
    everybody = np.vstack(list(rows.values()))
    levels = np.full((2, len(INPUTS) + 1), np.nan)
    if task is Task.CLASSIFICATION:
        levels[:, -1] = 0.0, 1.0
    sought = np.vstack([rows[node] for node in OTHERS])
    return Run(secrets, Victims(sought, everybody.mean(axis=0), np.cov(everybody.T), levels))


@pytest.mark.parametrize(
    ("task", "rows"),
    [(Task.REGRESSION, FEW), (Task.CLASSIFICATION, MORE), (Task.COUNT, FEW)],
)
def test_a_run_tells_no_rows(monkeypatch: pytest.MonkeyPatch, task: Task, rows: int) -> None:
    """Half a number per cell at most, no sum finer than a third of the rows, and no row is found.

    Last, whoever were handed the right neighbourhood, and as many numbers as the run told, would
    still find nobody.
    """
    run = watched(monkeypatch, task, rows, None)
    victims, numbers = run.victims, run.secrets.numbers
    assert 0 < numbers <= MOST_TOLD * victims.real_cells
    sizes = [len(G) for G, _ in run.secrets.outer_products]
    assert sizes
    assert max(sizes) <= allowed(len(victims.rows))
    hits = found(run.inputs, np.vstack(list(run.attacks())))
    assert hits.sum() <= guessed(victims, victims.rows)
    sums = told(victims, max(sizes), numbers)
    nearby = neighbourhood(sums, victims, np.random.default_rng(0))
    assert found(victims.rows, nearby).sum() <= guessed(victims, victims.rows)


@pytest.mark.parametrize("task", [Task.REGRESSION, Task.CLASSIFICATION, Task.COUNT])
def test_without_the_allowance_a_run_tells_rows(
    monkeypatch: pytest.MonkeyPatch, task: Task
) -> None:
    """The control: the same program, the same attacks, as many features as the spec asks for."""
    run = watched(monkeypatch, task, FEW, Allowance.unlimited())
    assert run.secrets.numbers > run.victims.rows.size
    assert any(found(run.inputs, rows).sum() > 30 for rows in run.attacks())

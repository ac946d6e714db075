"""A member that counts less than nothing, so that flags pass for numbers and more is told."""

import asyncio
from typing import Unpack

import numpy as np
import pytest

from edge_node.arrays import Vector
from edge_node.config import Column, DataSpec, FederationSpec, Task
from edge_node.data.sources.source import Batch, MemorySource
from edge_node.data.sums.census import Census
from edge_node.errors import CohortRefusedError
from edge_node.network.base import Network, NetworkLayer, Terms
from edge_node.network.memory import MemoryFederation
from edge_node.program import infer
from edge_node.step import Step

COLUMNS = tuple(Column(name=name) for name in ("x", "flag-1", "flag-2", "flag-3"))
SPEC = FederationSpec(
    name="flags", data=DataSpec(task=Task.REGRESSION, target="y", columns=COLUMNS)
)


class Liar(NetworkLayer):
    """Takes the others' remarks on columns out of the first count."""

    async def sum(self, step: Step, vector: Vector, **terms: Unpack[Terms]) -> Vector:
        """As the network's."""
        if step == Step("counts"):
            vector = vector.copy()
            vector[3:6] -= 4.0  # flags: after rows, distinct rows, and the column x
        return await super().sum(step, vector, **terms)


def rows(seed: int) -> MemorySource:
    """A number, three flags, and a target of 128 rows."""
    random = np.random.default_rng(seed)
    flags = random.integers(0, 2, (128, 3)).astype(float)
    X = np.column_stack([random.normal(size=128), flags])
    y = np.sin(3 * X[:, 0]) + X[:, 1] + 0.3 * random.normal(size=128)
    return MemorySource((Batch(X, np.empty((128, 0), dtype=object), y),))


def told(liar: str, monkeypatch: pytest.MonkeyPatch, *, checked: bool) -> list[object]:
    """How many numbers each of four nodes was told, or its error."""
    if not checked:
        monkeypatch.setattr(Census, "lacks", lambda _self, _own: False)
    sources = {node: rows(i) for i, node in enumerate("abcd")}
    federation = MemoryFederation("abcd", sizes=dict.fromkeys("abcd", 128))

    async def program(network: Network) -> int:
        view = Liar(network) if network.node == liar else network
        bill = (await infer(view, sources[network.node], SPEC)).provenance.bill
        assert bill is not None
        return bill.told

    async def everybody() -> list[object]:
        runs = (program(federation.network(node)) for node in sources)
        return await asyncio.gather(*runs, return_exceptions=True)

    return asyncio.run(everybody())


def test_what_a_site_says_of_its_columns_is_not_taken_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Every honest site refuses, and each is told as much as without a liar otherwise."""
    honest = told("", monkeypatch, checked=True)
    assert all(isinstance(each, int) and each <= 0.5 * 3 * 128 * 2 for each in honest)
    outcomes = told("a", monkeypatch, checked=True)
    assert all(isinstance(each, CohortRefusedError) for each in outcomes[1:])


def test_the_control_unchecked_counts_let_more_be_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Flags pass for numbers then: more than half of the open cells is told."""
    outcomes = told("a", monkeypatch, checked=False)
    assert all(isinstance(each, int) and each > 0.5 * 3 * 128 * 2 for each in outcomes)

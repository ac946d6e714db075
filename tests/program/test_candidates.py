"""Candidates' statistics: one sweep for all, one pass over the rows that they share."""

import asyncio
from collections.abc import Iterator

import numpy as np

from edge_node.arrays import Matrix, Vector
from edge_node.inference.messages.statistics import Statistics
from edge_node.network.memory import MemoryFederation
from edge_node.program.candidates import agree_statistics, grouped
from edge_node.step import Step
from tests.inference.problems import features_on, normal, regression, statistics_of

MAPS = [features_on(normal(i, 8 + i, 3)) for i in range(3)]


class Counted:
    """Rows that count how often they are read."""

    def __init__(self, seed: int) -> None:
        self.X, self.y = regression(seed, rows=40)
        self.passes = 0

    def __iter__(self) -> Iterator[tuple[Matrix, Vector]]:
        self.passes += 1
        yield self.X[:25], self.y[:25]
        yield self.X[25:], self.y[25:]


def test_rows_are_read_once_for_all_their_candidates() -> None:
    """And each candidate gets the federation's statistics of its own rows, in order."""
    rows = {node: [Counted(seed), Counted(seed + 7)] for seed, node in enumerate("ab")}
    federation = MemoryFederation(list(rows))

    def work(node: str) -> list[tuple[Counted, list]]:
        first, second = rows[node]
        return [(first, MAPS), (second, MAPS[1:])]

    found = asyncio.run(
        federation.run(lambda network: agree_statistics(network, Step("s"), work(network.node)))
    )
    assert [each.passes for own in rows.values() for each in own] == [1, 1, 1, 1]
    for totals in found.values():
        assert len(totals) == 5
        for total, (place, features) in zip(
            totals, [*((0, each) for each in MAPS), *((1, each) for each in MAPS[1:])], strict=True
        ):
            parts = [statistics_of(own[place], features) for own in rows.values()]
            assert isinstance(total, Statistics)
            np.testing.assert_allclose(total.pack(), (parts[0] + parts[1]).pack(), rtol=1e-10)


def test_values_are_grouped_as_they_were() -> None:
    """Groups may be empty."""
    assert grouped(iter("abcd"), [[1], [], [1, 2, 3]]) == [["a"], [], ["b", "c", "d"]]

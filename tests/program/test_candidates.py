"""Candidates' statistics: one sweep for all, one pass over the rows that they share."""

import asyncio
from collections.abc import Iterator

import numpy as np

from edge_node.arrays import Matrix, Vector
from edge_node.config import LandmarkKind
from edge_node.inference.features.metric import place_exactly
from edge_node.inference.messages.evidence import best_evidence
from edge_node.network.memory import MemoryFederation
from edge_node.program.features.candidates import Candidate, agree_features, agree_fits
from edge_node.step import Step
from tests.inference.problems import NTK, normal, regression, statistics_of

CANDIDATES = [Candidate(NTK, LandmarkKind.GAUSSIAN, normal(i, 8 + i, 3)) for i in range(3)]


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
    """And each candidate gets the federation's statistics, in order, with their evidence."""
    rows = {node: Counted(seed) for seed, node in enumerate("ab")}

    async def learn(network):
        features = await agree_features(network, "basis", CANDIDATES)
        own = rows[network.node]
        return await agree_fits(network, Step("s"), own, CANDIDATES, features)

    found = asyncio.run(MemoryFederation(list(rows)).run(learn))
    assert [each.passes for each in rows.values()] == [1, 1]
    for fits in found.values():
        assert [each.candidate for each in fits] == CANDIDATES
        for fit in fits:
            one, other = (statistics_of(each, fit.features) for each in rows.values())
            np.testing.assert_allclose(fit.statistics.pack(), (one + other).pack(), rtol=1e-10)
            assert fit.evidence == best_evidence(fit.statistics)


def test_a_candidate_sees_its_landmarks_through_the_metric() -> None:
    """As rows are; and a prefix of its landmarks is the same prefix."""
    metric = np.diag([1.0, 0.5, 2.0])
    seen = CANDIDATES[0].under(metric)
    np.testing.assert_array_equal(seen.landmarks, place_exactly(CANDIDATES[0].landmarks, metric))
    np.testing.assert_array_equal(seen.first(3).landmarks, seen.landmarks[:3])

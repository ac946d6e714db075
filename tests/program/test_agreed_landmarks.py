"""Landmarks that a federation agrees on: each row in one sum at most, and never in a small one."""

import asyncio
from itertools import combinations

import numpy as np

from edge_node.arrays import Matrix, Vector
from edge_node.inference.features.disjoint import DisjointSubset
from edge_node.inference.features.landmarks import kmeans_spread
from edge_node.network.base import Network
from edge_node.network.memory import MemoryFederation
from edge_node.program.features.landmarks import NOTHING, agree_centroids
from tests.support.networks import Watched


def centroids(
    parts: list[Matrix],
    Z: Matrix,
    fewest: int,
    *,
    iterations: int = 1,
    lost_at: str = "",
    partitioned: tuple[int, ...] = (),
) -> tuple[Matrix, dict[str, Vector]]:
    """Where they go, and all totals, over nodes with these rows; the last one may be lost."""
    nodes = [f"node-{i}" for i in range(len(parts))]
    totals: dict[str, Vector] = {}

    async def program(network: Network) -> Matrix:
        i = nodes.index(network.node)
        return await agree_centroids(
            Watched(network, totals),
            [(parts[i], np.zeros(len(parts[i])))],
            Z,
            iterations=iterations,
            fewest=NOTHING if i in partitioned else fewest,
            crowd=fewest,
        )

    lost = {nodes[-1]: lost_at} if lost_at else {}
    results = asyncio.run(MemoryFederation(nodes, lost).run(program))
    assert len({moved.tobytes() for moved in results.values()}) == 1
    return results[nodes[0]], totals


def shared(X: Matrix, share: int = 0, shares: int = 1) -> Matrix:
    """The rows of a share."""
    ((own, _),) = DisjointSubset([(X, np.zeros(len(X)))], share, shares)
    return own


def around(centre: list[float], rows: int, seed: int) -> Matrix:
    """Rows that lie there."""
    X: Matrix = centre + np.random.default_rng(seed).normal(size=(rows, 2))
    return X


LEFT, RIGHT = around([-20.0, 0.0], 200, 0), around([20.0, 5.0], 200, 1)
STARTS = np.array([[-1.0, 0.0], [1.0, 0.0]])


def test_a_site_gives_a_centroid_enough_of_its_own_rows_or_none() -> None:
    """Whatever others hold there: a few rows beside many are in no sum."""
    few = around([20.0, 5.0], 4, 2)
    assert 0 < len(shared(few)) < 8
    moved, totals = centroids([LEFT, RIGHT, few], STARTS, 8)
    np.testing.assert_allclose(moved[0], shared(LEFT).mean(axis=0), rtol=1e-8)
    np.testing.assert_allclose(moved[1], shared(RIGHT).mean(axis=0), rtol=1e-8)
    both = shared(np.vstack([RIGHT, few]))
    assert np.abs(moved[1] - both.mean(axis=0)).max() > 1e-3  # what it would be with them
    counts = totals["kmeans/0"].reshape(2, 3)[:, 0]
    np.testing.assert_array_equal(counts, [len(shared(LEFT)), len(shared(RIGHT))])


def test_a_centroid_to_which_no_site_gives_rows_stays() -> None:
    """Many sites with few rows each: together they would have been enough."""
    few = [around([20.0, 5.0], 6, seed) for seed in range(4)]
    moved, totals = centroids([LEFT, *few], STARTS, 8)
    np.testing.assert_array_equal(moved[1], STARTS[1])
    assert totals["kmeans/0"].reshape(2, 3)[1].tolist() == [0.0, 0.0, 0.0]


def test_rows_that_were_divided_before_are_not_divided_again() -> None:
    """Not by the site that says so; if all say so, no centroid moves."""
    moved, totals = centroids([LEFT, RIGHT, LEFT + 1.0], STARTS, 8, partitioned=(2,))
    np.testing.assert_allclose(moved[0], shared(LEFT).mean(axis=0), rtol=1e-8)
    assert totals["kmeans/0"].reshape(2, 3)[0, 0] == len(shared(LEFT))
    moved, totals = centroids([LEFT, RIGHT], STARTS, 8, iterations=2, partitioned=(0, 1))
    np.testing.assert_allclose(moved, STARTS, rtol=1e-9)
    assert not any(total.any() for total in totals.values())


def test_a_lost_node_leaves_whole_groups_of_the_others() -> None:
    """Its part is missing; each of theirs is as large as before."""
    lost = around([20.0, 5.0], 200, 2)
    moved, _ = centroids([LEFT, RIGHT, lost], STARTS, 8, lost_at="kmeans/0")
    np.testing.assert_allclose(moved[1], shared(RIGHT).mean(axis=0), rtol=1e-8)


def test_no_difference_of_totals_is_a_row() -> None:
    """Not of any two sums over a landmark's rows; in sums of the same rows many are.

    The k-means of before summed all rows in each iteration. Attacked in the same way, its totals
    give rows away.
    """
    X = np.random.default_rng(3).normal(size=(1000, 3))
    Z = np.random.default_rng(4).normal(size=(40, 3))
    _, totals = centroids([X[:300], X[300:]], Z, 5, iterations=3)
    sums = [total.reshape(40, 4) for total in totals.values()]
    assert len(sums) == 3
    assert len(given_away(sums, X)) == 0
    unshared = []
    for _ in range(3):
        labels = np.argmin(np.square(X[:, None] - Z).sum(axis=2), axis=1)
        rows_of = [X[labels == j] for j in range(40)]
        unshared.append(np.array([[len(rows), *rows.sum(axis=0)] for rows in rows_of]))
        Z = np.array(
            [rows.mean(axis=0) if len(rows) >= 5 else Z[j] for j, rows in enumerate(rows_of)]
        )
    assert len(given_away(unshared, X)) > 3


def given_away(sums: list[Matrix], X: Matrix) -> set[int]:
    """The rows that are a difference of two landmarks' sums, in one iteration or in two."""
    totals = np.vstack(sums)
    found = set()
    for a, b in combinations(range(len(totals)), 2):
        if abs(totals[a, 0] - totals[b, 0]) == 1:
            row = np.abs(totals[a, 1:] - totals[b, 1:])
            found |= set(np.flatnonzero(np.abs(np.abs(X) - row).max(axis=1) < 1e-5).tolist())
    return found


def test_shares_have_no_row_in_common_and_each_is_twice_the_last() -> None:
    """Duplicates are in one share; a sixteenth of the rows is in none."""
    X = np.random.default_rng(5).normal(size=(8000, 2))
    X[4000:] = X[:4000]
    shares = [shared(X, i, 3) for i in range(3)]
    kept = {row.tobytes() for share in shares for row in share}
    assert len(kept) == sum(len(share) for share in shares) // 2
    np.testing.assert_allclose(
        [len(share) for share in shares], 8000 * 15 / 16 * np.array([1, 2, 4]) / 7, rtol=0.1
    )
    for a, b in combinations(shares, 2):
        assert not {row.tobytes() for row in a} & {row.tobytes() for row in b}


def test_idle_landmarks_are_spread_over_the_crowded() -> None:
    """In proportion to their rows; where none is crowded, they stay."""
    Z = np.random.default_rng(6).normal(size=(6, 2))
    counts = np.array([40.0, 0.0, 20.0, 0.0, 0.0, 3.0])
    moved = kmeans_spread(Z, counts, 5)
    for i, host in ((1, 0), (3, 0), (4, 2)):  # a head: 40; 20, which both have; 20 against 13.3
        np.testing.assert_allclose(moved[i], Z[host] + 0.3 * (Z[i] - Z[host]), rtol=1e-8)
    for i in (0, 2, 5):
        np.testing.assert_array_equal(moved[i], Z[i])
    np.testing.assert_array_equal(kmeans_spread(Z, np.minimum(counts, 9), 5), Z)

"""The kernel graph: each row's nearest among those before it."""

import numpy as np
import pytest

from edge_node.inference.features.kernel_graph import KernelGraph, Neighbourhoods, random_order
from edge_node.inference.numerics.distances import squared_distances
from tests.inference.problems import normal


def exact(graph: KernelGraph, X: np.ndarray, k: int) -> list[np.ndarray]:
    """Squared distances of the k nearest rows before each row, in the graph's order."""
    squares = squared_distances(X, X)
    return [np.sort(squares[row, graph.order[:i]])[:k] for i, row in enumerate(graph.order)]


@pytest.mark.parametrize(("rows", "inputs"), [(300, 2), (2000, 3), (1500, 9)])
def test_neighbours_are_the_nearest_rows_before(rows: int, inputs: int) -> None:
    """With no slack, whether all pairs are compared or trees are asked."""
    X = normal(0, rows, inputs)
    graph = KernelGraph.of(X, 12, slack=0.0)
    squares = squared_distances(X, X)
    for i, (row, nearest) in enumerate(zip(graph.order, exact(graph, X, 12), strict=True)):
        found = graph.neighbours[row][graph.neighbours[row] >= 0]
        assert len(found) == min(i, 12)
        np.testing.assert_allclose(squares[row, found], nearest, rtol=1e-9)


def test_slack_leaves_out_few_neighbours_and_none_that_are_much_nearer() -> None:
    """Each row still has k, all before it, and its last one is at most twice as far."""
    X = normal(1, 4000, 8)
    graph, place = KernelGraph.of(X, 20), np.empty(4000, dtype=int)
    place[graph.order] = np.arange(4000)
    later = graph.order[20:]
    assert (graph.neighbours[later] >= 0).all()
    assert (place[graph.neighbours[later]] < place[later][:, None]).all()
    squares, best = squared_distances(X, X), exact(graph, X, 20)
    farthest = [squares[row, graph.neighbours[row]].max() for row in later]
    assert (np.sqrt(farthest) <= 2.0 * np.sqrt([each[-1] for each in best[20:]])).all()
    same = np.mean(np.isclose(farthest, [each[-1] for each in best[20:]]))
    assert 0.1 < same < 1.0, "else slack would make no difference, or too much"


@pytest.mark.parametrize("rows", [1, 2, 5, 700])
def test_more_neighbours_than_rows_are_all_rows_before(rows: int) -> None:
    """So the first row has none."""
    X = normal(2, rows, 2)
    graph = KernelGraph.of(X, 1000)
    assert graph.neighbours.shape == (rows, rows - 1)
    for i, row in enumerate(graph.order):
        own = graph.neighbours[row]
        assert sorted(own[own >= 0]) == sorted(graph.order[:i])


def test_copies_of_rows_are_neighbours() -> None:
    """Thousands of copies of one row, with a few others between."""
    X = np.zeros((3000, 2))
    X[::100] = normal(3, 30, 2)
    graph = KernelGraph.of(X, 15)
    assert (graph.neighbours[graph.order[15:]] >= 0).all()
    copies = [row for row in graph.order[1000:] if row % 100]
    assert not X[graph.neighbours[copies]].any()


def test_the_order_is_the_rows_own() -> None:
    """However they come, the same rows get the same neighbours."""
    X, shuffled = normal(4, 900, 3), np.random.default_rng(0).permutation(900)
    one, other = KernelGraph.of(X, 8, slack=0.0), KernelGraph.of(X[shuffled], 8, slack=0.0)
    np.testing.assert_array_equal(one.order, shuffled[other.order])
    ours, theirs = one.neighbours[one.order[8:]], other.neighbours[other.order[8:]]
    np.testing.assert_array_equal(ours, shuffled[theirs])
    assert abs(np.corrcoef(random_order(X), np.arange(900))[0, 1]) < 0.2


def test_a_given_order_is_kept() -> None:
    """As of rows in time."""
    X = np.arange(50.0)[:, None]
    graph = KernelGraph.of(X, 2, order=np.arange(50))
    assert graph.neighbours[30].tolist() == [29, 28]


def test_a_place_is_reached_if_it_is_as_near_as_rows_are_to_each_other() -> None:
    """All rows are, and a place far from all isn't."""
    rows = normal(5, 300, 3)
    near = Neighbourhoods.of(rows, 10)
    assert near(rows)[1].all()
    assert not near(np.full((1, 3), 30.0))[1].any()
    assert near(normal(6, 1000, 3))[1].mean() > 0.98
    exact = Neighbourhoods.of(rows, 10, slack=0.0)(normal(6, 5, 3))[0]
    squares = squared_distances(normal(6, 5, 3), rows)
    np.testing.assert_array_equal(exact, squares.argsort(axis=1)[:, :10])

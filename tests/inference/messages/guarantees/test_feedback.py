"""With some variables taken out, what is left is a forest, and all is exact."""

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_node.errors import NumericalError
from edge_node.inference.messages.guarantees.feedback import feedback, feedback_set, without
from edge_node.inference.messages.propagation.factors import Equalities
from edge_node.inference.messages.propagation.graph import FactorGraph
from edge_node.inference.messages.propagation.schedules import Synchronous
from edge_node.inference.messages.propagation.solution import (
    Cause,
    Method,
    PropagationError,
    Variances,
)
from edge_node.inference.messages.propagation.solve import solve
from tests.inference.messages.guarantees.cases import chorded_cycle
from tests.inference.messages.propagation.graphs import (
    assert_exact,
    couplings,
    definite,
    dense,
    grid,
    observations,
)

SEEDS = st.integers(0, 2**32 - 1)


def network(shape: nx.Graph, seed: int = 0, q: int = 2) -> FactorGraph:
    """A definite system on a graph, barely so: plain messages needn't converge."""
    rng = np.random.default_rng(seed)
    A = nx.to_numpy_array(shape) * np.triu(rng.standard_normal([len(shape)] * 2))
    A += A.T
    A += np.eye(len(A)) * 1.05 * abs(np.linalg.eigvalsh(A)[0])
    return FactorGraph.of_system(A, rng.standard_normal((len(A), q)))


@pytest.mark.parametrize(
    ("shape", "variables"),
    [
        (nx.cycle_graph(9), 1),
        (nx.wheel_graph(30), 2),
        (nx.convert_node_labels_to_integers(nx.grid_2d_graph(4, 4)), 5),
        (nx.complete_graph(7), 5),
        (nx.balanced_tree(2, 3), 0),
        (nx.disjoint_union(nx.cycle_graph(4), nx.cycle_graph(5)), 2),
    ],
    ids=["cycle", "wheel", "grid", "complete", "tree", "two cycles"],
)
def test_shapes_with_few_loops_are_exact(shape: nx.Graph, variables: int) -> None:
    """Means and variances, against the dense inverse, with next to as few variables as it takes."""
    graph = network(shape)
    assert len(feedback_set(graph, 50)) == variables
    found = feedback(graph)
    assert found.variances is Variances.EXACT
    assert (found.method is Method.FEEDBACK) == (variables > 0)
    assert_exact(found, graph)


def test_without_feedback_the_variances_are_not_exact() -> None:
    """The control: messages on the cycle itself."""
    rng = np.random.default_rng(0)
    scope = np.array([[0, 1], [1, 2], [2, 0]])
    graph = FactorGraph(np.ones((3, 1, 1)), np.ones((3, 1, 1)), (couplings(rng, scope, 1, 0.5),))
    plain, A = solve(graph, Synchronous()), dense(graph)[0]
    assert np.abs(plain.covariance.ravel() / np.diag(np.linalg.inv(A)) - 1).max() > 1e-3
    assert_exact(feedback(graph), graph)


@settings(max_examples=40, deadline=None)
@given(SEEDS, st.integers(2, 14), st.integers(1, 2), st.integers(1, 2))
def test_any_graph_is_exact_with_enough_feedback(seed: int, n: int, d: int, p: int) -> None:
    """Couplings and observations at random, some slots empty, variables of any dimension."""
    rng = np.random.default_rng(seed)
    triples = np.stack([np.append(rng.permutation(n), -1)[:3] for _ in range(n)])
    triples[rng.random(n) < 0.5, 2] = -1
    pairs = np.stack([rng.permutation(n)[:2] for _ in range(n // 2)])
    families = (couplings(rng, pairs, d, 0.1), observations(rng, triples, p, d, 1))
    graph = FactorGraph(definite(rng, n, d), rng.standard_normal((n, d, 1)), families)
    chosen = feedback_set(graph, n)
    if len(chosen) == n:  # nothing would be left
        chosen = chosen[:-1]
    found = feedback(graph, chosen)
    if found.variances is Variances.EXACT:
        assert_exact(found, graph)
    assert without(graph, chosen).is_forest == (found.variances is Variances.EXACT)


def test_variables_may_be_given() -> None:
    """Any that break the loop; others leave it, and what it makes of variances is said so."""
    graph = network(nx.cycle_graph(8))
    assert_exact(feedback(graph, np.array([3])), graph)
    rng = np.random.default_rng(1)
    loopy = grid(rng, 4)
    found = feedback(loopy, np.array([5, 10]))
    assert found.variances is Variances.APPROXIMATE
    A, h = dense(loopy)
    np.testing.assert_allclose(found.mean.reshape(h.shape), np.linalg.solve(A, h), atol=1e-8)
    exact, plain = np.diag(np.linalg.inv(A)), solve(loopy, Synchronous()).covariance.ravel()
    assert np.abs(found.covariance.ravel() - exact).sum() < np.abs(plain - exact).sum()


def test_where_plain_messages_diverge() -> None:
    """Malioutov's cycle with a chord at r = .45 takes one or two variables."""
    graph = FactorGraph.of_system(chorded_cycle(0.45), np.array([1.0, -2.0, 3.0, 0.5]))
    assert len(feedback_set(graph, 4)) <= 2
    assert_exact(feedback(graph), graph)


def test_no_more_than_so_many_are_chosen() -> None:
    """And the best first: the hub of a wheel."""
    graph = network(nx.wheel_graph(30))
    assert list(feedback_set(graph, 1)) == [0]
    assert len(feedback_set(network(nx.complete_graph(9)), 3)) == 3


def test_an_indefinite_system_is_refused() -> None:
    """If what is left is solved, the feedback variables' precision shows it."""
    graph = FactorGraph.of_system(chorded_cycle(0.6), np.ones(4))
    with pytest.raises(PropagationError) as refused:
        feedback(graph)
    assert refused.value.cause is Cause.INDEFINITE


def test_copies_have_no_columns() -> None:
    """So they are refused by name."""
    copies = Equalities(np.array([[0, 1], [1, 2], [2, 0]]))
    graph = FactorGraph(np.ones((3, 1, 1)), np.ones((3, 1, 1)), (copies,))
    with pytest.raises(NumericalError, match="Equalities"):
        feedback(graph, np.array([0]))

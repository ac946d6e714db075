"""On a forest one pass up and one down are exact, means and variances."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import solveh_banded

from edge_node.inference.messages.propagation.factors import Couplings
from edge_node.inference.messages.propagation.graph import FactorGraph, padded
from edge_node.inference.messages.propagation.schedules import ResidualFirst, Synchronous
from edge_node.inference.messages.propagation.solution import Cause, PropagationError, Variances
from edge_node.inference.messages.propagation.solve import solve
from edge_node.inference.messages.propagation.two_pass import two_pass
from tests.inference.messages.products import assert_same
from tests.inference.messages.propagation.graphs import assert_exact, dense, forest, grid

SHENTAL = np.array([[1.0, -2.0, 3.0], [-2.0, 1.0, 0.0], [3.0, 0.0, 1.0]])
SEEDS = st.integers(0, 2**32 - 1)


@settings(max_examples=60)
@given(SEEDS, st.integers(1, 25), st.integers(1, 3), st.integers(1, 2), st.integers(1, 3))
def test_any_forest_is_the_dense_inverse(seed: int, n: int, d: int, q: int, p: int) -> None:
    """Whatever its shape, its factors, and the dimensions of variables and observations."""
    graph = forest(np.random.default_rng(seed), n, d, q, p)
    found = solve(graph)
    assert found.variances is Variances.EXACT
    assert found.residual < 1e-9
    assert (found.steps, found.messages) == (2, graph.slots)
    assert_exact(found, graph)


@settings(max_examples=25)
@given(SEEDS, st.integers(1, 15), st.integers(1, 2))
def test_exchanges_of_all_messages_come_to_the_same(seed: int, n: int, d: int) -> None:
    """After as many steps as the forest is deep."""
    graph = forest(np.random.default_rng(seed), n, d, 1, 2)
    found, state = two_pass(graph), Synchronous().start(graph)
    for _ in range(n + 1):
        state = Synchronous().step(graph, state)
    for one, other in zip(found.inbox, state.inbox, strict=True):
        assert_same(one, other, 1e-9)


def test_the_indefinite_example_of_shental_et_al() -> None:
    """Shental et al. 2008: accepted, because it is a tree."""
    found = solve(FactorGraph.of_system(SHENTAL, np.array([-6.0, 0.0, 2.0])))
    np.testing.assert_allclose(found.mean.ravel(), [1, 2, -1], rtol=1e-12)
    np.testing.assert_allclose(found.covariance.ravel(), [-1 / 12, 2 / 3, 1 / 4], rtol=1e-12)
    assert found.variances is Variances.EXACT


@settings(max_examples=25)
@given(SEEDS, st.integers(2, 20))
def test_an_indefinite_tree_is_solved(seed: int, n: int) -> None:
    """Each diagonal of either sign, larger than the rest of its row."""
    rng = np.random.default_rng(seed)
    A = np.zeros((n, n))
    for i in range(1, n):
        j = rng.integers(0, i)
        A[i, j] = A[j, i] = rng.standard_normal()
    np.fill_diagonal(A, rng.choice([-1.0, 1.0], n) * (np.abs(A).sum(axis=1) + 0.5))
    graph = FactorGraph.of_system(A, rng.standard_normal((n, 2)))
    assert_exact(solve(graph), graph)


def test_columns_share_a_precision() -> None:
    """Each column's answer is that of a run of its own."""
    graph = forest(np.random.default_rng(3), 20, 2, 3, 1)
    found = solve(graph)
    couplings, observed = graph.families
    for column in range(3):
        part = slice(column, column + 1)
        own = replace(observed, target=observed.target[..., part])
        alone = solve(replace(graph, shift=graph.shift[..., part], families=(couplings, own)))
        np.testing.assert_allclose(alone.mean, found.mean[..., part], rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(alone.covariance, found.covariance, rtol=1e-12)


def test_a_long_chain_is_no_problem() -> None:
    """Its levels cost no recursion; a banded solver says the same."""
    n, rng = 3000, np.random.default_rng(0)
    scope = np.stack([np.arange(n - 1), np.arange(1, n)], axis=1)
    h, diagonal = rng.standard_normal((n, 1, 1)), 2.0 + rng.random(n)
    graph = FactorGraph(diagonal[:, None, None], h, (Couplings(scope, -np.ones((n - 1, 1, 1))),))
    expected = solveh_banded(np.stack([np.full(n, -1.0), diagonal]), h.ravel())
    np.testing.assert_allclose(solve(graph).mean.ravel(), expected, rtol=1e-9, atol=1e-12)


def test_many_trees_take_no_longer_than_their_depth() -> None:
    """Isolated variables, pairs and a star of a thousand leaves, all at once."""
    star = np.stack([np.zeros(1000), np.arange(1, 1001)], axis=1).astype(int)
    pairs = np.arange(1001, 2001).reshape(-1, 2)
    scope = np.concatenate([star, pairs])
    rng, n = np.random.default_rng(0), 2100
    own = np.full((n, 1, 1), 1.0)
    own[0] = 100.0
    family = Couplings(scope, rng.uniform(-0.3, 0.3, (len(scope), 1, 1)))
    graph = FactorGraph(own, rng.standard_normal((n, 1, 1)), (family,))
    assert_exact(solve(graph), graph)


def test_a_loop_is_refused_and_a_graph_with_loops_isnt_called_exact() -> None:
    """The control: there the variances are not exact, while the mean is."""
    graph = grid(np.random.default_rng(0), 3)
    with pytest.raises(PropagationError, match="forest") as refused:
        two_pass(graph)
    assert refused.value.cause is Cause.LOOPS
    found, (A, h) = solve(graph), dense(graph)
    assert found.variances is Variances.APPROXIMATE
    np.testing.assert_allclose(found.mean[:, 0], np.linalg.solve(A, h), rtol=1e-8, atol=1e-10)
    assert np.abs(found.covariance.ravel() - np.diag(np.linalg.inv(A))).max() > 1e-4


def test_two_factors_over_the_same_pair_are_a_loop() -> None:
    """The control: one is a tree."""
    own, h = np.ones((2, 1, 1)), np.ones((2, 1, 1))
    J = np.full((2, 1, 1), 0.1)
    assert not FactorGraph(own, h, (Couplings(np.array([[0, 1], [0, 1]]), J),)).is_forest
    assert FactorGraph(own, h, (Couplings(np.array([[0, 1]]), J[:1]),)).is_forest


@pytest.mark.parametrize("A", [[[1.0, 1.0], [1.0, 1.0]], [[0.0, 1.0], [1.0, 0.0]]])
def test_what_is_singular_on_the_way_is_refused(A: list[list[float]]) -> None:
    """Also where another order of elimination would have an answer."""
    with pytest.raises(PropagationError) as refused:
        solve(FactorGraph.of_system(np.array(A), np.ones(2)))
    assert refused.value.cause is Cause.SINGULAR


@pytest.mark.parametrize("h", [[1.0, 2.0, 3.0], [0.0, 0.0, 0.0]])
@pytest.mark.parametrize("pivot", [1e-10, 1e-13, -1e-14, 1e-15])
def test_a_pivot_that_is_nearly_singular_is_refused(pivot: float, h: list[float]) -> None:
    """The system is well-conditioned, and rounding beside the pivot would spoil a variance.

    The control: a small pivot that leaves digits enough.
    """
    A = np.array([[pivot, 1.0, 0.0], [1.0, 1.0, 1.0], [0.0, 1.0, 3.0]])
    with pytest.raises(PropagationError) as refused:
        solve(FactorGraph.of_system(A, np.array(h)))
    assert refused.value.cause is Cause.NOT_CONVERGED
    A[0, 0] = 1e-4
    graph = FactorGraph.of_system(A, np.array(h))
    assert_exact(solve(graph), graph)


@pytest.mark.parametrize("schedule", [Synchronous(), ResidualFirst(0.1)])
def test_a_forest_is_not_called_exact_before_its_precisions_have_settled(schedule) -> None:
    """With a shift of zeros the mean is right from the first, and its residual says nothing."""
    chain = np.eye(50) + np.diag(np.full(49, -0.49), 1) + np.diag(np.full(49, -0.49), -1)
    graph = FactorGraph.of_system(chain, np.zeros(50))
    with pytest.raises(PropagationError) as refused:
        solve(graph, schedule, most_steps=3)
    assert refused.value.cause is Cause.NOT_CONVERGED
    assert_exact(solve(graph, schedule), graph)


def test_variables_of_different_dimensions_take_the_largest() -> None:
    """What is padded changes nothing."""
    rng = np.random.default_rng(0)
    whole, shift = padded(
        [np.array([[2.0]]), np.array([[2.0, 0.1], [0.1, 3.0]])],
        [rng.standard_normal((1, 1)), rng.standard_normal((2, 1))],
    )
    J = np.zeros((1, 2, 2))
    J[0, 0] = [0.5, -0.4]
    found = solve(FactorGraph(whole, shift, (Couplings(np.array([[0, 1]]), J),)))
    A = np.array([[2.0, 0.5, -0.4], [0.5, 2.0, 0.1], [-0.4, 0.1, 3.0]])
    expected = np.linalg.solve(A, np.concatenate([shift[0, :1], shift[1]]))
    np.testing.assert_allclose([found.mean[0, 0, 0], *found.mean[1, :, 0]], expected.ravel())
    np.testing.assert_allclose(found.covariance[0, 0, 0], np.linalg.inv(A)[0, 0])

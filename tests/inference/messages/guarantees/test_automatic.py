"""The method is chosen by what is proved, and the solution says which; variances are measured."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_node.errors import NumericalError
from edge_node.inference.messages.guarantees.automatic import (
    MOST_FEEDBACK,
    answer,
    choose,
    measured_error,
)
from edge_node.inference.messages.guarantees.double_loop import double_loop
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
from tests.inference.messages.guarantees.cases import chorded_cycle, conditioned
from tests.inference.messages.propagation.graphs import (
    assert_exact,
    couplings,
    definite,
    dense,
    field,
    forest,
    grid,
)

SEEDS = st.integers(0, 2**32 - 1)


def tight(n: int = 40) -> FactorGraph:
    """Every pair of many variables is coupled: no certificate, and too many loops for feedback."""
    A = conditioned(np.random.default_rng(0), n, 3)
    return FactorGraph.of_system(A, np.random.default_rng(1).standard_normal(n))


@pytest.mark.parametrize(
    ("make", "method", "variances"),
    [
        (lambda: forest(np.random.default_rng(0), 20, 2, 1, 1), "TWO_PASSES", "EXACT"),
        (lambda: grid(np.random.default_rng(0), 4), "FEEDBACK", "EXACT"),
        (lambda: grid(np.random.default_rng(0), 12), "MESSAGES", "APPROXIMATE"),
        (lambda: grid(np.random.default_rng(0), 12, excess=1e-9), "DOUBLE_LOOP", "APPROXIMATE"),
        (tight, "DOUBLE_LOOP", "APPROXIMATE"),
        (lambda: field(np.random.default_rng(0), 80), "DOUBLE_LOOP", "APPROXIMATE"),
    ],
    ids=["forest", "few loops", "certified", "barely certified", "dense", "field"],
)
def test_the_method_is_chosen_by_what_is_proved(make, method: str, variances: str) -> None:
    """And the mean is the dense one in each case."""
    graph = make()
    found = answer(graph)
    assert (found.method, found.variances) == (Method[method], Variances[variances])
    assert choose(graph)[0] is found.method
    A, h = dense(graph)
    scale = np.abs(np.linalg.solve(A, h)).max()
    np.testing.assert_allclose(
        found.mean.reshape(h.shape), np.linalg.solve(A, h), atol=1e-6 * scale
    )
    if found.variances is Variances.EXACT:
        assert_exact(found, graph)


@settings(max_examples=25, deadline=None)
@given(SEEDS, st.integers(2, 40), st.integers(1, 2))
def test_any_definite_graph_has_an_answer(seed: int, n: int, d: int) -> None:
    """Whatever the method: sparse random couplings, definite by their eigenvalues."""
    rng = np.random.default_rng(seed)
    pairs = np.stack([rng.permutation(n)[:2] for _ in range(2 * n)])
    graph = FactorGraph(
        definite(rng, n, d), rng.standard_normal((n, d, 1)), (couplings(rng, pairs, d, 2.0),)
    )
    lift = max(0.0, 0.05 - np.linalg.eigvalsh(dense(graph)[0])[0])
    graph = replace(graph, precision=graph.precision + lift * np.eye(d))
    A, h = dense(graph)
    found, exact = answer(graph, tolerance=1e-11), np.linalg.solve(A, h)
    np.testing.assert_allclose(found.mean.reshape(h.shape), exact, atol=1e-7 * np.abs(exact).max())
    if found.variances is Variances.EXACT:
        assert_exact(found, graph)


def test_what_has_no_answer_is_refused() -> None:
    """Not definite, with many loops; and copies on a loop."""
    A = conditioned(np.random.default_rng(0), 40, 3) - 0.1 * np.eye(40)
    with pytest.raises(PropagationError) as refused:
        answer(FactorGraph.of_system(A, np.ones(40)))
    assert refused.value.cause is Cause.INDEFINITE
    copies = Equalities(np.array([[0, 1], [1, 2], [2, 0]]))
    with pytest.raises(NumericalError, match="Equalities"):
        answer(FactorGraph(np.ones((3, 1, 1)), np.ones((3, 1, 1)), (copies,)))


def test_exact_variances_have_no_error() -> None:
    """The measure's control."""
    graph = grid(np.random.default_rng(0), 4)
    found = measured_error(graph, answer(graph), 16)
    np.testing.assert_allclose(found.ratios, 1, atol=1e-6)
    assert found.median == pytest.approx(1)
    assert grid(np.random.default_rng(0), 12).size > MOST_FEEDBACK


def test_approximate_variances_are_measured() -> None:
    """As the dense inverse says they are."""
    graph = grid(np.random.default_rng(0), 9, excess=0.05)
    found = solve(graph, Synchronous())
    exact = np.diag(np.linalg.inv(dense(graph)[0]))
    measured = measured_error(graph, found, 10, seed=3)
    ratios = found.covariance.ravel() / exact
    np.testing.assert_allclose(measured.ratios.ravel(), ratios[measured.variables], rtol=1e-6)
    assert np.abs(measured.ratios - 1).max() > 1e-3
    assert measured.worst in measured.ratios
    assert len(np.unique(measured.variables)) == 10
    assert list(measured.variables) != list(measured_error(graph, found, 10, seed=4).variables)


def test_blocks_of_variances_are_measured() -> None:
    """Each coordinate's, where variables are vectors."""
    rng = np.random.default_rng(0)
    scope = np.stack([rng.permutation(12)[:2] for _ in range(24)])
    graph = FactorGraph(
        definite(rng, 12, 2) + np.eye(2), np.ones((12, 2, 1)), (couplings(rng, scope, 2),)
    )
    found = double_loop(graph)
    blocks = np.linalg.inv(dense(graph)[0]).diagonal().reshape(12, 2)
    measured = measured_error(graph, found, 12)
    given_variances = np.einsum("nii->ni", found.covariance)
    np.testing.assert_allclose(measured.ratios, given_variances / blocks, rtol=1e-6)


def test_the_cycle_with_a_chord_has_exact_variances() -> None:
    """Where plain messages diverge, r = .45, the choice falls on feedback."""
    graph = FactorGraph.of_system(chorded_cycle(0.45), np.ones(4))
    found = answer(graph)
    assert found.method is Method.FEEDBACK
    assert_exact(found, graph)

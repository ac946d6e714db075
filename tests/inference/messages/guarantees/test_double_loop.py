"""The double loop has the exact mean of every positive definite system."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_node.errors import NumericalError
from edge_node.inference.messages.guarantees import settled
from edge_node.inference.messages.guarantees.certificate import Verdict, certify
from edge_node.inference.messages.guarantees.double_loop import Outer, double_loop, loaded
from edge_node.inference.messages.guarantees.settled import settle
from edge_node.inference.messages.propagation import factors
from edge_node.inference.messages.propagation.factors import Equalities
from edge_node.inference.messages.propagation.graph import FactorGraph
from edge_node.inference.messages.propagation.messages import Inbox
from edge_node.inference.messages.propagation.schedules import Synchronous
from edge_node.inference.messages.propagation.solution import (
    Cause,
    Method,
    PropagationError,
    Variances,
)
from edge_node.inference.messages.propagation.solve import solve
from tests.inference.messages.guarantees.cases import chorded_cycle, conditioned
from tests.inference.messages.propagation.graphs import dense, field, grid, observations

SEEDS = st.integers(0, 2**32 - 1)
both = pytest.mark.parametrize("outer", Outer)


@both
def test_where_plain_messages_diverge_it_has_the_dense_answer(outer: Outer) -> None:
    """Malioutov's cycle with a chord at r = .45: definite, and plain messages diverge."""
    A, b = chorded_cycle(0.45), np.array([[1.0, 0.0], [-2.0, 1.0], [3.0, 0.0], [0.5, 2.0]])
    graph = FactorGraph.of_system(A, b)
    with pytest.raises(PropagationError) as plain:
        solve(graph, Synchronous(), most_steps=20_000)
    assert plain.value.cause in (Cause.DIVERGED, Cause.IMPROPER, Cause.NOT_CONVERGED)
    found = double_loop(graph, outer, tolerance=1e-12)
    np.testing.assert_allclose(found.mean[:, 0], np.linalg.solve(A, b), rtol=1e-9, atol=1e-9)
    assert (found.method, found.variances) == (Method.DOUBLE_LOOP, Variances.APPROXIMATE)
    assert found.residual <= 1e-11


@settings(max_examples=40, deadline=None)
@given(SEEDS, st.integers(2, 30), st.floats(0, 6))
def test_any_definite_system_is_solved(seed: int, n: int, digits: float) -> None:
    """Dense, of a condition number up to a million: the error is the residual's, magnified."""
    rng = np.random.default_rng(seed)
    A, x = conditioned(rng, n, digits), rng.standard_normal((n, 2))
    found = double_loop(FactorGraph.of_system(A, A @ x), tolerance=1e-10)
    error = np.linalg.norm(found.mean[:, 0] - x, axis=0) / np.linalg.norm(x, axis=0)
    assert error.max() <= 2e-10 * 10**digits + 1e-9
    assert found.residual <= 2e-10


@settings(max_examples=15, deadline=None)
@given(SEEDS, st.integers(2, 15), st.floats(0, 1.5))
def test_without_sums_over_all_variables_too(seed: int, n: int, digits: float) -> None:
    """The local loop comes to the same, where the condition number is moderate."""
    rng = np.random.default_rng(seed)
    A, b = conditioned(rng, n, digits), rng.standard_normal(n)
    found = double_loop(FactorGraph.of_system(A, b), Outer.LOCAL, tolerance=1e-11)
    x = np.linalg.solve(A, b)
    np.testing.assert_allclose(found.mean.ravel(), x, atol=1e-8 * np.abs(x).max())


def test_conjugate_gradients_need_far_fewer_steps() -> None:
    """What the two sums of a step buy, where all neighbours pull one way."""
    graph = grid(np.random.default_rng(0), 12, excess=1e-2)
    (family,) = graph.families
    graph = replace(graph, families=(replace(family, coupling=-np.abs(family.coupling)),))
    steps = {outer: double_loop(graph, outer, most_steps=50_000).steps for outer in Outer}
    assert steps[Outer.CONJUGATE] * 5 < steps[Outer.LOCAL]


def test_all_messages_are_counted() -> None:
    """The factors' answers: those for the mean, and those for the variances afterwards."""
    graph, answers = field(np.random.default_rng(3), 150), [0]

    def counted(
        plain: Callable[[FactorGraph, Inbox], Inbox],
    ) -> Callable[[FactorGraph, Inbox], Inbox]:
        def told(graph: FactorGraph, inbox: Inbox) -> Inbox:
            answers[0] += graph.slots
            return plain(graph, inbox)

        return told

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(settled, "responses", counted(settled.responses))
        found = double_loop(graph)
    corrections = 2 * found.steps * graph.slots  # one for A p, one for the correction
    assert found.messages == answers[0] + corrections
    assert answers[0] > 2 * graph.slots


def test_a_correction_inverts_nothing() -> None:
    """Once precisions have settled; an ordinary step does."""
    graph = observed(6)
    at_rest, shift = settle(loaded(graph)), graph.total_shift
    plain = at_rest.means(shift, 3)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("inverse", "proper_inverse"):
            patch.setattr(factors, name, lambda *_: pytest.fail("something is inverted"))
        np.testing.assert_array_equal(at_rest.means(shift, 3), plain)
        with pytest.raises(pytest.fail.Exception, match="inverted"):
            Synchronous().step(graph, Synchronous().start(graph))


@settings(max_examples=20, deadline=None)
@given(SEEDS, st.integers(1, 3), st.integers(1, 2), st.integers(1, 2))
def test_observations_too(seed: int, d: int, p: int, q: int) -> None:
    """Of variables of any dimension, with many loops."""
    graph = observed(seed, p, d, q)
    A, h = dense(graph)
    found, exact = double_loop(graph, tolerance=1e-12), np.linalg.solve(A, h)
    np.testing.assert_allclose(found.mean.reshape(h.shape), exact, atol=1e-8 * np.abs(exact).max())


def observed(seed: int, p: int = 1, d: int = 2, q: int = 1) -> FactorGraph:
    """Nine variables, and fourteen observations of four each."""
    rng = np.random.default_rng(seed)
    scope = np.stack([rng.permutation(9)[:4] for _ in range(14)])
    own = np.tile(np.eye(d) * 0.1, (9, 1, 1))
    shift = rng.standard_normal((9, d, q))
    return FactorGraph(own, shift, (observations(rng, scope, p, d, q),))


def test_a_field_with_flat_variables() -> None:
    """Vecchia's approximation where only half of the variables are measured."""
    graph = field(np.random.default_rng(3), 150)
    A, h = dense(graph)
    found = double_loop(graph, tolerance=1e-12)
    np.testing.assert_allclose(found.mean[:, 0], np.linalg.solve(A, h), atol=1e-7)


@settings(max_examples=25, deadline=None)
@given(SEEDS, st.integers(2, 20), st.floats(0.3, 0.95))
def test_what_is_loaded_is_certified(seed: int, n: int, rate: float) -> None:
    """By the certificate itself; and a graph that needs no loading gets none."""
    graph = FactorGraph.of_system(conditioned(np.random.default_rng(seed), n, 3), np.ones(n))
    found = certify(loaded(graph, rate), steps=2000, gap=1e-6)
    assert found.verdict in (Verdict.CONVERGES, Verdict.FOREST)
    assert found.upper <= rate + 1e-5
    easy = grid(np.random.default_rng(0), 4, excess=50.0)
    np.testing.assert_array_equal(loaded(easy, 0.9).precision, easy.precision)


@both
def test_an_indefinite_system_is_refused(outer: Outer) -> None:
    """By its name: a curvature along a correction isn't positive."""
    graph = FactorGraph.of_system(chorded_cycle(0.6), np.array([1.0, -2.0, 3.0, 0.5]))
    with pytest.raises(PropagationError, match="not positive definite") as refused:
        double_loop(graph, outer)
    assert refused.value.cause is Cause.INDEFINITE
    improper = FactorGraph.of_system(np.diag([1.0, -1.0]), np.ones(2))
    with pytest.raises(PropagationError) as refused:
        double_loop(improper, outer)
    assert refused.value.cause is Cause.INDEFINITE


def test_too_few_steps_and_other_factors_are_refused() -> None:
    """With what was found, and what to do."""
    A = conditioned(np.random.default_rng(0), 20, 6)
    with pytest.raises(PropagationError, match=r"residual of .* after 3 outer steps") as refused:
        double_loop(FactorGraph.of_system(A, np.ones(20)), most_steps=3)
    assert refused.value.cause is Cause.NOT_CONVERGED
    copies = Equalities(np.array([[0, 1]]))
    graph = FactorGraph(np.ones((2, 1, 1)), np.ones((2, 1, 1)), (copies,))
    with pytest.raises(NumericalError, match=r"expected couplings and observations.*Equalities"):
        double_loop(graph)


def test_what_rounding_does_not_let_it_solve_is_refused() -> None:
    """A residual of 1e-10 is out of reach of float64; the mean that was found isn't given."""
    A = conditioned(np.random.default_rng(0), 20, 12)
    graph = FactorGraph.of_system(A, np.random.default_rng(1).standard_normal(20))
    with pytest.raises(PropagationError) as refused:
        double_loop(graph, most_steps=500)
    assert refused.value.cause is Cause.NOT_CONVERGED


def test_nothing_of_nothing_is_nothing() -> None:
    """A column of zeros is solved by zeros, beside one that isn't."""
    graph = grid(np.random.default_rng(0), 4, q=2)
    shift = graph.shift * np.array([0.0, 1.0])
    found = double_loop(replace(graph, shift=shift), tolerance=1e-12)
    assert not found.mean[..., 0].any()
    A, h = dense(graph)
    np.testing.assert_allclose(found.mean[:, 0, 1], np.linalg.solve(A, h)[:, 1], atol=1e-9)


class _Inverse:
    """An inner that knows A^-1, but for a share of it."""

    def __init__(self, A: np.ndarray, share: float) -> None:
        self.inverse = (1 - share) * np.linalg.inv(A) + share * np.diag(1 / np.diag(A))

    def means(self, shift: np.ndarray, _: int) -> np.ndarray:
        """Whatever the steps."""
        return (self.inverse @ shift[:, 0])[:, None]


def test_an_inner_that_knows_more_takes_fewer_steps_to_the_same() -> None:
    """The outer loop decides what is an answer: one that knows less takes longer."""
    rng = np.random.default_rng(0)
    A, x = conditioned(rng, 30, 4.0), rng.standard_normal((30, 2))
    graph, steps = FactorGraph.of_system(A, A @ x), []
    for inner in (_Inverse(A, 0.0), _Inverse(A, 1.0), None):
        found = double_loop(graph, inner=inner, tolerance=1e-9)
        np.testing.assert_allclose(found.mean[:, 0], x, atol=1e-3)
        steps.append(found.steps)
    assert steps[0] <= 3
    assert min(steps[1:]) > 5 * steps[0]


@both
@pytest.mark.parametrize("scale", [1e-250, 1e-170, 1e160, 1e200])
def test_tiny_and_huge_shifts_are_solved_like_any(outer: Outer, scale: float) -> None:
    """Their squares underflow or overflow: of a residual that is zero nothing would be learnt."""
    graph = grid(np.random.default_rng(0), 4)
    plain = double_loop(graph, outer)
    scaled = replace(graph, shift=scale * graph.shift)
    found = double_loop(scaled, outer)
    np.testing.assert_allclose(found.mean / scale, plain.mean, rtol=1e-9)
    assert scaled.residual(0.5 * found.mean) == pytest.approx(0.5)

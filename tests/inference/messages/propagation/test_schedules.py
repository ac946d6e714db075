"""Every schedule comes to the same fixed point, or ends with an error by name."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_node.errors import ConfigurationError, NumericalError
from edge_node.inference.messages.propagation.asynchronous import Asynchronous
from edge_node.inference.messages.propagation.factors import Observations
from edge_node.inference.messages.propagation.graph import FactorGraph
from edge_node.inference.messages.propagation.schedules import ResidualFirst, Synchronous
from edge_node.inference.messages.propagation.solution import Cause, PropagationError, Variances
from edge_node.inference.messages.propagation.solve import solve
from tests.inference.messages.propagation.graphs import dense, field, grid, observations

SEEDS = st.integers(0, 2**32 - 1)
SCHEDULES = pytest.mark.parametrize(
    "schedule",
    [
        Synchronous(),
        Synchronous(damping=0.3),
        ResidualFirst(share=0.2),
        Asynchronous(seed=5, delivered=0.6),
        Asynchronous(seed=5, delivered=0.6, lost=0.2, late=3, repeated=0.3),
    ],
    ids=str,
)


def everyone(n: int, coupling: float) -> FactorGraph:
    """All pairs of n variables with one coupling: positive definite for any in [0, 1)."""
    A = np.full((n, n), coupling)
    np.fill_diagonal(A, 1.0)
    return FactorGraph.of_system(A, np.random.default_rng(0).standard_normal(n))


def assert_solved(graph: FactorGraph, mean: np.ndarray) -> None:
    """The mean is the dense solution."""
    A, h = dense(graph)
    np.testing.assert_allclose(mean.reshape(h.shape), np.linalg.solve(A, h), atol=1e-7)


@SCHEDULES
@pytest.mark.parametrize(
    "make", [lambda rng: grid(rng, 6, 2), lambda rng: field(rng, 60)], ids=["grid", "field"]
)
def test_with_loops_the_mean_is_the_dense_one_whatever_the_schedule(schedule, make) -> None:
    """And the variances are those of any other schedule, labelled approximate."""
    graph = make(np.random.default_rng(7))
    found, other = solve(graph, schedule), solve(graph)
    assert not graph.is_forest
    assert found.variances is Variances.APPROXIMATE
    assert found.residual <= 1e-10
    assert_solved(graph, found.mean)
    np.testing.assert_allclose(found.covariance, other.covariance, rtol=1e-7)


@settings(max_examples=20)
@given(SEEDS, st.integers(1, 2), st.integers(1, 2), st.integers(1, 2))
def test_observations_with_loops_come_to_the_dense_mean(seed: int, d: int, p: int, q: int) -> None:
    """Variables and observations of more than one dimension, several columns."""
    rng, n = np.random.default_rng(seed), 15
    scope = rng.permuted(np.tile(np.arange(n), (20, 1)), axis=1)[:, :3]
    own = np.tile(8.0 * np.eye(d), (n, 1, 1))
    family = observations(rng, scope, p, d, q)
    graph = FactorGraph(own, rng.standard_normal((n, d, q)), (family,))
    assert not graph.is_forest
    assert_solved(graph, solve(graph, Synchronous(damping=0.2)).mean)


def test_columns_share_precisions_with_loops_too() -> None:
    """Each column is its own run."""
    graph = grid(np.random.default_rng(1), 5, 3)
    found = solve(graph, tolerance=1e-12)
    for column in range(3):
        alone = solve(replace(graph, shift=graph.shift[..., [column]]), tolerance=1e-12)
        np.testing.assert_allclose(alone.mean, found.mean[..., [column]], atol=1e-10)
        np.testing.assert_allclose(alone.covariance, found.covariance, rtol=1e-8)


def test_a_forest_is_exact_under_any_schedule() -> None:
    """What is exact is a matter of the graph."""
    A = np.array([[2.0, 1.0, 0.0], [1.0, 2.0, 0.5], [0.0, 0.5, 1.0]])
    graph = FactorGraph.of_system(A, np.ones(3))
    for schedule in (Synchronous(), ResidualFirst(), Asynchronous(seed=1)):
        found = solve(graph, schedule)
        assert found.variances is Variances.EXACT
        np.testing.assert_allclose(found.covariance.ravel(), np.diag(np.linalg.inv(A)), rtol=1e-8)


def test_what_would_change_most_goes_first_and_less_is_sent() -> None:
    """One source in the corner of a grid: messages that have nothing to tell aren't sent."""
    graph = grid(np.random.default_rng(2), 12, excess=1.0)
    shift = np.zeros_like(graph.shift)
    shift[0] = 1.0
    graph = replace(graph, shift=shift)
    all_at_once, some = solve(graph), solve(graph, ResidualFirst(share=0.1))
    np.testing.assert_allclose(some.mean, all_at_once.mean, atol=1e-9)
    assert all_at_once.messages == all_at_once.steps * graph.slots
    assert some.messages < 0.8 * all_at_once.messages


def test_no_more_than_its_share_is_sent() -> None:
    """In a step, but for messages that would change equally."""
    graph = grid(np.random.default_rng(2), 8)
    schedule = ResidualFirst(share=0.25)
    state = schedule.start(graph)
    for _ in range(5):
        after = schedule.step(graph, state)
        assert 0 < after.sent - state.sent <= 0.25 * graph.slots + 1
        state = after


def test_damping_makes_an_oscillation_converge() -> None:
    """Ten variables that push each other away: undamped messages overshoot, more each time."""
    graph = everyone(10, 0.15)
    with pytest.raises(PropagationError) as refused:
        solve(graph)
    assert refused.value.cause is Cause.DIVERGED
    assert_solved(graph, solve(graph, Synchronous(damping=0.5)).mean)


def test_divergence_is_refused() -> None:
    """By name, with what was found and a remedy."""
    with pytest.raises(PropagationError, match="Add damping") as refused:
        solve(everyone(10, 0.6))
    assert refused.value.cause in (Cause.DIVERGED, Cause.SINGULAR)
    assert isinstance(refused.value, NumericalError)


def test_too_few_steps_are_refused() -> None:
    """Three steps don't do; the default does."""
    graph = grid(np.random.default_rng(3), 6)
    with pytest.raises(PropagationError, match="after 3 steps") as refused:
        solve(graph, most_steps=3)
    assert refused.value.cause is Cause.NOT_CONVERGED
    assert solve(graph).residual <= 1e-10


def test_a_residual_that_rounding_stops_is_refused_without_delay() -> None:
    """A tolerance below rounding is never reached: the steps aren't used up on it."""
    graph = grid(np.random.default_rng(3), 6)
    with pytest.raises(PropagationError) as refused:
        solve(graph, tolerance=1e-18, most_steps=10**9)
    assert refused.value.cause is Cause.NOT_CONVERGED


def test_precisions_are_waited_for_where_the_mean_is_right_from_the_first() -> None:
    """A shift of zeros has no residual that falls, and this loop's precisions take their time."""
    n = 400
    A = np.eye(n) * (1 + 1e-4)
    i = np.arange(n)
    A[i, (i + 1) % n] = A[(i + 1) % n, i] = -0.5
    found = solve(FactorGraph.of_system(A, np.zeros(n)))
    assert found.steps > 200
    np.testing.assert_allclose(found.covariance.ravel(), found.covariance[0, 0, 0], rtol=1e-6)


@pytest.mark.parametrize("schedule", [Synchronous(), ResidualFirst(), Asynchronous(seed=0)])
@pytest.mark.parametrize("n", [0, 1])
def test_without_factors_there_is_nothing_to_send(n: int, schedule) -> None:
    """Each variable knows all from the first."""
    found = solve(FactorGraph(np.full((n, 1, 1), 2.0), np.ones((n, 1, 1)), ()), schedule)
    assert (found.mean == 0.5).all()
    assert found.messages == 0


def test_a_negative_variance_is_refused_where_it_isnt_exact() -> None:
    """An indefinite system with a loop."""
    A = np.array([[3.0, 1.0, 1.0], [1.0, -3.0, 1.0], [1.0, 1.0, 3.0]])
    with pytest.raises(PropagationError) as refused:
        solve(FactorGraph.of_system(A, np.ones(3)))
    assert refused.value.cause is Cause.IMPROPER


@pytest.mark.parametrize(
    "noise", [[[0.0]], [[-10.0]], [[1.0, 2.0], [2.0, 1.0]], [[1.0, 0.5], [-0.5, 1.0]]]
)
def test_noise_that_is_no_covariance_is_refused(noise: list[list[float]]) -> None:
    """R is symmetric and positive definite: of another the certificate would be worth nothing."""
    p = len(noise)
    family = Observations(
        np.array([[0]]), np.ones((1, 1, p, 1)), np.ones((1, p, 1)), np.array([noise])
    )
    with pytest.raises(PropagationError, match="no covariance") as refused:
        FactorGraph(np.ones((1, 1, 1)), np.ones((1, 1, 1)), (family,))
    assert refused.value.cause is Cause.INDEFINITE
    FactorGraph(np.ones((1, 1, 1)), np.ones((1, 1, 1)), (replace(family, noise=np.eye(p)[None]),))


@pytest.mark.parametrize(
    "make",
    [
        lambda: Synchronous(damping=1.0),
        lambda: Synchronous(damping=-0.1),
        lambda: ResidualFirst(share=0.0),
        lambda: Asynchronous(seed=0, delivered=0.0),
        lambda: Asynchronous(seed=0, lost=1.0),
        lambda: Asynchronous(seed=0, repeated=float("nan")),
        lambda: Asynchronous(seed=0, late=-1),
    ],
)
def test_shares_that_are_none_are_refused(make) -> None:
    """Before anything is sent."""
    with pytest.raises(ConfigurationError, match="schedule"):
        make()

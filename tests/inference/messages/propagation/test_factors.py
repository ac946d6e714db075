"""Each family's messages are the integrals that they stand for."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_node.arrays import Matrix
from edge_node.errors import NumericalError
from edge_node.inference.messages.propagation.factors import Couplings, Equalities, Observations
from edge_node.inference.messages.propagation.graph import FactorGraph
from edge_node.inference.messages.propagation.messages import Factors, Messages, respond
from edge_node.inference.messages.propagation.schedules import Synchronous, responses
from edge_node.inference.messages.propagation.solution import Cause, PropagationError
from edge_node.inference.messages.propagation.solve import solve
from edge_node.inference.messages.propagation.stacks import others, proper_inverse, scattered
from tests.inference.messages.propagation.graphs import (
    assert_exact,
    couplings,
    definite,
    dense,
    observations,
)

SEEDS = st.integers(0, 2**32 - 1)


def integrated(family: Factors, incoming: Messages, slot: int) -> tuple[Matrix, Matrix]:
    """One factor times the cavities of its other variables, these integrated out: by hand."""
    a, d = incoming.shift.shape[1:3]
    precision, shift = incoming.precision[0].copy(), incoming.shift[0].copy()
    precision[slot], shift[slot] = 0.0, 0.0
    A, h = dense(FactorGraph(precision, shift, (family,)))
    own = np.arange(slot * d, (slot + 1) * d)
    rest = np.setdiff1d(np.arange(a * d), own)
    across = A[np.ix_(own, rest)] @ np.linalg.inv(A[np.ix_(rest, rest)])
    return A[np.ix_(own, own)] - across @ A[np.ix_(rest, own)], h[own] - across @ h[rest]


@settings(max_examples=60)
@given(SEEDS, st.sampled_from([1, 2, 3, 5]), st.integers(1, 3), st.integers(1, 3))
def test_observations_are_integrated(seed: int, a: int, d: int, p: int) -> None:
    """For any number of slots, and any dimensions of variables and observations."""
    rng = np.random.default_rng(seed)
    family = observations(rng, np.arange(a)[None], p, d, 2)
    incoming = Messages(definite(rng, a, d)[None], rng.standard_normal((1, a, d, 2)))
    found = respond(family, incoming)
    for slot in range(a):
        precision, shift = integrated(family, incoming, slot)
        np.testing.assert_allclose(found.precision[0, slot], precision, atol=1e-9)
        np.testing.assert_allclose(found.shift[0, slot], shift, atol=1e-9)


@settings(max_examples=30)
@given(SEEDS, st.integers(1, 3))
def test_couplings_are_integrated(seed: int, d: int) -> None:
    """Either way, for couplings that aren't symmetric."""
    rng = np.random.default_rng(seed)
    family = couplings(rng, np.array([[0, 1]]), d, 1.0)
    incoming = Messages(definite(rng, 2, d)[None], rng.standard_normal((1, 2, d, 2)))
    found = respond(family, incoming)
    for slot in range(2):
        precision, shift = integrated(family, incoming, slot)
        np.testing.assert_allclose(found.precision[0, slot], precision, atol=1e-9)
        np.testing.assert_allclose(found.shift[0, slot], shift, atol=1e-9)


def test_copies_pass_messages_on() -> None:
    """Of two, what the other says; of three, the product of what the two others say."""
    rng = np.random.default_rng(0)
    said = Messages(definite(rng, 3, 2)[None], rng.standard_normal((1, 3, 2, 1)))
    found = respond(Equalities(np.array([[0, 1, 2]])), said)
    np.testing.assert_allclose(found.precision[0, 0], said.precision[0, 1] + said.precision[0, 2])
    np.testing.assert_allclose(found.shift[0, 1], said.shift[0, 0] + said.shift[0, 2])
    two = said[np.array([0])]
    pair = Messages(two.precision[:, :2], two.shift[:, :2])
    found = respond(Equalities(np.array([[0, 1]])), pair)
    assert np.array_equal(found.precision, pair.precision[:, ::-1])


@settings(max_examples=30)
@given(SEEDS, st.integers(1, 3), st.integers(1, 3), st.integers(1, 3))
def test_the_graphs_products_are_the_dense_ones(seed: int, d: int, p: int, q: int) -> None:
    """A x and h, of couplings and observations together, with empty slots."""
    rng, n = np.random.default_rng(seed), 7
    scope = rng.permuted(np.tile(np.arange(n), (9, 1)), axis=1)[:, :3]
    scope[rng.random(9) < 0.4, 2] = -1
    families = (couplings(rng, scope[:, :2], d, 1.0), observations(rng, scope, p, d, q))
    graph = FactorGraph(definite(rng, n, d), rng.standard_normal((n, d, q)), families)
    (A, h), x = dense(graph), rng.standard_normal((n, d, q))
    np.testing.assert_allclose(graph.apply(x).reshape(h.shape), A @ x.reshape(h.shape), atol=1e-9)
    np.testing.assert_allclose(graph.total_shift.reshape(h.shape), h, atol=1e-9)
    solved = np.linalg.solve(A, h).reshape(n, d, q) if np.linalg.cond(A) < 1e6 else None
    if solved is not None:
        assert graph.residual(solved) < 1e-8
        assert graph.residual(solved + 1.0) > 1e-8


def test_a_system_becomes_pairs() -> None:
    """Dense or sparse: one pair a nonzero above the diagonal."""
    from scipy.sparse import csr_array

    A = np.array([[3.0, 1.0, 0.0], [1.0, 3.0, -1.0], [0.0, -1.0, 2.0]])
    b = np.array([[1.0, 0.0], [2.0, 1.0], [3.0, 2.0]])
    for matrix in (A, csr_array(A)):
        graph = FactorGraph.of_system(matrix, b)
        assert graph.slots == 4
        np.testing.assert_allclose(dense(graph)[0], A)
        np.testing.assert_allclose(solve(graph).mean[:, 0], np.linalg.solve(A, b))
    with pytest.raises(NumericalError, match="not symmetric"):
        FactorGraph.of_system(np.array([[1.0, 2.0], [0.0, 1.0]]), np.ones(2))


def test_a_flat_variable_says_nothing_until_it_hears_something() -> None:
    """Z = x_0 + x_1 + noise, x_1 flat: x_0 learns nothing, x_1 learns; exact with p = 1."""
    family = Observations(
        np.array([[0, 1]]), np.ones((1, 2, 1, 1)), np.full((1, 1, 1), 5.0), np.ones((1, 1, 1))
    )
    graph = FactorGraph(np.array([1.0, 0.0]).reshape(2, 1, 1), np.zeros((2, 1, 1)), (family,))
    found = solve(graph)
    np.testing.assert_allclose(found.mean.ravel(), [0.0, 5.0])
    np.testing.assert_allclose(found.covariance.ravel(), [1.0, 2.0])


@pytest.mark.parametrize("target", [1.0, 0.0])
def test_what_a_flat_variable_hides_is_refused_rather_than_wrong(target: float) -> None:
    """Two rows observe x_0, one of them x_1 as well: the other still tells of x_0.

    A factor with a flat cavity says nothing at all, so x_0 doesn't hear it: the residual shows it,
    or that of a probe where all shifts are zero.
    """
    H = np.array([[[[1.0], [1.0]], [[0.0], [1.0]]]])
    family = Observations(np.array([[0, 1]]), H, np.full((1, 2, 1), target), np.eye(2)[None])
    graph = FactorGraph(np.array([1.0, 0.0]).reshape(2, 1, 1), np.zeros((2, 1, 1)), (family,))
    with pytest.raises(PropagationError) as refused:
        solve(graph)
    assert refused.value.cause is Cause.NOT_CONVERGED
    proper = FactorGraph(graph.precision + 1e-3, graph.shift, (family,))
    assert_exact(solve(proper), proper)


def test_an_undetermined_variable_is_refused() -> None:
    """Nobody says anything about it."""
    graph = FactorGraph(np.zeros((1, 1, 1)), np.zeros((1, 1, 1)), ())
    with pytest.raises(PropagationError) as refused:
        solve(graph)
    assert refused.value.cause is Cause.SINGULAR


@settings(max_examples=40)
@given(SEEDS, st.sampled_from([1, 2, 3, 11, 70]), st.integers(1, 2))
def test_sums_over_the_others_do_not_cancel(seed: int, slots: int, size: int) -> None:
    """One value of 1e17 among small ones: the sums that leave it out keep their digits."""
    values = np.random.default_rng(seed).random((3, slots, size, 1))
    values[:, 0] = 1e17
    found = others(values)
    for slot in range(slots):
        expected = np.delete(values, slot, axis=1).sum(axis=1)
        np.testing.assert_allclose(found[:, slot], expected, rtol=1e-12)


def test_a_total_less_ones_own_would_cancel() -> None:
    """The control."""
    values = np.array([1e17, 0.5, 0.25])
    assert values.sum() - values[0] != 0.75
    assert others(values.reshape(1, 3, 1, 1))[0, 0].item() == 0.75


def test_sums_by_variable_leave_empty_slots_out() -> None:
    """Slot -1 is not the last variable."""
    scope, values = np.array([[0, 2], [2, -1]]), np.arange(4.0).reshape(2, 2, 1, 1)
    assert scattered(scope, values, 3).ravel().tolist() == [0.0, 0.0, 3.0]


@pytest.mark.parametrize("size", [1, 2, 3])
def test_singular_matrices_in_a_stack_are_found(size: int) -> None:
    """The others are inverted; those have zeros; and nothing is warned of."""
    A = definite(np.random.default_rng(0), 4, size)
    A[1] = 0.0
    if size > 1:
        A[2] = np.outer(A[2, 0], A[2, 0])
    inverted, proper = proper_inverse(A)
    assert proper.tolist() == [True, False, size == 1, True]
    np.testing.assert_allclose(inverted[3] @ A[3], np.eye(size), atol=1e-12)
    assert not inverted[~proper].any()


def test_a_chunk_of_a_family_says_what_the_family_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many factors are worked on at once."""
    from edge_node.inference.messages.propagation import schedules

    rng, n = np.random.default_rng(0), 30
    scope = rng.permuted(np.tile(np.arange(n), (50, 1)), axis=1)[:, :4]
    graph = FactorGraph(
        definite(rng, n, 2), rng.standard_normal((n, 2, 1)), (observations(rng, scope, 2, 2, 1),)
    )
    inbox = Synchronous().step(graph, Synchronous().start(graph)).inbox
    (whole,) = responses(graph, inbox)
    monkeypatch.setattr(schedules, "_TOGETHER", 100)
    (parts,) = responses(graph, inbox)
    np.testing.assert_allclose(parts.precision, whole.precision, rtol=1e-12)
    np.testing.assert_allclose(parts.shift, whole.shift, rtol=1e-12)


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda: FactorGraph(np.ones((2, 1, 1)), np.ones((2, 1)), ()), "differ in size"),
        (lambda: FactorGraph(np.ones((3, 1, 1)), np.ones((2, 1, 1)), ()), "differ in size"),
        (
            lambda: FactorGraph(
                np.ones((2, 1, 1)), np.ones((2, 1, 1)), (Equalities(np.array([[0, 2]])),)
            ),
            "isn't there",
        ),
        (
            lambda: FactorGraph(
                np.ones((2, 1, 1)), np.ones((2, 1, 1)), (Equalities(np.array([[-1, -1]])),)
            ),
            "isn't there",
        ),
        (lambda: FactorGraph(np.full((1, 1, 1), np.nan), np.ones((1, 1, 1)), ()), "not finite"),
        (
            lambda: FactorGraph(
                np.ones((2, 1, 1)),
                np.ones((2, 1, 1)),
                (Couplings(np.array([[0, 1]]), np.full((1, 1, 1), np.inf)),),
            ),
            "not finite",
        ),
        (
            lambda: FactorGraph(np.array([[[1.0, 0.9], [-0.9, 1.0]]]), np.ones((1, 2, 1)), ()),
            "not symmetric",
        ),
        (
            lambda: FactorGraph(
                np.ones((2, 1, 1)),
                np.ones((2, 1, 1)),
                (Couplings(np.array([[0, 0]]), np.ones((1, 1, 1))),),
            ),
            "names a variable twice",
        ),
        (
            lambda: FactorGraph(
                np.ones((2, 1, 1)),
                np.ones((2, 1, 1)),
                (Couplings(np.array([[0, 1]]), np.ones((1, 2, 2))),),
            ),
            "differ from the variables'",
        ),
        (
            lambda: FactorGraph(
                np.ones((1, 1, 1)),
                np.ones((1, 1, 1)),
                (
                    Observations(
                        np.array([[0]]),
                        np.ones((1, 1, 1, 1)),
                        np.ones((1, 1, 3)),
                        np.ones((1, 1, 1)),
                    ),
                ),
            ),
            "differ from the variables'",
        ),
        (lambda: FactorGraph.of_system(np.eye(3), np.ones(6)), "shapes differ"),
        (lambda: FactorGraph.of_system(np.ones((2, 3)), np.ones(2)), "shapes differ"),
        (lambda: Couplings(np.array([[0, 1]]), np.ones((2, 1, 1))), "differ"),
        (
            lambda: FactorGraph(
                np.ones((2, 1, 1)),
                np.ones((2, 1, 1)),
                (Couplings(np.array([[0, -1]]), np.ones((1, 1, 1))),),
            ),
            "slot is empty",
        ),
        (
            lambda: FactorGraph(
                np.ones((2, 1, 1)), np.ones((2, 1, 1)), (Equalities(np.array([[0, -1]])),)
            ),
            "slot is empty",
        ),
        (
            lambda: FactorGraph(
                np.ones((2, 1, 1)),
                np.ones((2, 1, 1)),
                (
                    Observations(
                        np.array([[0, -1]]),
                        np.ones((1, 2, 1, 1)),
                        np.ones((1, 1, 1)),
                        np.ones((1, 1, 1)),
                    ),
                ),
            ),
            "empty slot has a design",
        ),
        (
            lambda: Observations(
                np.array([[0]]), np.ones((1, 1, 2, 1)), np.ones((1, 1, 1)), np.ones((1, 1, 1))
            ),
            "differ",
        ),
    ],
)
def test_what_is_no_graph_is_refused(make, complaint: str) -> None:
    """Shapes that differ, variables that aren't there, numbers that aren't finite."""
    with pytest.raises(NumericalError, match=complaint):
        make()


@pytest.mark.parametrize("kind", [np.float32, np.int64])
def test_what_comes_is_float64(kind: type) -> None:
    """Sums are formed in place: those of whole numbers would fail, those of float32 be rough."""
    H = np.array([1, 2], dtype=kind).reshape(1, 2, 1, 1)
    family = Observations(
        np.array([[0, 1]]), H, np.full((1, 1, 1), 5, kind), np.full((1, 1, 1), 3, kind)
    )
    joint = Couplings(np.array([[1, 2]]), np.ones((1, 1, 1), kind))
    own, h = np.full((3, 1, 1), 7, kind), np.ones((3, 1, 1), kind)
    graph = FactorGraph(own, h, (family, joint))
    assert graph.precision.dtype == family.noise.dtype == joint.coupling.dtype == np.float64
    assert_exact(solve(graph), graph, 1e-14)


def test_small_matrices_beside_a_singular_one_have_inverses() -> None:
    """Their determinant underflows, and says nothing of whether they are singular."""
    A = np.stack([1e-120 * np.eye(3), np.zeros((3, 3))])
    inverted, proper = proper_inverse(A)
    assert proper.tolist() == [True, False]
    np.testing.assert_allclose(inverted[0], 1e120 * np.eye(3))

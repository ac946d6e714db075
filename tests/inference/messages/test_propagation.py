"""Gaussian belief propagation on a tree is exact after one sweep up and one down."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_node.errors import NumericalError
from edge_node.inference.messages.gaussian import Gaussian, product
from edge_node.inference.messages.propagation import belief, propagate, upward
from tests.inference.problems import normal

SIZE = 3


@st.composite
def trees(draw: st.DrawFn) -> dict[str, str | None]:
    """Any rooted tree of 1 to 8 nodes, listed in any order."""
    count = draw(st.integers(1, 8))
    parents: list[tuple[str, str | None]] = [("0", None)]
    parents += [(str(i), str(draw(st.integers(0, i - 1)))) for i in range(1, count)]
    return dict(draw(st.permutations(parents)))


def factor(seed: int) -> Gaussian:
    """A site with two rows: improper on its own."""
    Phi = normal(seed, 2, SIZE)
    return Gaussian(Phi.T @ Phi, Phi.T @ normal(seed + 100, 2))


def factors_of(parents: dict[str, str | None]) -> dict[str, Gaussian]:
    """One factor per node."""
    return {node: factor(int(node)) for node in parents}


@given(trees())
def test_every_belief_is_the_dense_product(parents: dict[str, str | None]) -> None:
    """Whatever the tree and the order of its nodes."""
    factors, prior = factors_of(parents), Gaussian.isotropic(SIZE)
    dense = product([prior, *(factors[node] for node in sorted(factors))])
    beliefs = propagate(parents, factors, prior)
    assert set(beliefs) == set(parents)
    for found in beliefs.values():
        np.testing.assert_allclose(found.pack(), dense.pack(), rtol=1e-12, atol=1e-12)


@given(trees())
def test_beliefs_are_the_marginals_of_the_replicated_model(parents: dict[str, str | None]) -> None:
    """Brute force: the joint Gaussian over all copies u_i with (nearly hard) equality factors."""
    factors, prior, stiffness = factors_of(parents), Gaussian.isotropic(SIZE), 1e7
    nodes = list(parents)
    at = {node: slice(i * SIZE, (i + 1) * SIZE) for i, node in enumerate(nodes)}
    joint = Gaussian.flat(len(nodes) * SIZE)
    for node, parent in parents.items():
        joint.precision[at[node], at[node]] += factors[node].precision
        joint.shift[at[node]] += factors[node].shift
        if parent is None:
            joint.precision[at[node], at[node]] += prior.precision
            continue
        for a, b, sign in ((node, node, 1), (parent, parent, 1), (node, parent, -1)):
            joint.precision[at[a], at[b]] += sign * stiffness * np.eye(SIZE)
        joint.precision[at[parent], at[node]] -= stiffness * np.eye(SIZE)
    mean, covariance = joint.mean(), joint.covariance()
    for node, found in propagate(parents, factors, prior).items():
        np.testing.assert_allclose(found.mean(), mean[at[node]], atol=1e-5)
        np.testing.assert_allclose(found.covariance(), covariance[at[node], at[node]], atol=1e-5)


def test_the_downward_message_may_be_the_belief_without_the_childs_share() -> None:
    """Equality factors pass a message on: (b / m_child) m_child = b."""
    prior, child = Gaussian.isotropic(SIZE), factor(1)
    root = belief(upward(factor(0), [child]), prior)
    np.testing.assert_allclose((child * (root / child)).pack(), root.pack(), atol=1e-12)


def test_a_long_chain_is_no_problem() -> None:
    """Depth costs no recursion."""
    parents: dict[str, str | None] = {"0": None} | {str(i): str(i - 1) for i in range(1, 3000)}
    one = Gaussian(np.eye(1), np.ones(1))
    beliefs = propagate(parents, dict.fromkeys(parents, one), Gaussian.isotropic(1))
    assert beliefs["2999"].precision.item() == 3001
    assert beliefs["2999"].shift.item() == 3000


@pytest.mark.parametrize(
    ("parents", "complaint"),
    [
        ({}, "exactly one root, found none"),
        ({"a": "b", "b": "a"}, "exactly one root, found none"),
        ({"a": None, "b": None}, "found a, b"),
        ({"a": None, "b": "c", "c": "b"}, "no loops, found a loop among or above b, c"),
        ({"a": None, "b": "x"}, "'x', the parent of 'b'"),
    ],
)
def test_what_is_not_a_tree_is_refused(parents: dict[str, str | None], complaint: str) -> None:
    """GaBP's variances would be wrong, or rows counted twice."""
    factors = dict.fromkeys(parents, factor(0))
    with pytest.raises(NumericalError, match=complaint):
        propagate(parents, factors, Gaussian.isotropic(SIZE))


def test_a_node_without_a_factor_is_refused() -> None:
    """Nothing is assumed to be zero."""
    with pytest.raises(NumericalError, match="found b"):
        propagate({"a": None, "b": "a"}, {"a": factor(0)}, Gaussian.isotropic(SIZE))

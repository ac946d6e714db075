"""Gaussian belief propagation on a tree is exact after one sweep up and one down."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from edge_node.arrays import Matrix, Vector
from edge_node.inference.messages.gaussian import Gaussian
from edge_node.inference.messages.statistics import Statistics
from tests.inference.messages.propagation import assert_same, product, propagate, upward, without
from tests.inference.problems import features_on, normal, statistics_of

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


def rows(seed: int) -> tuple[Matrix, Vector]:
    """A site's four rows of two inputs, and their targets."""
    return normal(seed, 4, 2), normal(seed + 100, 4)


def factors_of(parents: dict[str, str | None]) -> dict[str, Gaussian]:
    """One factor per node."""
    return {node: factor(int(node)) for node in parents}


@given(trees())
def test_every_belief_is_the_dense_product(parents: dict[str, str | None]) -> None:
    """Whatever the tree and the order of its nodes."""
    factors = factors_of(parents)
    dense = product(factors[node] for node in sorted(factors)).with_prior()
    beliefs = propagate(parents, factors)
    assert set(beliefs) == set(parents)
    for found in beliefs.values():
        assert_same(found, dense, 1e-12)


@given(trees())
def test_beliefs_are_the_marginals_of_the_replicated_model(parents: dict[str, str | None]) -> None:
    """Brute force: the joint Gaussian over all copies u_i with (nearly hard) equality factors."""
    factors, stiffness = factors_of(parents), 1e7
    nodes = list(parents)
    at = {node: slice(i * SIZE, (i + 1) * SIZE) for i, node in enumerate(nodes)}
    joint = Gaussian.flat(len(nodes) * SIZE)
    for node, parent in parents.items():
        joint.precision[at[node], at[node]] += factors[node].precision
        joint.shift[at[node]] += factors[node].shift
        if parent is None:
            joint.precision[at[node], at[node]] += np.eye(SIZE)
            continue
        for a, b, sign in ((node, node, 1), (parent, parent, 1), (node, parent, -1)):
            joint.precision[at[a], at[b]] += sign * stiffness * np.eye(SIZE)
        joint.precision[at[parent], at[node]] -= stiffness * np.eye(SIZE)
    covariance = np.linalg.inv(joint.precision)
    for node, found in propagate(parents, factors).items():
        np.testing.assert_allclose(found.mean, joint.mean[at[node]], atol=1e-5)
        marginal = covariance[at[node], at[node]]
        np.testing.assert_allclose(np.linalg.inv(found.precision), marginal, atol=1e-5)


@given(trees())
def test_what_the_program_sums_is_the_belief(parents: dict[str, str | None]) -> None:
    """Packed statistics that a network adds, times the prior: the tree's belief."""
    features, noise = features_on(normal(5, SIZE, 2)), 0.3
    local = {node: statistics_of([rows(int(node))], features) for node in parents}
    total = np.sum([each.pack() for each in local.values()], axis=0)
    found = Statistics.unpack(total, SIZE).likelihood(noise).with_prior()
    factors = {node: each.likelihood(noise) for node, each in local.items()}
    for belief in propagate(parents, factors).values():
        assert_same(found, belief, 1e-10)


def test_the_downward_message_may_be_the_belief_without_the_childs_share() -> None:
    """Equality factors pass a message on: (b / m_child) m_child = b."""
    child = factor(1)
    root = upward(factor(0), [child]).with_prior()
    assert_same(child * without(root, child), root, 1e-12)


def test_a_long_chain_is_no_problem() -> None:
    """Depth costs no recursion."""
    parents: dict[str, str | None] = {"0": None} | {str(i): str(i - 1) for i in range(1, 3000)}
    one = Gaussian(np.eye(1), np.ones(1))
    beliefs = propagate(parents, dict.fromkeys(parents, one))
    assert beliefs["2999"].precision.item() == 3001
    assert beliefs["2999"].shift.item() == 3000

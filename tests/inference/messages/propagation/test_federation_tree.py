"""A federation's sum over its spanning tree is the engine's two passes on a graph of copies."""

import asyncio

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_node.arrays import Matrix, Vector
from edge_node.inference.messages.gaussian import Gaussian
from edge_node.inference.messages.propagation.factors import Couplings, Equalities
from edge_node.inference.messages.propagation.graph import FactorGraph
from edge_node.inference.messages.propagation.messages import Messages
from edge_node.inference.messages.propagation.schedules import Synchronous
from edge_node.inference.messages.propagation.solution import Variances
from edge_node.inference.messages.propagation.solve import solve
from edge_node.inference.messages.propagation.two_pass import two_pass
from edge_node.inference.messages.statistics import Statistics
from edge_node.network.base import Network
from edge_node.network.memory import MemoryFederation
from edge_node.step import Step
from tests.inference.messages.products import assert_same, product
from tests.inference.problems import features_on, normal, statistics_of

NOISE = 0.3
FEATURES = features_on(normal(5, 3, 2))
SIZE = len(FEATURES.landmarks)


@st.composite
def trees(draw: st.DrawFn) -> Matrix:
    """The edges (k - 1, 2) of any spanning tree of 1 to 8 nodes, the nodes in any order."""
    count = draw(st.integers(1, 8))
    label = draw(st.permutations(range(count)))
    edges = [(label[i], label[draw(st.integers(0, i - 1))]) for i in range(1, count)]
    return np.array(edges, dtype=np.intp).reshape(-1, 2)


def rows(site: int) -> tuple[Matrix, Vector]:
    """A site's two rows of two inputs, and their targets: improper on their own."""
    return normal(site, 2, 2), normal(site + 100, 2)


def local(site: int) -> Statistics:
    """What a site contributes to the sum."""
    return statistics_of([rows(site)], FEATURES)


def copies(edges: Matrix, own: Messages) -> FactorGraph:
    """A copy of u at each site, equal along the tree's edges, each with the site's message."""
    return FactorGraph(own.precision, own.shift, (Equalities(edges),))


def summed(sites: int) -> Statistics:
    """What the program gets from ``network.sum`` of all sites' packed statistics."""

    async def program(network: Network) -> Vector:
        return await network.sum(Step("statistics"), local(int(network.node)).pack())

    totals = asyncio.run(MemoryFederation([str(i) for i in range(sites)]).run(program))
    assert len({total.tobytes() for total in totals.values()}) == 1
    return Statistics.unpack(totals["0"], SIZE)


def column(message: Gaussian) -> Gaussian:
    """With its shift as (r, 1), as the engine keeps it."""
    return Gaussian(message.precision, message.shift.reshape(SIZE, -1))


@settings(max_examples=30)
@given(trees(), st.integers(0, 7))
def test_the_networks_sum_is_the_message_to_the_root(edges: Matrix, at: int) -> None:
    """Whichever node is the root: its own factor times what comes up along its edges."""
    sites = len(edges) + 1
    root = at % sites
    graph = copies(edges, Messages.of([local(i).message for i in range(sites)]))
    (sent,) = two_pass(graph).inbox
    upward = [sent.gaussian(*map(int, place)) for place in np.argwhere(edges == root)]
    found = product([graph.own.gaussian(root), *upward])
    assert_same(found, column(summed(sites).message), 1e-9)


@settings(max_examples=30)
@given(trees(), st.integers(0, 7))
def test_every_nodes_belief_is_the_programs(edges: Matrix, at: int) -> None:
    """The prior counted once, by any one node: all come to what the program makes of the total."""
    sites = len(edges) + 1
    messages = [local(i).likelihood(NOISE) for i in range(sites)]
    messages[at % sites] = messages[at % sites].with_prior()
    graph = copies(edges, Messages.of(messages))
    belief = summed(sites).likelihood(NOISE).with_prior()
    beliefs = graph.beliefs(two_pass(graph).inbox)
    for site in range(sites):
        assert_same(beliefs.gaussian(site), column(belief), 1e-9)
    found = solve(graph)
    assert found.variances is Variances.EXACT
    assert found.residual < 1e-10
    np.testing.assert_allclose(found.mean[..., 0], np.tile(belief.mean, (sites, 1)), atol=1e-8)
    inverse = np.linalg.inv(belief.precision)
    np.testing.assert_allclose(found.covariance, np.tile(inverse, (sites, 1, 1)), atol=1e-8)


def test_a_prior_that_every_node_counts_is_another_belief() -> None:
    """The control: on a tree of three nodes it counts three times."""
    edges = np.array([[0, 1], [1, 2]])
    messages = [local(i).likelihood(NOISE) for i in range(3)]
    once = copies(edges, Messages.of([messages[0].with_prior(), *messages[1:]]))
    each = copies(edges, Messages.of([message.with_prior() for message in messages]))
    beliefs = [graph.beliefs(two_pass(graph).inbox).gaussian(0) for graph in (once, each)]
    surplus = beliefs[1].precision - beliefs[0].precision
    np.testing.assert_allclose(surplus, 2 * np.eye(SIZE), atol=1e-9)


def test_on_a_loop_of_copies_messages_count_again_and_again() -> None:
    """Why a federation sums over a tree: each step of a triangle adds what is known already."""
    own = Messages.of([local(i).likelihood(NOISE).with_prior() for i in range(3)])
    graph = copies(np.array([[0, 1], [1, 2], [2, 0]]), own)
    assert not graph.is_forest
    state = Synchronous().start(graph)
    for _ in range(10):
        state = Synchronous().step(graph, state)
    total = own.precision.sum(axis=0)  # what each should come to
    assert np.trace(graph.beliefs(state.inbox).precision[0]) > 5 * np.trace(total)


@settings(max_examples=20)
@given(trees())
def test_copies_are_the_limit_of_stiff_springs(edges: Matrix) -> None:
    """Brute force: the joint Gaussian of all copies with nearly hard equality factors."""
    sites, stiffness = len(edges) + 1, 1e6
    messages = [local(i).likelihood(NOISE) for i in range(sites)]
    own = Messages.of([messages[0].with_prior(), *messages[1:]])
    degrees = np.bincount(edges.ravel(), minlength=sites)
    springs = stiffness * np.eye(SIZE)
    joint = FactorGraph(
        own.precision + degrees[:, None, None] * springs,
        own.shift,
        (Couplings(edges, np.tile(-springs, (len(edges), 1, 1))),),
    )
    soft, hard = solve(joint), solve(copies(edges, own))
    np.testing.assert_allclose(hard.mean, soft.mean, atol=1e-3)
    np.testing.assert_allclose(hard.covariance, soft.covariance, atol=1e-3)


def test_copies_that_have_come_apart_leave_a_residual() -> None:
    """The residual of a graph of copies sees both: apart from each other, or from the answer."""
    edges = np.array([[0, 1], [1, 2]])
    messages = [local(i).likelihood(NOISE) for i in range(3)]
    graph = copies(edges, Messages.of([messages[0].with_prior(), *messages[1:]]))
    mean = solve(graph).mean
    assert graph.residual(mean) < 1e-10
    assert graph.residual(1.1 * mean) > 0.01
    apart = mean.copy()
    apart[0] += 0.1
    apart[1] -= 0.1
    assert graph.residual(apart) > 0.01

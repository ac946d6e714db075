"""Gaussian belief propagation (GaBP) on a tree, spelt out: the oracle for what the program does.

The factor graph: one Gaussian variable u, replicated as u_i at each node i of the spanning tree,
equality factors delta(u_i - u_j) along the tree's edges, one data factor per node and one prior.
The sum-product algorithm in canonical form has two rules, both sums of parameters:

    upward     m_i = factor_i  x  product of m_j over the children j of i
    belief     b   = prior  x  m_root

An equality factor passes a message on unchanged, so the downward message to child j is b / m_j,
and j's belief is its own m_j times that: b again. The downward sweep is therefore the broadcast
of one belief. On a tree it is exact, means *and* variances, after one upward and one downward
sweep. (On a graph with loops GaBP's variances are not exact.)

References: Kschischang, Frey & Loeliger 2001 (sum-product); Weiss & Freeman 2001 (Gaussian
graphical models, exactness on trees); Shental, Siegel, Wolf, Bickson & Dolev 2008 (GaBP).
"""

from collections.abc import Iterable, Mapping
from functools import reduce

import numpy as np

from edge_node.inference.messages.gaussian import Gaussian


def product(messages: Iterable[Gaussian]) -> Gaussian:
    """The product of one or more messages."""
    return reduce(Gaussian.__mul__, messages)


def without(belief: Gaussian, message: Gaussian) -> Gaussian:
    """The belief without one message's share in it (the cavity): parameters subtract."""
    return Gaussian(belief.precision - message.precision, belief.shift - message.shift)


def assert_same(found: Gaussian, expected: Gaussian, error: float) -> None:
    """Precision and shift, to a relative and absolute error."""
    np.testing.assert_allclose(found.precision, expected.precision, rtol=error, atol=error)
    np.testing.assert_allclose(found.shift, expected.shift, rtol=error, atol=error)


def upward(factor: Gaussian, children: Iterable[Gaussian]) -> Gaussian:
    """A node's message to its parent: its own factor times its children's messages."""
    return product((factor, *children))


def propagate(
    parents: Mapping[str, str | None], factors: Mapping[str, Gaussian], prior_variance: float = 1.0
) -> dict[str, Gaussian]:
    """Each node's belief after one upward and one downward sweep.

    Args:
        parents: each node's next node towards the root; None at the root.
        factors: each node's data factor over u (r,).
        prior_variance: of the prior N(0, variance I) over u.
    """
    order = _from_root(parents)
    messages: dict[str, Gaussian] = {}
    inbox: dict[str, list[Gaussian]] = {node: [] for node in order}
    for node in reversed(order):
        messages[node] = upward(factors[node], inbox.pop(node))
        if (parent := parents[node]) is not None:
            inbox[parent].append(messages[node])
    beliefs = {order[0]: messages[order[0]].with_prior(prior_variance)}
    for node in order[1:]:
        downward = without(beliefs[parents[node]], messages[node])
        beliefs[node] = messages[node] * downward
    return beliefs


def _from_root(parents: Mapping[str, str | None]) -> list[str]:
    """All nodes of a tree, each after its parent."""
    children: dict[str | None, list[str]] = {node: [] for node in [None, *parents]}
    for node, parent in parents.items():
        children[parent].append(node)
    order = list(children[None])
    assert len(order) == 1
    for node in order:  # grows while it is read: breadth first
        order.extend(children[node])
    assert len(order) == len(parents)
    return order

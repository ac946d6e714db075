"""Gaussian belief propagation (GaBP) on a tree.

The factor graph: one Gaussian variable u, replicated as u_i at each node i of the spanning tree,
equality factors delta(u_i - u_j) along the tree's edges, one data factor per node and one prior.
The sum-product algorithm in canonical form has two rules, both sums of parameters:

    upward     m_i = factor_i  x  product of m_j over the children j of i
    belief     b   = prior  x  m_root

An equality factor passes a message on unchanged, so the downward message to child j is b / m_j,
and j's belief is its own m_j times that: b again. The downward sweep is therefore the broadcast
of one belief. On a tree it is exact, means *and* variances, after one upward and one downward
sweep. (On a graph with loops GaBP's variances are not exact: loops are refused.)

The distributed system does exactly this through ``network.sum``: what a node sends to its parent
is ``upward``, packed; what comes back on the same call is the total, to which each node applies
``belief``. The prior is counted once. This module is the reference for that, in one process.

References: Kschischang, Frey & Loeliger 2001 (sum-product); Weiss & Freeman 2001 (Gaussian
graphical models, exactness on trees); Shental, Siegel, Wolf, Bickson & Dolev 2008 (GaBP).
"""

from collections.abc import Iterable, Mapping

from edge_node.errors import NumericalError
from edge_node.inference.messages.gaussian import Gaussian, product

__all__ = ["belief", "propagate", "upward"]


def upward(factor: Gaussian, children: Iterable[Gaussian]) -> Gaussian:
    """A node's message to its parent: its own factor times its children's messages."""
    return product((factor, *children))


def belief(total: Gaussian, prior: Gaussian) -> Gaussian:
    """The belief at every node: the root's upward message times the prior, which counts once."""
    return total * prior


def propagate(
    parents: Mapping[str, str | None], factors: Mapping[str, Gaussian], prior: Gaussian
) -> dict[str, Gaussian]:
    """Each node's belief after one upward and one downward sweep.

    Args:
        parents: each node's next node towards the root; None at the root.
        factors: each node's data factor over u (r,).
        prior: the prior over u (r,).

    Raises:
        NumericalError: ``parents`` is not a tree, or a node has no factor.
    """
    order = _from_root(parents)
    if missing := sorted(set(parents) ^ set(factors)):
        raise NumericalError(
            "the tree and the factors name different nodes",
            expected="one factor per node of the tree",
            found=", ".join(missing),
        )
    messages: dict[str, Gaussian] = {}
    inbox: dict[str, list[Gaussian]] = {node: [] for node in order}
    for node in reversed(order):
        messages[node] = upward(factors[node], inbox.pop(node))
        if (parent := parents[node]) is not None:
            inbox[parent].append(messages[node])

    total = messages[order[0]]
    return dict.fromkeys(order, belief(total, prior))  # downward: the same belief on every edge


def _from_root(parents: Mapping[str, str | None]) -> list[str]:
    """All nodes, each after its parent. Raises NumericalError unless ``parents`` is a tree."""
    roots = sorted(node for node, parent in parents.items() if parent is None)
    if len(roots) != 1:
        raise _not_a_tree("exactly one root", ", ".join(roots) or "none")
    children: dict[str, list[str]] = {node: [] for node in parents}
    for node, parent in parents.items():
        if parent is None:
            continue
        if parent not in children:
            raise _not_a_tree("parents that are nodes", f"{parent!r}, the parent of {node!r}")
        children[parent].append(node)
    order = roots
    for node in order:  # grows while it is read: breadth first
        order.extend(children[node])
    if loop := sorted(set(parents) - set(order)):
        raise _not_a_tree("no loops", f"a loop among or above {', '.join(loop)}")
    return order


def _not_a_tree(expected: str, found: str) -> NumericalError:
    return NumericalError(
        "belief propagation needs a tree",
        where="parents",
        expected=expected,
        found=found,
        remedy="Use a spanning tree of the neighbour graph",
    )

"""Belief propagation on a forest: one pass up to the roots, one pass down, and all is exact.

Each tree is hung up at the middle of its longest path. A factor sends to the variable above it once
it has heard from all below, then to those below once it has heard from above. All factors of one
depth work at once. What a forest eliminates are pivots: the system may be indefinite, as long as
none is singular (Shental et al. 2008, section 5).

The time is that of the slots, and of a few dozen NumPy calls a level: a chain of 10^5 variables has
10^5 / 2 levels.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import breadth_first_order, connected_components

from edge_node.arrays import Matrix
from edge_node.inference.messages.propagation.graph import (
    FactorGraph,
    Factors,
    Messages,
    bipartite,
)
from edge_node.inference.messages.propagation.schedules import State
from edge_node.inference.messages.propagation.solution import Cause, PropagationError, Slots

__all__ = ["two_pass"]


def two_pass(graph: FactorGraph) -> State:
    """All messages of a forest.

    Raises:
        PropagationError: LOOPS, the graph is not a forest; SINGULAR, something that has to be
            inverted on the way.
    """
    if not graph.is_forest:
        raise PropagationError(
            Cause.LOOPS, "two passes need a forest", remedy="Use another schedule"
        )
    hanging = [_Hanging.of(*each) for each in _hung(graph)]
    belief = Messages(graph.precision.copy(), graph.shift.copy())
    depths = sorted({depth for family in hanging for depth in family.depths})
    for depth in reversed(depths):
        for family in hanging:
            family.ascend(depth, belief)
    for depth in depths:
        for family in hanging:
            family.descend(depth, belief)
    return State(tuple(family.inbox() for family in hanging), 2, graph.slots)


@dataclass(frozen=True)
class _Hanging:
    """A family whose factors are in order of depth, and of the variable above.

    Attributes:
        family: the factors in this order.
        order: which factor of the original family each is.
        above: the variable above each, (F,).
        slot: and its slot.
        depths: where the factors of each depth are.
        sent: all messages, as they become known (F, a).
    """

    family: Factors
    order: Slots
    above: Slots
    slot: Slots
    depths: dict[int, slice]
    sent: Messages

    @classmethod
    def of(cls, family: Factors, above: Slots, depth: Slots, empty: Messages) -> "_Hanging":
        """From each factor's variable above and depth, and messages that are written into."""
        order = np.lexsort((above, depth))
        family, above, depth = family.take(order), above[order], depth[order]
        slot = np.argmax(family.scope == above[:, None], axis=1)
        starts = np.flatnonzero(np.diff(depth, prepend=-1))
        ends = [*starts[1:], len(depth)]
        parts = {int(depth[i]): slice(i, j) for i, j in zip(starts, ends, strict=True)}
        return cls(family, order, above, slot, parts, empty)

    def ascend(self, depth: int, belief: Messages) -> None:
        """Send to the variables above, whose beliefs grow."""
        if (part := self.depths.get(depth)) is None:
            return
        factors, above, slot = self.family.take(part), self.above[part], self.slot[part]
        rows = np.arange(len(above))
        incoming = belief[factors.scope]
        incoming.precision[rows, slot] = np.eye(belief.precision.shape[-1])  # not asked for
        answer = factors.respond(incoming)[rows, slot]
        self.sent.precision[part.start + rows, slot] = answer.precision
        self.sent.shift[part.start + rows, slot] = answer.shift
        first = np.flatnonzero(np.diff(above, prepend=-1))  # several factors below one variable
        belief.precision[above[first]] += _grouped(answer.precision, first)
        belief.shift[above[first]] += _grouped(answer.shift, first)

    def descend(self, depth: int, belief: Messages) -> None:
        """Send to the variables below, whose beliefs become complete."""
        if (part := self.depths.get(depth)) is None:
            return
        factors, sent, slot = self.family.take(part), self.sent[part], self.slot[part]
        answer = factors.respond(belief[factors.scope] / sent)
        below = factors.scope >= 0
        below[np.arange(len(slot)), slot] = False
        for whole, given, to in (
            (sent.precision, answer.precision, belief.precision),
            (sent.shift, answer.shift, belief.shift),
        ):
            whole[below] = given[below]
            to[factors.scope[below]] += given[below]

    def inbox(self) -> Messages:
        """The messages in the original order."""
        back = np.empty_like(self.order)
        back[self.order] = np.arange(len(back))
        return self.sent[back]


def _grouped(values: Matrix, first: Slots) -> Matrix:
    return values if len(first) == len(values) else np.add.reduceat(values, first, axis=0)


def _hung(graph: FactorGraph) -> Iterator[tuple[Factors, Slots, Slots, Messages]]:
    """Each family with its factors' variables above, their depths, and silence."""
    scopes = [family.scope for family in graph.families]
    edges = bipartite(graph.size, scopes)
    parents, depths = _rooted(edges, _centres(edges, graph.size))
    start = graph.size
    for family, silence in zip(graph.families, graph.silence(), strict=True):
        here = slice(start, start + len(family.scope))
        yield family, parents[here], depths[here], silence
        start = here.stop


def _centres(edges: "sparse.csr_array[np.float64]", variables: int) -> Slots:
    """A variable in the middle of each tree's longest path."""
    count, tree = connected_components(edges, directed=False)
    ends = np.full(count, -1)
    ends[tree[:variables][::-1]] = np.arange(variables)[::-1]  # any variable of each tree
    for _ in range(2):  # the farthest from any is one end, the farthest from that the other
        parents, depths = _rooted(edges, ends)
        by_depth = np.argsort(depths, kind="stable")
        ends[tree[by_depth]] = by_depth
    steps = depths[ends] // 2
    steps += (depths[ends] - steps) % 2  # variables are at even depths
    for step in range(int(steps.max(initial=0))):
        ends = np.where(steps > step, parents[ends], ends)
    return ends


def _rooted(edges: "sparse.csr_array[np.float64]", roots: Slots) -> tuple[Slots, Slots]:
    """Each node's parent and depth, where each tree hangs from its root. A root's parent is -1."""
    nodes = edges.shape[0]
    from_, to = edges.tocoo().coords
    ends: tuple[Slots, Slots] = (
        np.concatenate([from_, np.full(len(roots), nodes)]),
        np.concatenate([to, roots]),
    )
    ones = np.ones(len(ends[0]))
    joined = sparse.csr_array((ones, ends), shape=(nodes + 1, nodes + 1))
    order, found = breadth_first_order(joined, nodes, directed=False)
    parents: Slots = found.astype(np.intp)
    place = np.empty(nodes + 1, dtype=np.intp)
    place[order] = np.arange(nodes + 1)
    above = place[parents[order[1:]]]  # ascending
    depths, start, end, level = np.zeros(nodes + 1, dtype=np.intp), 0, 1, 0
    while end <= nodes:
        start, end = end, 1 + int(np.searchsorted(above, end))
        depths[order[start:end]] = level
        level += 1
    parents[parents == nodes] = -1
    return parents[:nodes], depths[:nodes]

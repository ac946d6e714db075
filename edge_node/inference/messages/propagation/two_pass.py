"""Belief propagation on a forest: one pass up to the roots, one pass down, and all is exact.

Each tree is hung up at the middle of its longest path. A factor sends to the variable above it once
it has heard from all below, then to those below once it has heard from above. All factors of one
depth work at once. What a forest eliminates are pivots: the system may be indefinite, as long as
none is singular (Shental et al. 2008). Nearly singular ones leave too few digits: `solve` checks
that, and refuses.

The time is that of the slots, and of a few dozen NumPy calls a level: a chain of 10^5 variables has
10^5 / 2 levels.
"""

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import breadth_first_order, connected_components

from edge_node.inference.messages.propagation.graph import FactorGraph, bipartite
from edge_node.inference.messages.propagation.messages import Factors, Messages, respond
from edge_node.inference.messages.propagation.schedules import State
from edge_node.inference.messages.propagation.solution import Cause, Mask, PropagationError, Slots

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
    layers = {
        (depth, i): hung.layers[depth] for i, hung in enumerate(hanging) for depth in hung.layers
    }
    for place in sorted(layers, reverse=True):
        layers[place].ascend(belief)
    for place in sorted(layers):
        layers[place].descend(belief)
    return State(tuple(family.inbox() for family in hanging), 2, graph.slots)


@dataclass(frozen=True)
class _Layer:
    """The factors of a family at one depth, in order of the variable above.

    Attributes:
        factors: these.
        above: the variable above each, (F,).
        at: each one's slot for it, as an index.
        below: the other slots, as a mask (F, a).
        first: the first factor below each distinct variable; None: all variables are distinct.
        sent: their messages, as they become known (F, a).
    """

    factors: Factors
    above: Slots
    at: tuple[Slots, Slots]
    below: Mask
    first: Slots | None
    sent: Messages

    def ascend(self, belief: Messages) -> None:
        """Send to the variables above, whose beliefs grow."""
        incoming = belief[self.factors.scope]
        incoming.precision[self.at] = np.eye(belief.precision.shape[-1])  # not asked for
        answer = respond(self.factors, incoming)[self.at]
        self.sent.precision[self.at], self.sent.shift[self.at] = answer.precision, answer.shift
        if self.first is None:
            belief.precision[self.above] += answer.precision
            belief.shift[self.above] += answer.shift
        else:
            above = self.above[self.first]
            belief.precision[above] += np.add.reduceat(answer.precision, self.first, axis=0)
            belief.shift[above] += np.add.reduceat(answer.shift, self.first, axis=0)

    def descend(self, belief: Messages) -> None:
        """Send to the variables below, whose beliefs become complete."""
        scope, below = self.factors.scope, self.below
        answer = respond(self.factors, belief[scope] / self.sent)[below]
        variables = scope[below]
        self.sent.precision[below], self.sent.shift[below] = answer.precision, answer.shift
        belief.precision[variables] += answer.precision
        belief.shift[variables] += answer.shift


@dataclass(frozen=True)
class _Hanging:
    """A family by depth.

    Attributes:
        order: which factor of the original family is where.
        layers: by depth.
        sent: all messages, in this order.
    """

    order: Slots
    layers: dict[int, _Layer]
    sent: Messages

    @classmethod
    def of(cls, family: Factors, above: Slots, depth: Slots, sent: Messages) -> "_Hanging":
        """From each factor's variable above and depth, and messages that are written into."""
        order = np.lexsort((above, depth))
        family, above, depth = family.take(order), above[order], depth[order]
        slot = np.argmax(family.scope == above[:, None], axis=1)
        below = family.scope >= 0
        below[np.arange(len(slot)), slot] = False
        changes = np.diff(depth, prepend=-1) != 0
        distinct = changes | (np.diff(above, prepend=-1) != 0)
        starts = np.flatnonzero(changes).tolist()
        layers = {}
        for start, end in pairwise([*starts, len(depth)]):
            part, some = slice(start, end), distinct[start:end]
            layers[int(depth[start])] = _Layer(
                family.take(part),
                above[part],
                (np.arange(end - start), slot[part]),
                below[part],
                None if some.all() else np.flatnonzero(some),
                sent[part],
            )
        return cls(order, layers, sent)

    def inbox(self) -> Messages:
        """The messages in the original order."""
        back = np.empty_like(self.order)
        back[self.order] = np.arange(len(back))
        return self.sent[back]


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
        by_depth = np.argsort(depths[:variables], kind="stable")
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
    above = place[parents[order[1:]]].tolist()  # ascending: where each node's parent is
    stops, start = [1], 0  # where each depth ends in the order
    while (end := stops[-1]) <= nodes:
        stops.append(1 + bisect_left(above, end, start))
        start = end - 1
    depths = np.empty(nodes + 1, dtype=np.intp)
    depths[order] = np.repeat(np.arange(len(stops)) - 1, np.diff(stops, prepend=0))
    parents[parents == nodes] = -1
    return parents[:nodes], depths[:nodes]

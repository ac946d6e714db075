"""A spanning tree over the cohort.

Only a child dials its parent, so a node that accepts no inbound connection can only be a leaf.
The tree fills up level by level. With fan-out f and messages of equal size a sweep takes a time
proportional to f log_f N, which is least at f = e, so the fan-out is 3. What can stay of an earlier
tree stays: a sub-tree that lost its way to the root is attached again as a whole.

Everything is deterministic: the same cohort and history give the same tree.
"""

import hashlib
import heapq
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Self

from aggregator.planning.obstacles import Obstacles

__all__ = ["FAN_OUT", "Tree", "depth_limit", "draw_tree", "ring_place"]

_OTHER_ROOTS = 4  # how many are tried when the root can't be reached by everyone
FAN_OUT = 3  # children of a node; more only where too many nodes can be nothing but leaves


@dataclass(frozen=True)
class Tree:
    """A spanning tree: the root, each other node's parent, and how deep it is.

    ``unreached`` are nodes of the cohort that no usable edge leads to; they are not in the tree.
    """

    root: str
    parents: Mapping[str, str] = field(default_factory=dict)
    depth: int = 0
    unreached: tuple[str, ...] = ()


def draw_tree(
    inbound: Collection[str],
    leaves: Collection[str],
    *,
    obstacles: Obstacles | None = None,
    root: str = "",
    parents: Mapping[str, str] | None = None,
    spare: Mapping[str, Collection[str]] | None = None,
) -> Tree | None:
    """A spanning tree over ``inbound`` and ``leaves``, breadth first, close to an earlier tree.

    Args:
        inbound: nodes that peers can dial.
        leaves: nodes that only dial.
        obstacles: edges and nodes that don't work.
        root: the earlier tree's root.
        parents: the earlier tree's parents.
        spare: the earlier graph's neighbours of each node.

    Returns:
        The tree; None if there is more than one node and none that can be dialled.
    """
    ground = _Ground.of(inbound, leaves, obstacles or Obstacles())
    if not ground.inner:
        return Tree(ground.outer[0]) if len(ground.outer) == 1 else None
    earlier = _kept(ground, root, parents or {})
    chosen = _choose_root(ground, root, earlier, parents or {})
    tree = _grow(ground, chosen, earlier, spare or {})
    if tree.depth > depth_limit(len(ground.inner) + len(ground.outer), ground.fan_out):
        tree = _grow(ground, chosen, {}, {})
    others = [node for node in tree.unreached if node in ground.diallable][:_OTHER_ROOTS]
    trees = [tree, *(_grow(ground, other, {}, {}) for other in others)]
    return min(trees, key=lambda tree: len(tree.unreached))


def depth_limit(nodes: int, fan_out: int = FAN_OUT) -> int:
    """The depth above which a repaired tree is drawn anew: twice the least depth, plus two."""
    depth, room, level = 0, 1, 1
    while room < nodes:
        depth, level = depth + 1, level * fan_out
        room += level
    return 2 * depth + 2


def ring_place(node: str) -> bytes:
    """The node's place on the ring of all nodes, however sites choose names."""
    return hashlib.sha256(node.encode()).digest()


@dataclass(frozen=True)
class _Ground:
    """What a tree must be grown on: the nodes, in ring order, and what does not work."""

    inner: tuple[str, ...]
    outer: tuple[str, ...]
    diallable: frozenset[str]
    fan_out: int
    obstacles: Obstacles

    @classmethod
    def of(cls, inbound: Collection[str], leaves: Collection[str], obstacles: Obstacles) -> Self:
        inner = frozenset(inbound) - obstacles.nodes
        outer = frozenset({*inbound, *leaves}) - inner
        most = -(-(len(inner) + len(outer) - 1) // len(inner)) if inner else 0
        return cls(
            inner=tuple(sorted(inner, key=ring_place)),
            outer=tuple(sorted(outer, key=ring_place)),
            diallable=inner,
            fan_out=max(FAN_OUT, most),
            obstacles=obstacles,
        )

    def usable(self, child: str, parent: str) -> bool:
        return parent in self.diallable and (child, parent) not in self.obstacles.edges


def _kept(ground: _Ground, root: str, parents: Mapping[str, str]) -> dict[str, list[str]]:
    """The children, in order, that each node keeps from the earlier tree."""
    nodes = ground.diallable.union(ground.outer)
    children: dict[str, list[str]] = {}
    for child, parent in sorted(parents.items()):
        if child in nodes and child != root and ground.usable(child, parent):
            children.setdefault(parent, []).append(child)
    return children


def _choose_root(
    ground: _Ground, root: str, earlier: Mapping[str, Collection[str]], parents: Mapping[str, str]
) -> str:
    """The earlier root if it is still there; otherwise the child of it with most children."""
    if root in ground.diallable:
        return root
    heirs = [node for node in ground.inner if root and parents.get(node) == root]
    return max(heirs or ground.inner[:1], key=lambda node: len(earlier.get(node, ())))


def _grow(
    ground: _Ground,
    root: str,
    earlier: Mapping[str, Iterable[str]],
    spare: Mapping[str, Iterable[str]],
) -> Tree:
    """Let the tree grow from the root, and attach what it didn't reach, sub-trees first."""
    growth = _Growth(ground, earlier)
    growth.add(root, 0)
    adopted = {child for kept in earlier.values() for child in kept}
    orphans = [node for node in ground.inner if node not in adopted and node in earlier]
    unreached = []
    for node in dict.fromkeys((*orphans, *ground.inner, *ground.outer)):
        if node in growth.depths:
            continue
        if parent := growth.place_for(node, spare.get(node, ())):
            growth.attach(node, parent)
        else:
            unreached.append(node)
    left = tuple(node for node in unreached if node not in growth.depths)
    return Tree(root, growth.parents, max(growth.depths.values()), left)


class _Growth:
    """A tree while it is drawn: how deep each node is in it, and which nodes have room."""

    def __init__(self, ground: _Ground, earlier: Mapping[str, Iterable[str]]) -> None:
        self.parents: dict[str, str] = {}
        self.depths: dict[str, int] = {}
        self._ground = ground
        self._earlier = earlier
        self._children: dict[str, int] = {}
        self._room: list[tuple[int, int, str]] = []  # heap: depth, order of arrival, node

    def add(self, node: str, depth: int) -> None:
        """Put a node and the sub-tree that it keeps at a depth."""
        level = [node]
        while level:
            below: list[str] = []
            for each in level:
                self.depths[each] = depth
                below.extend(self._keep(each))
                if self._has_room(each):
                    heapq.heappush(self._room, (depth, len(self.depths), each))
            level, depth = below, depth + 1

    def attach(self, node: str, parent: str) -> None:
        """Make a node, with its sub-tree, a child of a node in the tree."""
        self.parents[node] = parent
        self._children[parent] += 1
        self.add(node, self.depths[parent] + 1)

    def place_for(self, node: str, preferred: Iterable[str]) -> str:
        """The best parent: a stand-by neighbour, else the highest node with room; empty: none."""
        for parent in sorted(preferred):
            if self._has_room(parent) and self._ground.usable(node, parent):
                return parent
        passed, found = [], ""
        while self._room and not found:
            place = heapq.heappop(self._room)
            if not self._has_room(place[2]):
                continue
            passed.append(place)
            if self._ground.usable(node, place[2]):
                found = place[2]
        for place in passed:
            heapq.heappush(self._room, place)
        return found

    def _keep(self, node: str) -> list[str]:
        """Give a node the children that it keeps, as many as it has room for."""
        wanted = (n for n in self._earlier.get(node, ()) if n not in self.depths)
        kept = list(islice(wanted, self._ground.fan_out))
        self._children[node] = len(kept)
        self.parents.update(dict.fromkeys(kept, node))
        return kept

    def _has_room(self, node: str) -> bool:
        taken = self._children.get(node, self._ground.fan_out)  # outside the tree: no room
        return node in self._ground.diallable and taken < self._ground.fan_out

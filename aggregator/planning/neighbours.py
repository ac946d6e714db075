"""The neighbour graph: the tree's edges, and stand-by edges beside them.

Stand-by edges run along a ring of all nodes, in the order of their names' hashes. A node that joins
or leaves changes the ring only nearby. A node that loses its parent tries its stand-by edges first.
"""

from collections.abc import Collection, Iterator

from aggregator.planning.obstacles import Obstacles
from aggregator.planning.tree import Tree, ring_place
from edge_node.federation.plan import Edge

__all__ = ["neighbour_graph"]


def neighbour_graph(
    tree: Tree, inbound: Collection[str], obstacles: Obstacles | None = None
) -> tuple[Edge, ...]:
    """The tree's edges and a stand-by edge for each node, ascending, without dead edges."""
    obstacles = obstacles or Obstacles()
    edges = {_edge(child, parent) for child, parent in tree.parents.items()}
    diallable = set(inbound) - obstacles.nodes
    ring = sorted({tree.root, *tree.parents}, key=ring_place)
    for node, following in _successors(ring, diallable, edges):
        backwards = node in diallable and (following, node) not in obstacles.edges
        if backwards or (node, following) not in obstacles.edges:
            edges.add(_edge(node, following))
    return tuple(sorted(edges))


def _edge(a: str, b: str) -> Edge:
    return (a, b) if a < b else (b, a)


def _successors(
    ring: list[str], diallable: Collection[str], taken: Collection[Edge]
) -> Iterator[Edge]:
    """Each node of the ring with the next one that can be dialled.

    If those two are neighbours already, the next but one is taken.
    """
    first = [node for node in ring if node in diallable][:2]
    for node in reversed(ring):
        others = [other for other in first if other != node]
        if others:
            fresh = [other for other in others if _edge(node, other) not in taken]
            yield node, (fresh or others)[0]
        if node in diallable:
            first = [node, *first][:2]

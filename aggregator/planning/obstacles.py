"""Edges that don't work and nodes that nobody can dial, as a run has found them."""

from dataclasses import dataclass

from edge_node.federation.plan import Edge

__all__ = ["Obstacles"]


@dataclass(frozen=True)
class Obstacles:
    """What a run has found not to work.

    Args:
        edges: (child, parent) pairs where the child could not dial the parent.
        nodes: nodes that nobody could dial: their advertised address is wrong or filtered.
    """

    edges: frozenset[Edge] = frozenset()
    nodes: frozenset[str] = frozenset()

    def __or__(self, other: "Obstacles") -> "Obstacles":
        """The obstacles of both."""
        return Obstacles(self.edges | other.edges, self.nodes | other.nodes)

    def without(self, parents: frozenset[str]) -> "Obstacles":
        """The obstacles that are not about dialling ``parents``."""
        edges = frozenset(edge for edge in self.edges if edge[1] not in parents)
        return Obstacles(edges, self.nodes - parents)

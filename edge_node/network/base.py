"""What the federation program needs of a network: two primitives, ``sum`` and ``gather``.

Every node runs the same program and calls the same steps in the same order. A step has a name,
unique within a run. ``edge_node.network.memory`` serves any number of nodes in one process;
``edge_node.network.tree`` is the spanning tree over gRPC. A third thing, ``decide``, is built
from them.
"""

from collections.abc import Callable, Mapping
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = ["Network", "Vector", "decide"]

Vector = NDArray[np.float64]


class Network(Protocol):
    """One node's view of the federation during one run of the program."""

    @property
    def node(self) -> str:
        """The name of the node whose view it is."""
        ...

    @property
    def root(self) -> str:
        """The node that takes shared choices; it may change between steps, after a failure."""
        ...

    def cohort(self, step: str) -> tuple[str, ...]:
        """The nodes, sorted, whose contributions the completed ``step`` holds."""
        ...

    async def sum(self, step: str, vector: Vector) -> Vector:
        """The sum of all nodes' vectors: the same bytes at every node, whatever the tree.

        Args:
            step: the step's name, unique within the run.
            vector: shape (k,), float64, finite, below 2**56 in absolute value; k is the same at
                all nodes.

        Raises:
            NumericalError: a value is not finite or too large; nothing was sent.
            NetworkError: the step could not be completed (the message names who is waited for).
        """
        ...

    async def gather(self, step: str, data: bytes) -> Mapping[str, bytes]:
        """Every node's bytes, by node name; the same mapping at every node. Never used for
        anything derived from a site's rows: public keys and shared choices only.
        """
        ...


async def decide(network: Network, step: str, choose: Callable[[], bytes]) -> bytes:
    """Take a choice once, at the root, and share it: the same bytes at every node.

    Rounding differs between processors, so a choice made from totals (which noise, which depth)
    must not be made twice. ``choose`` runs at the root only. If the root fails before its choice
    is shared, the next root chooses; choices are never empty.
    """
    attempt = 0
    while True:
        own = choose() if network.root == network.node else b""
        gathered = await network.gather(f"{step}/{attempt}", own)
        if choices := [choice for choice in gathered.values() if choice]:
            return choices[0]
        attempt += 1

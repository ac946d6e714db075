"""A network for a program in a thread of its own, with its own event loop.

Linear algebra must not hold up heartbeats, so the program does not run where gRPC does.
"""

import asyncio
from collections.abc import Mapping

from edge_node.network.base import Network, Vector
from edge_node.security.noise import DiscreteGaussian

__all__ = ["ThreadedNetwork"]


class ThreadedNetwork:
    """``network``, whose home is ``loop``, for callers in another loop; implements Network."""

    def __init__(self, network: Network, loop: asyncio.AbstractEventLoop) -> None:
        self._network = network
        self._loop = loop

    @property
    def node(self) -> str:
        """As the network's."""
        return self._network.node

    @property
    def root(self) -> str:
        """As the network's."""
        return self._network.root

    def cohort(self, step: str) -> tuple[str, ...]:
        """As the network's."""
        return self._network.cohort(step)

    async def sum(
        self,
        step: str,
        vector: Vector,
        *,
        cohort_of: str = "",
        noise: DiscreteGaussian | None = None,
    ) -> Vector:
        """As the network's."""
        work = asyncio.run_coroutine_threadsafe(
            self._network.sum(step, vector, cohort_of=cohort_of, noise=noise), self._loop
        )
        return await asyncio.wrap_future(work)

    async def gather(self, step: str, data: bytes) -> Mapping[str, bytes]:
        """As the network's."""
        work = asyncio.run_coroutine_threadsafe(self._network.gather(step, data), self._loop)
        return await asyncio.wrap_future(work)

"""A network for a program in a thread of its own, with its own event loop.

Linear algebra must not hold up heartbeats, so the program does not run where gRPC does.
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TypeVar

from edge_node.arrays import Vector
from edge_node.errors import NetworkError
from edge_node.network.base import Network
from edge_node.security.privacy.discrete_gaussian import DiscreteGaussian

__all__ = ["ThreadedNetwork"]

T = TypeVar("T")


class ThreadedNetwork:
    """``network``, whose home is ``loop``, for callers in another loop; implements Network."""

    def __init__(self, network: Network, loop: asyncio.AbstractEventLoop) -> None:
        self._network = network
        self._loop = loop
        self._closed = False

    def close(self) -> None:
        """Refuse all calls from now on, which only the home loop may ask for.

        A program that still computes when the home loop ends would otherwise begin a step in it
        that nobody cancels, and wait for ever.
        """
        self._closed = True

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
        return await self._at_home(
            lambda: self._network.sum(step, vector, cohort_of=cohort_of, noise=noise)
        )

    async def gather(self, step: str, data: bytes) -> Mapping[str, bytes]:
        """As the network's."""
        return await self._at_home(lambda: self._network.gather(step, data))

    async def _at_home(self, call: Callable[[], Coroutine[Any, Any, T]]) -> T:
        async def unless_closed() -> T:
            if self._closed:
                raise NetworkError("the node is being stopped", where=f"node {self.node}")
            return await call()

        work = asyncio.run_coroutine_threadsafe(unless_closed(), self._loop)
        return await asyncio.wrap_future(work)

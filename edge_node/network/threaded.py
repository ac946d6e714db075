"""A network for a program in a thread of its own, with its own event loop.

Linear algebra must not hold up heartbeats, so the program does not run where gRPC does.
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TypeVar, Unpack

from edge_node.arrays import Vector
from edge_node.errors import NetworkError
from edge_node.network.base import Network, NetworkLayer, Terms
from edge_node.step import Step

__all__ = ["ThreadedNetwork"]

T = TypeVar("T")


class ThreadedNetwork(NetworkLayer):
    """``network``, whose home is ``loop``, for callers in another loop."""

    def __init__(self, network: Network, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(network)
        self._loop = loop
        self._closed = False

    def close(self) -> None:
        """Refuse all calls from now on; only the home loop may ask for that.

        A program that still computes when the home loop ends would otherwise begin a step in it
        that nobody cancels, and wait for ever.
        """
        self._closed = True

    async def sum(self, step: Step, vector: Vector, **terms: Unpack[Terms]) -> Vector:
        """As the network's."""
        return await self._at_home(lambda: self._network.sum(step, vector, **terms))

    async def gather(self, step: Step, data: bytes) -> Mapping[str, bytes]:
        """As the network's."""
        return await self._at_home(lambda: self._network.gather(step, data))

    async def _at_home(self, call: Callable[[], Coroutine[Any, Any, T]]) -> T:
        async def unless_closed() -> T:
            if self._closed:
                raise NetworkError("the node is being stopped", where=f"node {self.node}")
            return await call()

        work = asyncio.run_coroutine_threadsafe(unless_closed(), self._loop)
        return await asyncio.wrap_future(work)

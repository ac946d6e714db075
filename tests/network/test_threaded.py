"""A program in a thread of its own ends with the loop that its network lives in."""

import asyncio
import threading
from collections.abc import Mapping
from typing import cast

import pytest

from edge_node.errors import NetworkError
from edge_node.network.base import Network
from edge_node.network.threaded import ThreadedNetwork
from edge_node.step import Content, Step


class Silence:
    """A network in which nobody answers."""

    node = "a"

    async def gather(self, step: Step, data: bytes) -> Mapping[str, bytes]:
        """Wait for ever."""
        return await asyncio.get_running_loop().create_future()


async def test_a_closed_network_refuses_calls() -> None:
    """At once, whoever else is silent."""
    proxy = ThreadedNetwork(cast(Network, Silence()), asyncio.get_running_loop())
    proxy.close()
    with pytest.raises(NetworkError, match="stopped"):
        await asyncio.to_thread(lambda: asyncio.run(proxy.gather(Step("s", Content.PUBLIC), b"")))


def test_a_program_that_computes_while_its_node_stops_ends() -> None:
    """Its next step begins when the home loop has cancelled everything, and only waits for it."""
    computed = threading.Event()
    ended: list[type[BaseException]] = []

    async def home() -> None:
        proxy = ThreadedNetwork(cast(Network, Silence()), asyncio.get_running_loop())

        def program() -> None:
            computed.wait()
            try:
                asyncio.run(proxy.gather(Step("s", Content.PUBLIC), b""))
            except NetworkError as error:
                ended.append(type(error))

        work = asyncio.create_task(asyncio.to_thread(program))
        await asyncio.sleep(0)
        work.cancel()
        proxy.close()
        threading.Timer(0.2, computed.set).start()

    node = threading.Thread(target=lambda: asyncio.run(home()), daemon=True)
    node.start()
    node.join(timeout=30)
    assert not node.is_alive()
    assert ended == [NetworkError]

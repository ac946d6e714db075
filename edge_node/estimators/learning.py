"""The program over a federation in this process, from a script or from a notebook."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing
from typing import Any, TypeVar

from edge_node.config import FederationSpec
from edge_node.data.sources.source import Source
from edge_node.model.model import Model
from edge_node.network.base import Network
from edge_node.network.memory import MemoryFederation
from edge_node.program import infer

__all__ = ["Report", "completed", "learn"]

T = TypeVar("T")
Report = Callable[[str, float], None]
"""Called with the step that is complete and the seconds since the start."""

_SIGNALS = 0.2  # seconds; an interrupt that comes just before a wait is heard after it only


def learn(
    spec: FederationSpec, sources: Mapping[str, Source], report: Report | None = None
) -> dict[str, Model]:
    """Run the program at one node a source, and return each node's model.

    Args:
        spec: what the nodes agree on.
        sources: each node's rows.
        report: is told of each step.

    Raises:
        DataError: the rows don't fit the schema, or there is nothing to learn from them.
        NumericalError: the model can't be computed from the totals.
    """
    started = time.monotonic()

    def completes(step: str) -> None:
        if report is not None:
            report(step, time.monotonic() - started)

    federation = MemoryFederation(list(sources), completes=completes)

    async def program(network: Network) -> Model:
        """What each node runs."""
        return await infer(network, sources[network.node], spec)

    return completed(federation.run(program))


def completed(work: Coroutine[Any, Any, T]) -> T:
    """The result of asynchronous work; in a thread of its own where a loop runs (notebooks).

    An interrupt ends the work when it waits next, and is raised.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    with closing(asyncio.new_event_loop()) as loop, ThreadPoolExecutor(1) as pool:
        pool.submit(int).result()  # interrupted while it starts a thread, a pool forgets it
        task = loop.create_task(work)
        try:
            future = pool.submit(loop.run_until_complete, task)
            while not wait([future], timeout=_SIGNALS).done:
                pass
            return future.result()
        except KeyboardInterrupt:
            loop.call_soon_threadsafe(task.cancel)
            raise

"""The newest plan, wherever it came from: the aggregator, or this node's own disk.

One writer (the discovery client) offers plans; everybody else waits for them here. The newest is
kept on disk, so that a node that restarts while the aggregator is down goes on with it.
"""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, TypeVar

from edge_node.errors import NetworkError
from edge_node.federation.plan import Plan
from edge_node.network.exchange.records import RecordStore
from edge_node.network.wire.plan import receive_plan
from tangentmesh.v1 import discovery_pb2

__all__ = ["EpochOver", "PlanFeed"]

_log = logging.getLogger(__name__)
T = TypeVar("T")


class EpochOver(Exception):
    """A newer plan came while something was done under an older one."""


class PlanFeed:
    """The plans one node acts on.

    Args:
        node: its name.
        spec_hash: SHA-256 of the federation spec it holds; plans for another spec are refused.
        store: where the newest plan is kept.
    """

    def __init__(self, node: str, spec_hash: bytes, store: RecordStore) -> None:
        self._node = node
        self._spec_hash = spec_hash
        self._store = store
        self._plan: Plan | None = None
        self._arrived = asyncio.Event()
        self.behind = asyncio.Event()
        """Set when a peer speaks of a newer epoch: the aggregator should be asked at once."""
        if (cached := store.load_plan()) is not None:
            try:
                self._plan = self._read(cached)
            except NetworkError as error:
                _log.warning("the plan kept on disk is ignored: %s", error)

    @property
    def current(self) -> Plan | None:
        """The newest plan; None: there is none yet."""
        return self._plan

    @property
    def epoch(self) -> int:
        """The newest plan's epoch; 0: there is none yet."""
        return self._plan.epoch if self._plan else 0

    def offer(self, message: discovery_pb2.Plan) -> None:
        """Take a plan, unless the one that is here is as new.

        Raises:
            NetworkError: it can't be used; the plan before stays.
            MachineError: it can't be written to disk.
        """
        if message.epoch <= self.epoch:
            return
        plan = self._read(message)
        self._store.save_plan(message)
        self._plan = plan
        self._arrived.set()
        self._arrived = asyncio.Event()

    def hint(self, epoch: int) -> None:
        """A peer is in this epoch; if that is news, the aggregator is asked at once."""
        if epoch > self.epoch:
            self.behind.set()

    async def wait_newer(self, epoch: int) -> Plan:
        """The newest plan, once its epoch is greater than ``epoch``."""
        while self._plan is None or self._plan.epoch <= epoch:
            await self._arrived.wait()
        return self._plan

    async def while_newest(self, epoch: int, work: Coroutine[Any, Any, T]) -> T:
        """Do ``work`` unless a plan newer than ``epoch`` comes first.

        Raises:
            EpochOver: it came. ``work`` was cancelled, and has ended.
        """
        working = asyncio.ensure_future(work)
        newer = asyncio.ensure_future(self.wait_newer(epoch))
        try:
            await asyncio.wait((working, newer), return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                return working.result()
            raise EpochOver
        finally:
            await _end(working, newer)

    def _read(self, message: discovery_pb2.Plan) -> Plan:
        plan = receive_plan(message, node=self._node)
        if plan.spec_hash != self._spec_hash:
            raise NetworkError(
                "the plan is for another federation spec",
                where=f"plan of epoch {plan.epoch}",
                expected=self._spec_hash.hex(),
                found=plan.spec_hash.hex(),
                remedy="Copy the aggregator's federation.toml to this node",
            )
        return plan


async def _end(*tasks: asyncio.Future[Any]) -> None:
    """Cancel tasks and wait for their end, so that nothing they do comes later."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)

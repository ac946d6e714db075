"""A node's part in one sweep: collect, combine, hand up, keep, pass down."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar

from edge_node.federation.plan import Plan
from edge_node.network.exchange.exchange_client import ParentLink
from edge_node.network.exchange.records import RunRecords
from edge_node.network.exchange.step_log import log_step
from edge_node.network.exchange.sweep import Board, Sweep
from edge_node.network.wire.combine import Combination
from edge_node.network.wire.operation import Operation, parse_record
from tangentmesh.v1 import exchange_pb2

__all__ = ["Decide", "Progress", "Relay", "uninterrupted"]

T = TypeVar("T")
Decide: TypeAlias = Callable[[bytes], bytes]
"""From the combined payload to the record's decision; called at the root only, in a thread."""

_RECORD_BYTES = 1 << 20  # what a record may hold beside payload and decision: the cohort's names
_DECISION_BYTES = 16 << 20


@dataclass(frozen=True)
class Progress:
    """How far a run is at this node. ``since`` is when the waiting began (monotonic seconds)."""

    step: str = ""
    waiting_for: tuple[str, ...] = ()
    since: float = 0.0


@dataclass
class Relay:
    """Takes one node through the operations of one run.

    Attributes:
        node: its name.
        records: of the run; what is complete is kept there before it is passed down.
        board: where children's messages find the sweep.
        link: to the parent.
        clock: monotonic seconds.
    """

    node: str
    records: RunRecords
    board: Board
    link: ParentLink
    clock: Callable[[], float] = time.monotonic
    _current: tuple[Sweep, Plan, float] | None = field(default=None, repr=False)

    @property
    def progress(self) -> Progress:
        """What is waited for, and since when."""
        if self._current is None:
            return Progress()
        sweep, plan, since = self._current
        waiting = sweep.missing or tuple(filter(None, [plan.parent(self.node)]))
        return Progress(sweep.operation.step, waiting, since)

    async def operate(
        self,
        plan: Plan,
        operation: Operation,
        combination: Combination,
        own: bytes,
        decide: Decide | None = None,
    ) -> exchange_pb2.Record:
        """Complete an operation under a plan, and return its record: an old one if there is one.

        Args:
            plan: the tree.
            operation: what is done over it.
            combination: how messages are checked and combined.
            own: this node's message.
            decide: takes the decision that rides in the record, if this node is the root.

        Raises:
            NetworkError: a message or record can't be the operation's.
            MachineError: the record can't be written to disk.
        """
        if self.records.has(operation):
            return await self.recorded(operation)
        combination.check(own, frozenset({self.node}))
        subtrees = {child: plan.subtree(child) for child in plan.children(self.node)}
        with self.board.open(Sweep(operation, combination, subtrees)) as sweep:
            self._current = (sweep, plan, began := self.clock())
            parent = plan.parent(self.node)
            before = self.link.traffic.edge(parent)
            try:
                messages = await sweep.collected()
                child, collected = sweep.last, self.clock()
                combined = await asyncio.to_thread(combination.combine, [own, *messages])
                content = await self._hand_up(plan, operation, combination, combined, decide)
                times = began, collected, self.clock()
                record = await uninterrupted(asyncio.to_thread(self.records.commit, content))
                sweep.finish(content)
                edge = self.link.traffic.edge(parent) - before
                log_step(operation, child=child, parent=parent, times=times, edge=edge)
            finally:
                self._current = None
        return record

    async def recorded(self, operation: Operation) -> exchange_pb2.Record:
        """The record of an operation that is complete here. Raises NetworkError."""
        content = await asyncio.to_thread(self.records.find, operation)
        return parse_record(content, where=str(operation))

    async def _hand_up(
        self,
        plan: Plan,
        operation: Operation,
        combination: Combination,
        combined: bytes,
        decide: Decide | None,
    ) -> bytes:
        """The completed operation's record: the parent's, or at the root a new one."""
        if not plan.parent(self.node):
            decision = b""
            if decide is not None:
                decision = await uninterrupted(asyncio.to_thread(decide, combined))
            record = operation.record(plan.cohort, combined, decision)
            return record.SerializeToString(deterministic=True)
        limit = combination.limit(len(plan.cohort)) + _RECORD_BYTES + _DECISION_BYTES
        content = await self.link.exchange(plan, operation, combined, limit, node=self.node)
        record = parse_record(content, where=f"answer of {plan.parent(self.node)}")
        operation.check(record)
        plan.check_cohort(record.epoch, record.cohort)
        combination.check(record.payload, frozenset(record.cohort))
        return content


async def uninterrupted(work: Coroutine[Any, Any, T]) -> T:
    """Do work that must not be left half done: a cancellation takes effect at its end.

    A total that is being written when a newer plan comes is complete, or not, before this node
    tells others how many steps it has completed.
    """
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        raise

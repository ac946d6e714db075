"""One collective operation at one node, and the board where children's messages find it.

    children's messages -put-> [Sweep] -combine with own-> parent -record-> finish -> children

No I/O happens here: ``relay`` drives a sweep from the node's own side, ``exchange_server`` from the
children's. Replacements are idempotent: until all messages are there, a child's second message
replaces its first; afterwards the child just waits for the same result.
"""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from edge_node.errors import NetworkError
from edge_node.network.wire.combine import Combination
from edge_node.network.wire.operation import Kind, Operation, programs_differ

__all__ = ["Abandoned", "Board", "Sweep"]


class Abandoned(Exception):
    """The operation was given up here before it was complete; the child may try again."""


class Sweep:
    """The state of one operation at one node.

    Args:
        operation: which.
        combination: how messages are checked and combined.
        subtrees: for each child, the nodes whose contributions its message must hold.
    """

    def __init__(
        self,
        operation: Operation,
        combination: Combination,
        subtrees: Mapping[str, frozenset[str]],
    ) -> None:
        self.operation = operation
        self._combination = combination
        self._subtrees = subtrees
        self._messages: dict[str, bytes] = {}
        self._collected = asyncio.Event()
        self._settled = asyncio.Event()
        self._content: bytes | None = None
        self._failure: NetworkError | None = None
        if not subtrees:
            self._collected.set()

    @property
    def missing(self) -> tuple[str, ...]:
        """The children whose message is awaited, ascending."""
        return tuple(sorted(set(self._subtrees) - set(self._messages)))

    @property
    def last(self) -> str:
        """The child whose message came last so far; empty: none has come."""
        return next(reversed(self._messages), "")

    def limit(self, child: str) -> int:
        """The largest payload that this child may announce, in bytes."""
        return self._combination.limit(len(self._subtrees[child]))

    def put(self, child: str, payload: bytes) -> None:
        """Take a child's message. Once all children's messages are here, a repeat changes nothing.

        Raises:
            NetworkError: it can't be the message of this child's subtree; nothing has changed.
        """
        self._combination.check(payload, self._subtrees[child])
        if not self._collected.is_set():
            self._messages[child] = payload
        if not self.missing:
            self._collected.set()

    async def collected(self) -> tuple[bytes, ...]:
        """All children's messages, once they are there. Raises NetworkError if it has failed."""
        await self._collected.wait()
        if self._failure is not None:
            raise self._failure
        return tuple(self._messages.values())

    def finish(self, content: bytes) -> None:
        """The operation is complete, and on this node's disk: pass its record on."""
        self._content = content
        self._messages = {}
        self._settled.set()

    def fail(self, failure: NetworkError) -> None:
        """The operation can't be completed here: ``collected`` raises ``failure``."""
        if not self._settled.is_set() and self._failure is None:
            self._failure = failure
            self._collected.set()

    def abandon(self) -> None:
        """Give the operation up, unless it is complete: ``total`` raises Abandoned."""
        self._settled.set()

    async def total(self) -> bytes:
        """The completed operation's record. Raises Abandoned."""
        await self._settled.wait()
        if self._content is None:
            raise Abandoned
        return self._content


class Board:
    """The operations in progress at one node."""

    def __init__(self) -> None:
        self._sweeps: dict[Operation, Sweep] = {}
        self._changed = asyncio.Event()

    @contextmanager
    def open(self, sweep: Sweep) -> Iterator[Sweep]:
        """Show a sweep to arriving messages; at the end it is finished, or else abandoned."""
        self._sweeps[sweep.operation] = sweep
        self._notify()
        try:
            yield sweep
        finally:
            del self._sweeps[sweep.operation]
            sweep.abandon()
            self._notify()

    def find(self, operation: Operation) -> Sweep | None:
        """The sweep of an arriving message; None: it has not begun here.

        Raises:
            NetworkError: another step stands at that position: the programs differ.
        """
        for sweep in self._sweeps.values():
            mine = sweep.operation
            if mine == operation or (mine.run, mine.epoch) != (operation.run, operation.epoch):
                continue
            if _exclude_each_other(mine, operation):
                raise programs_differ(mine, operation)
            if mine.is_step and operation.is_step and mine.sequence < operation.sequence:
                sweep.fail(_records_lost(mine, operation))
        return self._sweeps.get(operation)

    async def changed(self) -> None:
        """Return when a sweep has been opened or closed."""
        await self._changed.wait()

    def _notify(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


def _exclude_each_other(mine: Operation, theirs: Operation) -> bool:
    """Whether no common program does both at once: two steps at one position of the run, or a
    gather here and the keys of a sum there.
    """
    if mine.is_step and theirs.is_step:
        return mine.sequence == theirs.sequence
    kinds = {mine.kind, theirs.kind}
    return kinds == {Kind.KIND_GATHER, Kind.KIND_KEYS}


def _records_lost(mine: Operation, theirs: Operation) -> NetworkError:
    """A child can only be ahead of its parent if the parent once had the step in between."""
    return NetworkError(
        "completed steps are missing from this node's records",
        where=str(mine),
        expected=f"records up to step {theirs.sequence - 1}, which a child has from here",
        found=f"records up to step {mine.sequence - 1}",
        remedy="Remove this run's directory and restart the node: it will join anew",
    )

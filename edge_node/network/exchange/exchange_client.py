"""The child's end of a tree edge: dial the parent, hand in the message, get the completed step.

A call that breaks is repeated after a growing, jittered pause, on a new channel: the message
replaces itself. A newer plan ends the attempts (`feed`).
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice

import grpc

from edge_node.errors import IdentityError, NetworkError
from edge_node.federation.plan import Member, Plan
from edge_node.network.exchange.exchange_server import EPOCH_KEY
from edge_node.network.exchange.feed import PlanFeed
from edge_node.network.wire.framing import Traffic, chunks, read_header, read_payload
from edge_node.network.wire.operation import Operation
from edge_node.security.pki.identity import Identity
from edge_node.security.tls.call_errors import final_error, summary, unreachable
from edge_node.security.tls.credentials import channel_credentials, channel_options
from edge_node.security.tls.denylist import Denylist
from tangentmesh.v1 import exchange_pb2_grpc

__all__ = ["Backoff", "ParentLink"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Backoff:
    """Growing pauses between attempts, in seconds; each is shortened by up to half, at random."""

    first: float = 0.1
    most: float = 2.0
    random: Callable[[], float] = random.random
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep

    def pauses(self) -> Iterator[float]:
        """How long to wait after the first failure, the second, and so on; without end."""
        longest = self.first
        while True:
            yield longest * (1 - self.random() / 2)
            longest = min(2 * longest, self.most)


@dataclass
class ParentLink:
    """Calls this node's parent, which may change. ``deadline`` limits one call, in seconds."""

    identity: Callable[[], Identity]
    feed: PlanFeed
    traffic: Traffic
    deadline: float
    denylist: Denylist = field(default_factory=Denylist)
    backoff: Backoff = Backoff()
    trouble: str = ""
    """Why the newest attempt failed; empty if it did not."""
    unreachable: frozenset[str] = frozenset()
    """The parent, from an attempt that doesn't reach it until one that does; otherwise empty."""
    explanation: str = ""
    """Why it was not reached, for people."""
    _channel: grpc.aio.Channel | None = field(default=None, repr=False)
    _dialled: tuple[str, bytes, tuple[bytes, ...]] | None = field(default=None, repr=False)
    _parent: Member | None = field(default=None, repr=False)  # the one that was dialled last
    _former: Member | None = field(default=None, repr=False)  # the same, before it renewed
    _reached: bool = False  # by the newest attempt

    async def exchange(
        self, plan: Plan, operation: Operation, payload: bytes, limit: int, *, node: str
    ) -> bytes:
        """Hand ``payload`` to the parent of ``node``, and return the answer.

        Args:
            plan: names the parent.
            operation: what the payload is for.
            payload: the combined message of the node's subtree.
            limit: the longest answer that is accepted, in bytes.
            node: this node's name.

        Tries until it succeeds or is cancelled.

        Raises:
            NetworkError: the parent answered that trying again is useless, or its answer can't be
                the operation's.
        """
        for pause in self.backoff.pauses():
            try:
                parent = plan.by_node[plan.parent(node)]
                call = self._call(plan, operation, payload, limit, parent.node)
                content = await self.denylist.while_allowed(parent.node, parent.fingerprint, call)
            except IdentityError as error:  # a plan without this parent is on its way
                self.trouble = str(error)
                await self.close()
            except grpc.aio.AioRpcError as error:
                await self._fail(error, plan, plan.parent(node), operation)
            else:
                self.trouble = ""
                return content
            await self.backoff.sleep(pause)
        raise AssertionError("pauses never end")

    async def close(self) -> None:
        """Hang up."""
        channel, self._channel, self._dialled = self._channel, None, None
        if channel is not None:
            await channel.close()

    async def _call(
        self, plan: Plan, operation: Operation, payload: bytes, limit: int, parent: str
    ) -> bytes:
        stub = exchange_pb2_grpc.ExchangeStub(await self._dial(plan, parent))
        header = await asyncio.to_thread(operation.header, plan.hash, payload)
        call = stub.Exchange(timeout=self.deadline)
        outgoing = chunks(header, payload)

        async def send(count: int | None) -> None:
            with suppress(asyncio.InvalidStateError):  # the call has ended; reading says why
                for chunk in islice(outgoing, count):
                    self.traffic.sent(parent, chunk)
                    await call.write(chunk)

        async def send_payload() -> None:
            await send(None)
            with suppress(asyncio.InvalidStateError):
                await call.done_writing()

        stream = self.traffic.counted(parent, call)
        try:
            self._reached = False
            await send(1)
            self._note(await call.initial_metadata())
            answer = await read_header(stream, send_payload)
            if (Operation.from_header(answer), answer.plan_hash) != (operation, plan.hash):
                raise NetworkError("the answer is for another step", where=f"call of {parent}")
            return await read_payload(stream, answer, limit)
        finally:
            call.cancel()

    async def _dial(self, plan: Plan, parent: str) -> grpc.aio.Channel:
        """The channel to the parent: kept while parent, address and both certificates stay.

        A parent whose certificate is another than before may still show that one: it has renewed
        it, and not yet heard of the plan that says so.
        """
        identity, member = self.identity(), plan.by_node[parent]
        pins = self._pins(member)
        wanted = (member.address, identity.fingerprint, pins)
        if self._channel is not None and self._dialled == wanted:
            return self._channel
        await self.close()
        options = [*channel_options(parent), ("grpc.use_local_subchannel_pool", 1)]
        credentials = channel_credentials(identity, pinned_der=pins)
        self._channel = grpc.aio.secure_channel(member.address, credentials, options=options)
        self._dialled = wanted
        return self._channel

    def _pins(self, member: Member) -> tuple[bytes, ...]:
        """The certificates that the parent may show (DER)."""
        if self._parent is None or self._parent.node != member.node:
            self._former = None
        elif self._parent.fingerprint != member.fingerprint:
            self._former = self._parent
        self._parent = member
        members = [each for each in (member, self._former) if each is not None]
        return tuple(e.certificate for e in members if e.fingerprint not in self.denylist)

    async def _fail(
        self, error: grpc.aio.AioRpcError, plan: Plan, parent: str, operation: Operation
    ) -> None:
        """Note a failed attempt. Raises NetworkError if there is no point in another one."""
        self.trouble = f"{parent}: {summary(error)}"
        answered = self._note(error.trailing_metadata())
        if not self._reached:
            before, self.unreachable = self.unreachable, frozenset({parent})
            if parent not in before:
                self.explanation = await self._explain(plan.by_node[parent])
                _log.warning("the parent can't be reached: %s", self.explanation)
        final = final_error(error, where=f"answer of {parent} to {operation}")
        if answered and final is not None:
            raise final from error
        if not answered:
            await self.close()  # a new channel dials at once, whatever happened to the old one

    async def _explain(self, member: Member) -> str:
        pinned = {each.fingerprint for each in (member, self._former) if each is not None}
        return str(
            await unreachable(
                member.address, name=member.node, identity=self.identity(), pinned=pinned
            )
        )

    def _note(self, metadata: Iterable[tuple[str, str | bytes]] | None) -> bool:
        """Whether metadata are a peer's; if so it was reached, and has told its epoch."""
        epochs = [str(value) for key, value in metadata or () if key == EPOCH_KEY]
        if epochs:
            self._reached, self.unreachable = True, frozenset()
            if epochs[0].isdecimal():
                self.feed.hint(int(epochs[0]))
        return bool(epochs)

"""The parent's end of a tree edge: a child dials, hands in its message, gets the completed step.

A child's data are asked for only when it is known to be a child in the plan of its epoch, and when
the operation has begun here, so that their length is known. A completed operation is answered from
the records, however often a child asks.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import grpc

from edge_node.errors import IdentityError, MachineError, NetworkError
from edge_node.federation.plan import Plan
from edge_node.network.exchange.feed import EpochOver, PlanFeed
from edge_node.network.exchange.records import RecordStore
from edge_node.network.exchange.sweep import Abandoned, Board, Sweep
from edge_node.network.wire.framing import Traffic, chunks, read_header, read_payload
from edge_node.network.wire.operation import Operation
from edge_node.security.pki.identity import Identity
from edge_node.security.tls.credentials import Caller, caller, server_credentials, server_options
from edge_node.security.tls.denylist import Denylist
from edge_node.security.tls.unreadable_requests import RefuseUnreadable
from tangentmesh.v1 import exchange_pb2, exchange_pb2_grpc

__all__ = ["EPOCH_KEY", "ExchangeServer", "ExchangeService"]

_log = logging.getLogger(__name__)

EPOCH_KEY = "tangentmesh-epoch"
"""Metadata of every answer, initial if the call is accepted, trailing if it is refused: the
server's epoch. An answer without it is not a peer's."""

_CALLS = 256  # at the same time; a node has far fewer children
_GRACE = 0.5  # seconds that a stopping server gives to answers on their way


@dataclass(frozen=True)
class _Refusal(Exception):
    """An answer that is no record."""

    code: grpc.StatusCode
    reason: str


@dataclass
class ExchangeService(exchange_pb2_grpc.ExchangeServicer):
    """Answers children's calls from the board of open sweeps and from the records.

    ``deadline`` is the longest that a call may last, ``patience`` how long a child that knows a
    newer plan is kept waiting for ours; both in seconds.
    """

    node: str
    federation: str
    feed: PlanFeed
    store: RecordStore
    board: Board
    traffic: Traffic
    deadline: float
    denylist: Denylist = field(default_factory=Denylist)
    patience: float = 5.0
    _broken: dict[str, int] = field(default_factory=dict)

    @property
    def broken(self) -> frozenset[str]:
        """Children whose call broke off in the current epoch, and who have not called again."""
        return frozenset(c for c, epoch in self._broken.items() if epoch == self.feed.epoch)

    async def Exchange(  # noqa: N802 - gRPC's name
        self,
        request_iterator: AsyncIterator[exchange_pb2.Chunk],
        context: "grpc.aio.ServicerContext[exchange_pb2.Chunk, exchange_pb2.Chunk]",
    ) -> None:
        """One call: check the caller, take the message, answer with the record."""
        try:
            async with asyncio.timeout(self.deadline):
                await self._answer(request_iterator, context)
        except _Refusal as refusal:
            code, reason = refusal.code, refusal.reason
        except NetworkError as error:
            code, reason = grpc.StatusCode.INVALID_ARGUMENT, str(error)
        except IdentityError as error:  # denied, perhaps while the call was in progress
            code, reason = grpc.StatusCode.PERMISSION_DENIED, str(error)
        except (TimeoutError, MachineError) as error:
            code, reason = grpc.StatusCode.UNAVAILABLE, str(error) or "the call took too long"
        else:
            return
        _log.debug("refused a call: %s %s", code.name, reason)
        metadata = ((EPOCH_KEY, str(self.feed.epoch)),)
        await context.abort(code, reason, metadata)

    async def _answer(self, requests: AsyncIterator[exchange_pb2.Chunk], context: Any) -> None:
        header = await read_header(requests)  # first: a client that still writes misses an answer
        peer = self._caller(context)
        self.traffic.received(peer.name, exchange_pb2.Chunk(header=header))
        operation = Operation.from_header(header)
        plan = await self._agree(header, peer)
        self._broken.pop(peer.name, None)
        await context.send_initial_metadata(((EPOCH_KEY, str(plan.epoch)),))

        async def send(chunk: exchange_pb2.Chunk) -> None:
            self.denylist.check(peer.name, peer.fingerprint)
            self.traffic.sent(peer.name, chunk)
            await context.write(chunk)

        async def payload(limit: int) -> bytes:
            await send(exchange_pb2.Chunk(proceed=exchange_pb2.Proceed()))
            return await read_payload(self.traffic.counted(peer.name, requests), header, limit)

        try:
            work = self._complete(operation, peer.name, payload)
            allowed = self.denylist.while_allowed(peer.name, peer.fingerprint, work)
            content = await self.feed.while_newest(plan.epoch, allowed)
            for chunk in chunks(operation.header(plan.hash, content), content):
                await send(chunk)
        except EpochOver:
            raise self._other_epoch(plan.epoch) from None
        except asyncio.CancelledError:
            self._broken[peer.name] = plan.epoch
            raise

    def _caller(self, context: Any) -> Caller:
        try:
            peer = caller(context, self.federation)
        except IdentityError as error:
            raise _Refusal(grpc.StatusCode.PERMISSION_DENIED, str(error)) from error
        if peer.role != "node":
            raise _Refusal(grpc.StatusCode.PERMISSION_DENIED, f"{peer.name} is not a node")
        self.denylist.check(peer.name, peer.fingerprint)
        return peer

    async def _agree(self, header: exchange_pb2.Header, peer: Caller) -> Plan:
        """The plan that both ends act on, in which the caller is a child of this node."""
        self.feed.hint(header.epoch)
        try:
            async with asyncio.timeout(self.patience):
                plan = await self.feed.wait_newer(header.epoch - 1)
        except TimeoutError:
            reason = f"{self.node} has not received the plan of epoch {header.epoch} yet"
            raise _Refusal(grpc.StatusCode.UNAVAILABLE, reason) from None
        if header.epoch < plan.epoch:
            raise self._other_epoch(header.epoch)
        if peer.name not in plan.children(self.node):
            reason = f"{peer.name} is no child of {self.node} in epoch {plan.epoch}"
            raise _Refusal(grpc.StatusCode.PERMISSION_DENIED, reason)
        if peer.fingerprint != plan.fingerprint(peer.name):
            reason = (
                f"{peer.name} called with the certificate {peer.fingerprint.hex()}, but the plan "
                f"of epoch {plan.epoch} names {plan.fingerprint(peer.name).hex()}"
            )
            raise _Refusal(grpc.StatusCode.PERMISSION_DENIED, reason)
        if (header.plan_hash, header.run) != (plan.hash, plan.run):
            reason = f"{peer.name} and {self.node} hold different plans of epoch {plan.epoch}"
            raise _Refusal(grpc.StatusCode.FAILED_PRECONDITION, reason)
        return plan

    async def _complete(
        self, operation: Operation, child: str, payload: Callable[[int], Awaitable[bytes]]
    ) -> bytes:
        """The operation's record: from the disk, or of the sweep that this message is for."""
        found = await self._find(operation)
        if isinstance(found, bytes):
            return found
        found.put(child, await payload(found.limit(child)))
        try:
            return await found.total()
        except Abandoned:
            reason = f"{self.node} gave up {operation}, and will begin it again"
            raise _Refusal(grpc.StatusCode.UNAVAILABLE, reason) from None

    async def _find(self, operation: Operation) -> bytes | Sweep:
        """Wait until the operation has begun here, or is complete."""
        records = self.store.run(operation.run)
        while True:
            try:
                if records.has(operation):
                    return await asyncio.to_thread(records.find, operation)
                if (sweep := self.board.find(operation)) is not None:
                    return sweep
            except NetworkError as error:
                raise _Refusal(grpc.StatusCode.ABORTED, str(error)) from error
            await self.board.changed()

    def _other_epoch(self, epoch: int) -> _Refusal:
        reason = f"the message is of epoch {epoch}; {self.node} is in epoch {self.feed.epoch}"
        return _Refusal(grpc.StatusCode.FAILED_PRECONDITION, reason)


class ExchangeServer:
    """The gRPC server around an ExchangeService.

    Args:
        service: answers the calls.
        address: host:port to listen at; port 0 takes a free one.
    """

    def __init__(self, service: ExchangeService, address: str) -> None:
        self._service = service
        self._address = address
        self._server: grpc.aio.Server | None = None

    async def start(self, identity: Identity | Callable[[], Identity]) -> int:
        """Listen, and return the port; ``identity`` is for ``server_credentials``.

        Raises:
            MachineError: the node can't listen at the address.
        """
        server = grpc.aio.server(
            interceptors=[RefuseUnreadable()],
            options=server_options(),
            maximum_concurrent_rpcs=_CALLS,
        )
        exchange_pb2_grpc.add_ExchangeServicer_to_server(self._service, server)
        try:
            port = server.add_secure_port(self._address, server_credentials(identity))
        except RuntimeError as error:
            raise MachineError(
                "the node can't listen for its peers",
                where=self._address,
                found=str(error),
                remedy="End the program that has this port, or set another `listen` in node.toml",
            ) from error
        await server.start()
        self._server = server
        return port

    async def stop(self) -> None:
        """Stop listening; children's calls break off, and they try again."""
        if self._server is not None:
            server, self._server = self._server, None
            await server.stop(_GRACE)

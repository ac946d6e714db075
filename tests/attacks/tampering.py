"""Members of a real mesh that change what passes through them, up or down the tree."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import grpc

from edge_node.federation.plan import Plan
from edge_node.network.exchange.exchange_client import ParentLink
from edge_node.network.exchange.exchange_server import EPOCH_KEY, ExchangeService
from edge_node.network.tree.tree import TreeNetwork
from edge_node.network.wire.framing import chunks
from edge_node.network.wire.operation import Operation, parse_record
from edge_node.security.pki.identity import Identity
from edge_node.security.tls.credentials import caller, channel_credentials, channel_options
from tangentmesh.v1 import exchange_pb2, exchange_pb2_grpc
from tests.support.mesh import DEADLINE, Mesh, Peer

__all__ = ["Answer", "Change", "Misleading", "call", "mislead", "outcomes", "tampering"]

Change = Callable[[exchange_pb2.Record], None]


def tampering(change: Callable[[Operation, bytes], bytes]) -> type[ParentLink]:
    """A link that hands up something else than it was given."""

    class Tampering(ParentLink):
        """A malicious member's."""

        async def exchange(
            self, plan: Plan, operation: Operation, payload: bytes, limit: int, *, node: str
        ) -> bytes:
            """As ever, but for the payload."""
            lie = change(operation, payload)
            return await super().exchange(plan, operation, lie, limit, node=node)

    return Tampering


@dataclass
class Misleading(ExchangeService):
    """A parent that answers some children with something else than it has on its disk.

    ``lies`` says which children, about which steps.
    """

    lies: dict[tuple[str, str], Change] = field(default_factory=dict)

    async def Exchange(self, request_iterator: Any, context: Any) -> None:  # noqa: N802 - gRPC's name
        """As ever, but for the record."""
        await super().Exchange(request_iterator, _Overwriting(context, self))


class _Overwriting:
    """A call's context, through which lies are written."""

    def __init__(self, context: Any, liar: Misleading) -> None:
        self._context, self._liar = context, liar
        self._header = exchange_pb2.Header()
        self._content = b""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    async def write(self, chunk: exchange_pb2.Chunk) -> None:
        """Keep the pieces of a record that is lied about until all are there."""
        if chunk.HasField("proceed"):
            return await self._context.write(chunk)
        if chunk.HasField("header"):
            self._header = chunk.header
        operation = Operation.from_header(self._header)
        child = caller(self._context, self._liar.federation).name
        change = self._liar.lies.get((child, operation.step))
        if change is None:
            return await self._context.write(chunk)
        self._content += chunk.data
        if len(self._content) == self._header.length:
            record = parse_record(self._content, where="the liar")
            change(record)
            lie = record.SerializeToString(deterministic=True)
            for each in chunks(operation.header(self._header.plan_hash, lie), lie):
                await self._context.write(each)
        return None


def mislead(parent: Peer, child: str, step: str, change: Change) -> None:
    """Let a parent change what it passes down to one child as a step's record."""
    assert isinstance(parent.service, Misleading)
    parent.service.lies[child, step] = change


async def outcomes(
    mesh: Mesh, program: Callable[[TreeNetwork], Awaitable[object]]
) -> Mapping[str, object]:
    """What becomes of the program at each node: its result, or the error that it ended with."""
    async with asyncio.timeout(DEADLINE):
        found = await asyncio.gather(
            *(program(peer.network()) for peer in mesh.peers.values()), return_exceptions=True
        )
    return dict(zip(mesh.peers, found, strict=True))


@dataclass
class Answer:
    """What a server has answered to a call that was made by hand.

    Attributes:
        code: how the call ended; None while it goes on.
        reason: in the server's words.
        chunks: what was received before.
        epoch: the epoch that the server told.
    """

    code: grpc.StatusCode | None = None
    reason: str = ""
    epoch: str = ""
    chunks: list[exchange_pb2.Chunk] = field(default_factory=list)

    @property
    def wanted(self) -> bool:
        """Whether the server asked for the payload."""
        return any(chunk.WhichOneof("content") == "proceed" for chunk in self.chunks)


async def call(
    identity: Identity,
    server: Peer,
    header: exchange_pb2.Header,
    payload: bytes = b"",
    *,
    written: Sequence[exchange_pb2.Chunk] | None = None,
) -> Answer:
    """Call a node with a hand-made message, to the end of the call.

    The first piece is written at once, the others when the server wants them. A client that still
    writes to a server that has refused it may miss the answer: the call is then repeated.

    Args:
        identity: the caller's.
        server: whom to call.
        header: of the message.
        payload: the message.
        written: the chunks to send instead of those of header and payload.
    """
    pieces = list(chunks(header, payload)) if written is None else written
    while (answer := await _call(identity, server, pieces)).code is grpc.StatusCode.INTERNAL:
        pass
    return answer


async def _call(identity: Identity, server: Peer, pieces: Sequence[exchange_pb2.Chunk]) -> Answer:
    answer = Answer()
    credentials = channel_credentials(identity)
    options = channel_options(server.identity.node)
    address = f"127.0.0.1:{server.port}"
    async with grpc.aio.secure_channel(address, credentials, options=options) as channel:
        stub = exchange_pb2_grpc.ExchangeStub(channel)
        stream = stub.Exchange(timeout=DEADLINE)
        try:
            await _write(stream, pieces[:1], last=len(pieces) < 2)
            async for chunk in stream:
                answer.chunks.append(chunk)
                if chunk.WhichOneof("content") == "proceed":
                    await _write(stream, pieces[1:], last=True)
            answer.code = grpc.StatusCode.OK
        except grpc.aio.AioRpcError as error:
            answer.code, answer.reason = error.code(), error.details() or ""
            told = dict(error.trailing_metadata() or ())
            answer.epoch = str(told.get(EPOCH_KEY, ""))
    return answer


async def _write(stream: Any, pieces: Sequence[exchange_pb2.Chunk], *, last: bool) -> None:
    with suppress(asyncio.InvalidStateError):  # the call has ended; reading says why
        for piece in pieces:
            await stream.write(piece)
        if last:
            await stream.done_writing()

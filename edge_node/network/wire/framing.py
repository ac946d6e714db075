"""A message as a stream of chunks: a header with length and digest, then at most 1 MiB at a time.

The reader buffers no more than was announced, and no more than it expects: a message that is too
long is refused by its header, before its content is read.
"""

import hashlib
from collections import defaultdict
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Self

from edge_node.errors import NetworkError
from tangentmesh.v1 import exchange_pb2

__all__ = ["CHUNK_BYTES", "EdgeBytes", "Traffic", "chunks", "read_header", "read_payload"]

CHUNK_BYTES = 1 << 20
_FRAME = 5  # bytes before each gRPC message: compressed or not, and its length


@dataclass(frozen=True)
class EdgeBytes:
    """What went over the edge to one peer since the process started, in bytes.

    Messages with their framing, as gRPC hands them to HTTP/2; repetitions count.
    """

    sent: int = 0
    received: int = 0

    def __sub__(self, before: Self) -> Self:
        """What has gone over the edge since it was at ``before``."""
        return type(self)(self.sent - before.sent, self.received - before.received)


class Traffic:
    """Counts the bytes of each edge and direction."""

    def __init__(self) -> None:
        self._edges: defaultdict[str, EdgeBytes] = defaultdict(EdgeBytes)

    def sent(self, peer: str, chunk: exchange_pb2.Chunk) -> None:
        """Count a chunk that is handed to gRPC."""
        edge = self._edges[peer]
        self._edges[peer] = EdgeBytes(edge.sent + chunk.ByteSize() + _FRAME, edge.received)

    def received(self, peer: str, chunk: exchange_pb2.Chunk) -> None:
        """Count a chunk that came from gRPC."""
        edge = self._edges[peer]
        self._edges[peer] = EdgeBytes(edge.sent, edge.received + chunk.ByteSize() + _FRAME)

    async def counted(
        self, peer: str, chunks: AsyncIterable[exchange_pb2.Chunk]
    ) -> AsyncIterator[exchange_pb2.Chunk]:
        """The chunks that come from a peer, each counted."""
        async for chunk in chunks:
            self.received(peer, chunk)
            yield chunk

    def edge(self, peer: str) -> EdgeBytes:
        """The bytes of the edge to one peer so far."""
        return self._edges[peer] if peer in self._edges else EdgeBytes()

    @property
    def edges(self) -> Mapping[str, EdgeBytes]:
        """The bytes of each peer's edge so far."""
        return dict(self._edges)


def chunks(header: exchange_pb2.Header, payload: bytes) -> Iterator[exchange_pb2.Chunk]:
    """The message: its header, then its payload in pieces."""
    yield exchange_pb2.Chunk(header=header)
    for start in range(0, len(payload), CHUNK_BYTES):
        yield exchange_pb2.Chunk(data=payload[start : start + CHUNK_BYTES])


async def read_header(
    stream: AsyncIterator[exchange_pb2.Chunk],
    proceed: Callable[[], Awaitable[None]] | None = None,
) -> exchange_pb2.Header:
    """The first chunk of a message.

    Args:
        stream: before its first chunk.
        proceed: called when the peer, before its own message, says that it wants ours.

    Raises:
        NetworkError: it isn't a header.
    """
    chunk = await anext(stream, None)
    if proceed is not None and chunk is not None and chunk.WhichOneof("content") == "proceed":
        await proceed()
        chunk = await anext(stream, None)
    if chunk is None or chunk.WhichOneof("content") != "header":
        raise _malformed("it does not begin with a header")
    return chunk.header


async def read_payload(
    stream: AsyncIterator[exchange_pb2.Chunk], header: exchange_pb2.Header, limit: int
) -> bytes:
    """The rest of a message, to the end of the stream.

    Args:
        stream: after its header.
        header: announces length and digest.
        limit: the longest payload that is accepted, in bytes.

    Raises:
        NetworkError: announced too long, longer or shorter than announced, chunks too large, or
            another digest.
    """
    if header.length > limit:
        raise _malformed("it is too long", f"at most {limit} bytes", f"{header.length} bytes")
    payload = bytearray()
    async for chunk in stream:
        if chunk.WhichOneof("content") != "data" or not 0 < len(chunk.data) <= CHUNK_BYTES:
            raise _malformed("a chunk holds no data, or too much", f"1 to {CHUNK_BYTES} bytes")
        payload += chunk.data
        if len(payload) > header.length:
            raise _malformed("it is longer than announced", f"{header.length} bytes")
    if len(payload) != header.length:
        raise _malformed("it is truncated", f"{header.length} bytes", f"{len(payload)} bytes")
    if hashlib.sha256(payload).digest() != header.digest:
        raise _malformed("its digest is wrong: it was changed on the way")
    return bytes(payload)


def _malformed(problem: str, expected: str = "", found: str = "") -> NetworkError:
    return NetworkError(f"a message is malformed: {problem}", expected=expected, found=found)

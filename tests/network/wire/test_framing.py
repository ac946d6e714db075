"""A message arrives whole and unchanged, or is refused; never more is buffered than announced."""

import hashlib
from collections.abc import AsyncIterator, Iterable

import pytest

from edge_node.errors import NetworkError
from edge_node.network.wire.framing import (
    CHUNK_BYTES,
    EdgeBytes,
    Traffic,
    chunks,
    read_header,
    read_payload,
)
from tangentmesh.v1.exchange_pb2 import Chunk, Header, Proceed


def header_of(payload: bytes) -> Header:
    """An honest header."""
    digest = hashlib.sha256(payload).digest()
    return Header(epoch=1, length=len(payload), digest=digest)


async def stream(parts: Iterable[Chunk]) -> AsyncIterator[Chunk]:
    """What gRPC gives."""
    for part in parts:
        yield part


def data(*parts: bytes) -> AsyncIterator[Chunk]:
    """Chunks of data."""
    return stream([Chunk(data=part) for part in parts])


@pytest.mark.parametrize("length", [0, 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES - 1])
async def test_round_trip(length: int) -> None:
    """Any length, in chunks of at most 1 MiB."""
    payload = bytes(range(251)) * (length // 251 + 1)
    payload = payload[:length]
    parts = list(chunks(header_of(payload), payload))
    assert len(parts) == 1 + -(-length // CHUNK_BYTES)
    assert max(len(part.data) for part in parts) <= CHUNK_BYTES
    arriving = stream(parts)
    header = await read_header(arriving)
    assert await read_payload(arriving, header, length) == payload


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        ([b"abc"], "truncated.*expected 4 bytes, found 3 bytes"),
        ([], "truncated"),
        ([b"abcd", b"e"], "longer than announced"),
        ([b"abce"], "digest is wrong"),
        ([b"ab", b"", b"cd"], "a chunk holds no data, or too much"),
        ([b"a" * (CHUNK_BYTES + 1)], "a chunk holds no data, or too much"),
    ],
    ids=["cut", "nothing", "longer", "changed", "empty chunk", "large chunk"],
)
async def test_a_malformed_message_is_refused(parts: list[bytes], reason: str) -> None:
    """It says what is wrong."""
    with pytest.raises(NetworkError, match=reason):
        await read_payload(data(*parts), header_of(b"abcd"), 100)


async def test_what_is_too_long_is_refused_unread() -> None:
    """By its header alone."""
    arriving = data(b"abcd")
    with pytest.raises(NetworkError, match=r"too long.*at most 3 bytes, found 4 bytes"):
        await read_payload(arriving, header_of(b"abcd"), 3)
    assert (await anext(arriving)).data == b"abcd"


async def test_reading_stops_at_the_announced_length() -> None:
    """A peer that sends without end fills no memory."""
    read = 0

    async def endless() -> AsyncIterator[Chunk]:
        nonlocal read
        while True:
            read += 1
            yield Chunk(data=b"abcd")

    with pytest.raises(NetworkError, match="longer than announced"):
        await read_payload(endless(), header_of(b"abcd" * 3), 100)
    assert read == 4


@pytest.mark.parametrize(
    "parts", [[], [Chunk(data=b"x")], [Chunk()], [Chunk(proceed=Proceed())]], ids=len
)
async def test_a_message_begins_with_its_header(parts: list[Chunk]) -> None:
    """And with nothing else."""
    with pytest.raises(NetworkError, match="does not begin with a header"):
        await read_header(stream(parts))


async def test_proceed_comes_at_most_once_before_the_header() -> None:
    """The callback sends the payload; a second time is an error."""
    asked = 0

    async def proceed() -> None:
        nonlocal asked
        asked += 1

    header, go = Chunk(header=header_of(b"")), Chunk(proceed=Proceed())
    assert await read_header(stream([go, header]), proceed) == header.header
    assert await read_header(stream([header]), proceed) == header.header
    assert asked == 1
    with pytest.raises(NetworkError):
        await read_header(stream([go, go, header]), proceed)


def test_traffic_is_counted_by_edge_and_direction() -> None:
    """Messages as gRPC sends them: content, framing, five bytes before each."""
    traffic, chunk = Traffic(), Chunk(data=bytes(1000))
    traffic.sent("a", chunk)
    traffic.sent("a", chunk)
    traffic.received("b", chunk)
    size = len(chunk.SerializeToString()) + 5
    assert traffic.edges == {"a": EdgeBytes(sent=2 * size), "b": EdgeBytes(received=size)}

"""What tests in several folders need, importable and as fixtures. No test asserts a time."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from tangentmesh.v1 import exchange_pb2

settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Everything that is handed to gRPC from here on, message by message."""
    from edge_node.network import exchange, framing, link

    captured: list[bytes] = []

    def chunks(header: "exchange_pb2.Header", payload: bytes) -> Iterator["exchange_pb2.Chunk"]:
        captured.append(header.SerializeToString() + payload)
        return framing.chunks(header, payload)

    monkeypatch.setattr(link, "chunks", chunks)
    monkeypatch.setattr(exchange, "chunks", chunks)
    return captured

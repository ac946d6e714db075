"""What is fuzzed: a decoder with valid inputs to begin from.

A decoder takes any bytes, and returns or raises TangentMeshError; protobuf's own DecodeError counts
where gRPC parses the message before any code of the project sees it.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from google.protobuf.message import DecodeError

from edge_node.errors import TangentMeshError

__all__ = ["Target", "held"]


@dataclass(frozen=True)
class Target:
    """One decoder.

    ``share`` is how many of a hundred inputs it gets beside others; a slow one gets fewer.
    """

    name: str
    seeds: tuple[bytes, ...]
    decode: Callable[[bytes], object]
    share: int = 100


def held(target: Target, data: bytes) -> None:
    """Decode ``data``. Anything but a result or a proper refusal is raised."""
    with suppress(TangentMeshError, DecodeError):
        target.decode(data)

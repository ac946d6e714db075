"""One of the project's programs, with its calls written down in clear: before TLS, and after it.

    python -m tests.system.tap FILE MODULE ARGUMENT...

Everything that gRPC sends or receives, as client or server, is appended to FILE; what the node
contributes to sums, to FILE.given (float64). Logs are at DEBUG. The environment may ask for more:

    TAP_UNMASKED    sums are not masked: the control
    TAP_FAIL=STEP   the program meets a ValueError that quotes a row, in the first step named so
"""

import functools
import logging
import os
import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

from edge_node import console
from edge_node.network.threaded import ThreadedNetwork
from edge_node.network.wire.segments import Segments
from edge_node.security.masks import PairwiseMasks

_KINDS = ("unary_unary", "unary_stream", "stream_unary", "stream_stream")

Serializer = Callable[[Any], Any]


def main(file: Path, module: str, *arguments: str) -> None:
    """Tap the program, and run it."""
    tap_calls(file)
    tap_contributions(file.with_name(f"{file.name}.given"))
    verbose = functools.partial(console.configure_logging, logging.DEBUG)
    console.configure_logging = verbose
    if os.environ.get("TAP_UNMASKED"):
        PairwiseMasks.mask = lambda _self, words, *_: words  # type: ignore[method-assign]
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def tap_calls(file: Path) -> None:
    """Write down what goes through every serialiser and deserialiser of gRPC."""

    def note(content: bytes) -> bytes:
        with file.open("ab") as out:
            out.write(content + b"\n")
        return content

    def out(serialise: Serializer) -> Serializer:
        return lambda message: note(serialise(message))

    def into(deserialise: Serializer) -> Serializer:
        return lambda content: deserialise(note(content))

    for kind in _KINDS:
        tap_server(f"{kind}_rpc_method_handler", out, into)
    for opening in ("insecure_channel", "secure_channel"):
        tap_client(opening, out, into)


def tap_server(name: str, out: Callable[..., Any], into: Callable[..., Any]) -> None:
    """What a handler is given, and what it answers."""
    honest = getattr(grpc, name)

    def handler(behaviour: Any, request_deserializer: Any, response_serializer: Any) -> Any:
        return honest(behaviour, into(request_deserializer), out(response_serializer))

    setattr(grpc, name, handler)


def tap_client(opening: str, out: Callable[..., Any], into: Callable[..., Any]) -> None:
    """What the stubs of a channel send, and what they are answered."""
    honest = getattr(grpc.aio, opening)

    def opened(*arguments: Any, **options: Any) -> Any:
        channel = honest(*arguments, **options)
        for kind in _KINDS:
            setattr(channel, kind, multicallable(getattr(channel, kind)))
        return channel

    def multicallable(call: Any) -> Any:
        def make(
            method: str,
            request_serializer: Any = None,
            response_deserializer: Any = None,
            **options: Any,
        ) -> Any:
            return call(method, out(request_serializer), into(response_deserializer), **options)

        return make

    setattr(grpc.aio, opening, opened)


def tap_contributions(file: Path) -> None:
    """Write down the vectors that the node gives to sums; fail in one of them if asked to."""
    honest, fatal = ThreadedNetwork.sum, os.environ.get("TAP_FAIL", "")

    async def noted(self: Any, step: Any, vector: Any, **terms: Any) -> Any:
        with file.open("ab") as out:
            out.write(vector.tobytes())
        with file.with_suffix(".words").open("ab") as out:
            out.write(Segments.of(len(vector), terms.get("bounds")).encode(vector).tobytes())
        if fatal and step.name.startswith(fatal):
            from tests.system.test_canary import NUMBERS, RARE

            raise ValueError(f"could not convert {RARE!r}, {NUMBERS}")
        return await honest(self, step, vector, **terms)

    ThreadedNetwork.sum = noted  # type: ignore[method-assign]


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])

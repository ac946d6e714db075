"""Requests that can't be read are refused by name, before a service sees them.

By itself gRPC answers a request that is no message of its type with UNKNOWN, and writes a traceback
into the server's log. That looks like a broken server, and any caller could fill the log with it.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from edge_node.errors import NetworkError

__all__ = ["RefuseUnreadable"]

_PROBLEM = "the request is not a message of its type: update both ends to the same version"
_UNREADABLE = object()


class RefuseUnreadable(grpc.aio.ServerInterceptor):
    """Answers an unreadable request with INVALID_ARGUMENT; in a stream it raises NetworkError."""

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """The method's own handler behind one that looks at the requests; None: no such method."""
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        made = (_reader(handler.request_deserializer), handler.response_serializer)
        if handler.stream_stream is not None:
            return grpc.stream_stream_rpc_method_handler(_streamed(handler.stream_stream), *made)
        return grpc.unary_unary_rpc_method_handler(_single(handler.unary_unary), *made)


def _reader(deserialize: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    def read(data: bytes) -> Any:
        try:
            return deserialize(data)
        except DecodeError:
            return _UNREADABLE

    return read


def _single(answer: Callable[[Any, Any], Awaitable[Any]]) -> Callable[[Any, Any], Awaitable[Any]]:
    async def checked(request: Any, context: Any) -> Any:
        if request is _UNREADABLE:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, _PROBLEM)
        return await answer(request, context)

    return checked


def _streamed(answer: Callable[[Any, Any], Awaitable[Any]]) -> Callable[[Any, Any], Awaitable[Any]]:
    async def checked(requests: AsyncIterator[Any], context: Any) -> Any:
        return await answer(_readable(requests), context)

    return checked


async def _readable(requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
    async for request in requests:
        if request is _UNREADABLE:
            raise NetworkError(_PROBLEM)
        yield request

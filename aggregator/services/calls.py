"""The status and text with which a call ends if it can't be answered."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc

from edge_node.errors import MachineError, TangentMeshError

__all__ = ["Refusal", "errors_end"]


class Refusal(Exception):
    """A call is refused with this status and for this reason."""

    def __init__(self, code: grpc.StatusCode, reason: str) -> None:
        super().__init__(code, reason)
        self.code, self.reason = code, reason


@asynccontextmanager
async def errors_end(call: Any) -> AsyncIterator[None]:
    """End a call (gRPC's context) with the status that fits what was raised."""
    try:
        yield
    except Refusal as refusal:
        await call.abort(refusal.code, refusal.reason)
    except MachineError as error:
        await call.abort(grpc.StatusCode.INTERNAL, str(error))
    except TangentMeshError as error:
        await call.abort(grpc.StatusCode.PERMISSION_DENIED, str(error))

"""Why a call failed: gRPC's status codes as this project's errors, here and nowhere else.

A code and a text are all that gRPC gives. What they mean depends on who was called, so there is one
function for each: the enrolment service, the discovery service, a parent in the tree, and the node
that runs on this machine.
"""

import asyncio
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

import grpc

from edge_node.config.names import AGGREGATOR
from edge_node.errors import DataError, IdentityError, NetworkError, RefusedError, TangentMeshError

if TYPE_CHECKING:
    from edge_node.security.pki.identity import Identity

__all__ = [
    "discovery_error",
    "enrolment_error",
    "enrolment_unreachable",
    "final_error",
    "local_error",
    "refusal",
    "summary",
    "unreachable",
]

_REFUSALS = {
    grpc.StatusCode.UNAUTHENTICATED: "the aggregator refused the token",
    grpc.StatusCode.PERMISSION_DENIED: "the aggregator refused the token",
    grpc.StatusCode.ALREADY_EXISTS: "the token, or the node's name, was used before",
    grpc.StatusCode.INVALID_ARGUMENT: "the aggregator refused the request",
    grpc.StatusCode.FAILED_PRECONDITION: "the aggregator refused the request",
}
"""Codes by which a service that answers refuses its caller, and what they mean at enrolment."""

_FINAL = {grpc.StatusCode.ABORTED, grpc.StatusCode.INVALID_ARGUMENT}


def summary(error: grpc.RpcError) -> str:
    """Code and text on one line."""
    return f"{error.code().name}: {error.details() or ''}"


def refusal(error: grpc.RpcError) -> str | None:
    """Why the service that was called refuses the caller, in its own words; None: it doesn't."""
    return error.details() or error.code().name if error.code() in _REFUSALS else None


def enrolment_error(error: grpc.RpcError, address: str) -> IdentityError | NetworkError:
    """Why the enrolment service at ``address`` (host:port) gave no certificate."""
    code, details = error.code(), error.details() or "no details"
    if problem := _REFUSALS.get(code):
        return IdentityError(
            problem,
            where=f"aggregator {address}",
            found=details,
            remedy="Ask the federation's operator for a new token",
        )
    if code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
        return enrolment_unreachable(address, details)
    return NetworkError(
        "the aggregator failed",
        where=f"aggregator {address}",
        found=f"{code.name}: {details}",
        remedy="Ask the federation's operator to look into the aggregator's log",
    )


def enrolment_unreachable(address: str, found: str) -> NetworkError:
    """Nobody answers where the enrolment service should be."""
    return NetworkError(
        "the aggregator can't be reached",
        where=f"aggregator {address}",
        expected="the enrolment service",
        found=found,
        remedy="Check with the federation's operator that the aggregator runs at this address",
    )


async def discovery_error(
    error: grpc.RpcError, address: str, identity: "Identity"
) -> TangentMeshError:
    """Why the discovery service at ``address`` (host:port) did not do what ``identity`` asked.

    If there was no connection, the aggregator is dialled once more to find out why.
    """
    if (reason := refusal(error)) is not None:
        return RefusedError(reason, where=address)
    if error.code() is grpc.StatusCode.UNAVAILABLE:
        return await unreachable(address, name=AGGREGATOR, identity=identity)
    return NetworkError(
        "the aggregator doesn't answer",
        where=address,
        found=error.details() or error.code().name,
        remedy="Check that it runs, and that no firewall is in between",
    )


async def unreachable(
    address: str, *, name: str, identity: "Identity", pinned: Collection[bytes] = ()
) -> TangentMeshError:
    """As ``explain_failure``, without blocking the event loop."""
    # imported late, with cryptography: a program that asks its local node needs neither
    from edge_node.security.tls.handshake import explain_failure

    return await asyncio.to_thread(
        explain_failure, address, name=name, identity=identity, pinned=pinned
    )


def final_error(error: grpc.RpcError, *, where: str) -> NetworkError | None:
    """A parent's answer as an error, if trying again is useless; None: it may help."""
    return NetworkError(error.details() or "", where=where) if error.code() in _FINAL else None


def local_error(error: grpc.RpcError, socket: Path, *, timeout: float) -> TangentMeshError:
    """Why the node at ``socket`` on this machine gave no answer within ``timeout`` seconds."""
    code, details = error.code(), error.details()
    if code is grpc.StatusCode.UNAVAILABLE:
        return NetworkError(
            "no edge-node process answers",
            where=str(socket),
            remedy="Start it with `edge-node run`",
        )
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return NetworkError(
            "the edge-node process doesn't answer",
            where=str(socket),
            expected=f"an answer within {timeout:g} s",
            remedy="It is there, but stopped (SIGSTOP, a paused container) or short of processor"
            " time or memory: let it go on, or restart it",
        )
    if code is grpc.StatusCode.INVALID_ARGUMENT:
        return DataError(details or "the rows don't fit the schema")
    return NetworkError(details or str(code), where=str(socket))

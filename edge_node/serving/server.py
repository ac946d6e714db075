"""The local endpoint's server: predictions and status for programs on the same device.

It listens on a Unix domain socket in a directory that only the node's user may enter. Queries never
leave the device, so they need no certificate.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc

from edge_node.config import Which
from edge_node.data.sources.source import batch_from_rows
from edge_node.errors import DataError, MachineError, TangentMeshError
from edge_node.model.model import Model
from edge_node.security.files import make_private_directory
from edge_node.security.tls.unreadable_requests import RefuseUnreadable
from edge_node.serving.endpoint import socket_path, target
from edge_node.serving.status import NodeStatus
from tangentmesh.v1 import prediction_pb2 as pb
from tangentmesh.v1 import prediction_pb2_grpc as rpc

__all__ = ["answer", "serve_local"]

_DEFAULT_LEVEL = 0.95
_MOST_BYTES = 64 * 1024 * 1024  # of one request: about half a million rows of 16 numbers


async def serve_local(
    directory: Path,
    model: Callable[[], Model | None],
    status: Callable[[], NodeStatus],
) -> grpc.aio.Server:
    """Start serving. The caller stops the server.

    Args:
        directory: the node's directory.
        model: the newest model, or None before the first run is complete.
        status: the node's present status.

    Raises:
        MachineError: the socket can't be made.
    """
    path = socket_path(directory)
    make_private_directory(path.parent)
    path.unlink(missing_ok=True)  # left behind by a crash: the daemon holds the directory's lock
    server = grpc.aio.server(
        interceptors=[RefuseUnreadable()],
        options=[("grpc.max_receive_message_length", _MOST_BYTES)],
    )
    rpc.add_LocalServicer_to_server(_Local(model, status), server)
    try:
        server.add_secure_port(
            target(directory), grpc.local_server_credentials(grpc.LocalConnectionType.UDS)
        )
    except RuntimeError as error:
        raise MachineError(
            "the local socket can't be opened",
            where=str(path),
            found=str(error),
            remedy="Check that its directory belongs to the user that runs this program",
        ) from error
    await server.start()
    path.chmod(0o600)
    return server


class _Local(rpc.LocalServicer):
    def __init__(self, model: Callable[[], Model | None], status: Callable[[], NodeStatus]) -> None:
        self._model = model
        self._status = status

    async def Predict(  # noqa: N802 - named by the protocol
        self, request: pb.PredictRequest, context: "grpc.aio.ServicerContext[Any, Any]"
    ) -> pb.PredictReply:
        model = self._model()
        if model is None:
            await context.abort(
                grpc.StatusCode.FAILED_PRECONDITION,
                "this node holds no posterior yet: `edge-node status` says what it waits for",
            )
        assert model is not None  # noqa: S101 - abort has raised
        site = self._status().node if model.data.site_column else None
        try:
            return await asyncio.to_thread(answer, model, request, site)
        except TangentMeshError as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
            raise  # never: abort has raised

    async def Status(  # noqa: N802 - named by the protocol
        self, request: pb.StatusRequest, context: "grpc.aio.ServicerContext[Any, Any]"
    ) -> pb.StatusReply:
        return self._status().to_message()


def answer(model: Model, request: pb.PredictRequest, site: str | None) -> pb.PredictReply:
    """The model's predictions for the rows of a request.

    Args:
        model: the newest one.
        request: the rows, and which posterior is asked.
        site: fills the site column of rows that don't have it; None: the spec has no such column.

    Raises:
        DataError: the request's rows or settings don't fit the model.
    """
    rows = [{name: _value(cell) for name, cell in row.cells.items()} for row in request.rows]
    level, which = request.level or _DEFAULT_LEVEL, request.posterior or Which.AUTO
    if which not in list(Which):
        raise DataError("no such posterior", expected=", ".join(Which), found=which)
    batch = batch_from_rows(rows, model.data, site=site)
    predictions = model.predict(batch, level=level, which=Which(which))
    return pb.PredictReply(
        predictions=[pb.Prediction(**row) for row in predictions.rows()],
        warnings=predictions.warnings,
        run=model.provenance.run,
    )


def _value(cell: pb.Cell) -> float | str | None:
    kind = cell.WhichOneof("value")
    return None if kind is None else getattr(cell, kind)

"""The local endpoint's client: ask the daemon of a directory for predictions or its status."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import grpc

from edge_node.security.tls.call_errors import local_error
from edge_node.serving.endpoint import socket_path, target
from edge_node.serving.status import NodeStatus
from tangentmesh.v1 import prediction_pb2 as pb
from tangentmesh.v1 import prediction_pb2_grpc as rpc

__all__ = ["predict", "status"]


def status(directory: Path, *, timeout: float = 10.0) -> NodeStatus:
    """The status of the node running in ``directory``.

    Raises:
        NetworkError: no node runs there, or it doesn't answer within ``timeout`` seconds.
    """
    with _channel(directory) as channel:
        try:
            reply = rpc.LocalStub(channel).Status(pb.StatusRequest(), timeout=timeout)
        except grpc.RpcError as error:
            raise local_error(error, socket_path(directory), timeout=timeout) from error
    return NodeStatus.from_message(reply)


def predict(
    directory: Path,
    rows: Sequence[Mapping[str, float | str | None]],
    *,
    level: float = 0.95,
    posterior: str = "auto",
    timeout: float = 60.0,
) -> list[dict[str, Any]]:
    """Predictions for rows given by column name, from the daemon's posterior.

    Args:
        directory: the node's.
        rows: by column name; None is missing.
        level: probability that an interval holds a new observation (regression).
        posterior: ``auto``, ``global`` or ``site``.
        timeout: seconds.

    Returns:
        For each row, ``mean, sd, lower, upper``, or ``median, lower, upper`` of a time, or
        ``label, probabilities``.

    Raises:
        DataError: a row doesn't fit the schema.
        NetworkError: no node runs there, it holds no posterior yet, or it doesn't answer in time.
    """
    request = pb.PredictRequest(rows=[_row(row) for row in rows], level=level, posterior=posterior)
    with _channel(directory) as channel:
        try:
            reply = rpc.LocalStub(channel).Predict(request, timeout=timeout)
        except grpc.RpcError as error:
            raise local_error(error, socket_path(directory), timeout=timeout) from error
    return [_prediction(each) for each in reply.predictions]


def _prediction(reply: pb.Prediction) -> dict[str, Any]:
    if reply.label:
        return {"label": reply.label, "probabilities": dict(reply.probabilities)}
    if reply.median:  # a time, so positive
        return {"median": reply.median, "lower": reply.lower, "upper": reply.upper}
    return {"mean": reply.mean, "sd": reply.sd, "lower": reply.lower, "upper": reply.upper}


def _row(row: Mapping[str, float | str | None]) -> pb.Row:
    cells = {}
    for name, value in row.items():
        if value is None:
            cells[name] = pb.Cell()
        elif isinstance(value, str):
            cells[name] = pb.Cell(text=value)
        else:
            cells[name] = pb.Cell(number=value)
    return pb.Row(cells=cells)


def _channel(directory: Path) -> grpc.Channel:
    credentials = grpc.local_channel_credentials(grpc.LocalConnectionType.UDS)
    options = [("grpc.enable_http_proxy", 0), ("grpc.max_receive_message_length", -1)]
    return grpc.secure_channel(target(directory), credentials, options=options)

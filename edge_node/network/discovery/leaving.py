"""A node's request to leave its federation."""

import grpc

from edge_node.network.discovery.client import PATIENCE, discovery_channel
from edge_node.security.disclosure.departure import Departure
from edge_node.security.pki.identity import Identity
from edge_node.security.tls.call_errors import discovery_error
from tangentmesh.v1 import discovery_pb2, discovery_pb2_grpc

__all__ = ["leave"]


async def leave(address: str, identity: Identity, departure: Departure | None) -> None:
    """Leave the federation. Asking again changes nothing.

    Args:
        address: host:port of the discovery service.
        identity: the node's.
        departure: its consent, for the others; None if it gives none.

    Raises:
        NetworkError: the aggregator doesn't answer.
        RefusedError: it answers, but doesn't know this node.
    """
    request = discovery_pb2.LeaveRequest()
    if departure is not None:
        request.epoch, request.signature = departure.epoch, departure.signature
    async with discovery_channel(address, identity) as channel:
        stub = discovery_pb2_grpc.DiscoveryStub(channel)
        try:
            await stub.Leave(request, timeout=PATIENCE)
        except grpc.aio.AioRpcError as error:
            raise await discovery_error(error, address, identity) from error

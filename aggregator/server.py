"""The aggregator's process: two ports, one registry, and what is done at intervals."""

import asyncio
import logging
import signal
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import grpc
import msgspec

from aggregator.ca.issuer import Issuer
from aggregator.ca.own_certificate import OwnCertificate
from aggregator.ca.trust import NodesTrust
from aggregator.directory.config import AggregatorConfig, Ports, load_config, read_ports
from aggregator.directory.layout import Directory
from aggregator.members.members import Members
from aggregator.planning.snapshot import Rules
from aggregator.registry.registry import Registry
from aggregator.services.discovery import DiscoveryService
from aggregator.services.enrolment import EnrolmentService
from aggregator.services.planning import Planning
from edge_node.config import load_spec
from edge_node.config.names import join_address
from edge_node.errors import MachineError
from edge_node.security.files import write_atomically
from edge_node.security.lock import locked
from edge_node.security.tls.credentials import (
    enrolment_server_credentials,
    server_credentials,
    server_options,
)
from edge_node.security.tls.unreadable_requests import RefuseUnreadable
from tangentmesh.v1 import discovery_pb2_grpc, enrolment_pb2_grpc

__all__ = ["serve"]

_log = logging.getLogger(__name__)
_REFRESH = 1.0  # seconds between two readings of what other programs have written
_GRACE = 1.0  # seconds for answers on their way when the process ends


async def serve(directory: Directory) -> None:
    """Run until SIGTERM or SIGINT.

    Raises:
        ConfigurationError, IdentityError: something in the directory is wrong.
        MachineError: a port is in use, another process works in the directory, or it can't be
            written.
    """
    config = load_config(directory)
    with locked(directory.lock, who="aggregator"):
        await _serve(directory, config)


async def _serve(directory: Directory, config: AggregatorConfig) -> None:
    spec, own = load_spec(directory.spec), OwnCertificate.open(directory, config)
    with Registry.open(directory.registry) as registry:
        members = Members(registry, spec.timing.liveness)
        planning = Planning(Rules.of(spec), members)
        trust = NodesTrust(spec.timing.liveness)
        issuer = Issuer(members, lambda: own.authorities, trust, config.lifetime)
        discovery = DiscoveryService(spec.name, members, planning, issuer)
        try:
            async with _listening(directory, config, own, discovery, issuer) as ports:
                _log.info("listening", extra=msgspec.to_builtins(ports) | {"federation": spec.name})
                seconds = spec.timing.heartbeat / 2
                await _work_until_stopped(
                    planning.keep_planning(seconds),
                    members.keep_writing(seconds),
                    members.keep_refreshing(_REFRESH),
                    own.keep_current(_REFRESH),
                )
        finally:
            await members.write()


@asynccontextmanager
async def _listening(
    directory: Directory,
    config: AggregatorConfig,
    own: OwnCertificate,
    discovery: DiscoveryService,
    issuer: Issuer,
) -> AsyncIterator[Ports]:
    """While both services listen; gives their ports, which are then in ``ports.json``, too."""
    wanted = read_ports(directory, config)
    server, enrolment_server = _server(), _server()
    discovery_pb2_grpc.add_DiscoveryServicer_to_server(discovery, server)
    address = join_address(config.listen, wanted.discovery)
    port = _bind(server, address, server_credentials(lambda: own.identity))
    enrolment = EnrolmentService(
        issuer, directory.spec.read_text(encoding="utf-8"), join_address(config.hosts[0], port)
    )
    enrolment_pb2_grpc.add_EnrolmentServicer_to_server(enrolment, enrolment_server)
    address = join_address(config.listen, wanted.enrolment)
    credentials = enrolment_server_credentials(lambda: own.identity)
    ports = Ports(discovery=port, enrolment=_bind(enrolment_server, address, credentials))
    write_atomically(directory.ports, msgspec.json.encode(ports), mode=0o644)
    await server.start()
    await enrolment_server.start()
    try:
        yield ports
    finally:
        await asyncio.gather(server.stop(_GRACE), enrolment_server.stop(_GRACE))


def _server() -> grpc.aio.Server:
    return grpc.aio.server(interceptors=[RefuseUnreadable()], options=server_options())


def _bind(server: grpc.aio.Server, address: str, credentials: grpc.ServerCredentials) -> int:
    try:
        port: int = server.add_secure_port(address, credentials)
    except RuntimeError as error:
        raise MachineError(
            "the aggregator can't listen",
            where=address,
            found=str(error).splitlines()[0],
            remedy="End the program that has this port, or set another one in aggregator.toml",
        ) from error
    return port


async def _work_until_stopped(*works: Coroutine[Any, Any, None]) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(work) for work in works]
        await stopped.wait()
        _log.info("stopping")
        for task in tasks:
            task.cancel()

"""The aggregator's process: two ports, one registry, two timers."""

import asyncio
import logging
import signal
from collections.abc import Coroutine
from typing import Any

import grpc
import msgspec

from aggregator.ca.certification import Certification
from aggregator.ca.office import Office
from aggregator.directory.layout import (
    AggregatorConfig,
    Directory,
    Ports,
    join_address,
    load_config,
    read_ports,
)
from aggregator.directory.lock import locked
from aggregator.planning.snapshot import Rules
from aggregator.registry.registry import Registry
from aggregator.services.discovery import DiscoveryService
from aggregator.services.enrolment import EnrolmentService
from edge_node.config import load_spec
from edge_node.errors import MachineError
from edge_node.security.files import write_atomically
from edge_node.security.tls.credentials import (
    enrolment_server_credentials,
    server_credentials,
    server_options,
)
from edge_node.security.tls.unreadable_requests import RefuseUnreadable
from tangentmesh.v1 import discovery_pb2_grpc, enrolment_pb2_grpc

__all__ = ["serve"]

_log = logging.getLogger(__name__)
_REFRESH = 1.0  # seconds between two looks at what other programs have written
_GRACE = 1.0  # seconds for answers on their way when the process ends


async def serve(directory: Directory) -> None:
    """Run until SIGTERM or SIGINT.

    Raises:
        ConfigurationError, IdentityError: something in the directory is wrong.
        MachineError: a port is in use, another process works in the directory, or it can't be
            written.
    """
    config = load_config(directory)
    with locked(directory):
        await _serve(directory, config)


async def _serve(directory: Directory, config: AggregatorConfig) -> None:
    spec = load_spec(directory.spec)
    office = Office.open(directory, config)
    own = office.own
    with Registry.open(directory.registry) as registry:
        liveness = spec.timing.liveness
        certification = Certification(registry, office.authorities, config.lifetime, liveness)
        discovery = DiscoveryService(spec.name, Rules.of(spec), registry, certification)
        server, enrolment_server = (
            grpc.aio.server(interceptors=[RefuseUnreadable()], options=server_options())
            for _ in range(2)
        )
        discovery_pb2_grpc.add_DiscoveryServicer_to_server(discovery, server)
        wanted = read_ports(directory, config)
        address = join_address(config.listen, wanted.discovery)
        port = _bind(server, address, server_credentials(lambda: own.current))
        enrolment = EnrolmentService(
            certification,
            directory.spec.read_text(encoding="utf-8"),
            join_address(config.hosts[0], port),
            discovery.enrolled,
        )
        enrolment_pb2_grpc.add_EnrolmentServicer_to_server(enrolment, enrolment_server)
        address = join_address(config.listen, wanted.enrolment)
        credentials = enrolment_server_credentials(lambda: own.current)
        enrolment_port = _bind(enrolment_server, address, credentials)
        bound = Ports(discovery=port, enrolment=enrolment_port)
        write_atomically(directory.ports, msgspec.json.encode(bound), mode=0o644)
        await server.start()
        await enrolment_server.start()
        _log.info("listening", extra=msgspec.to_builtins(bound) | {"federation": spec.name})
        try:
            seconds = spec.timing.heartbeat / 2
            await _work_until_stopped(
                discovery.keep_planning(seconds),
                discovery.keep_writing(seconds),
                discovery.keep_refreshing(_REFRESH),
                office.keep_renewing(certification, _REFRESH),
            )
        finally:
            await asyncio.gather(server.stop(_GRACE), enrolment_server.stop(_GRACE))
            await discovery.write()


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

"""The aggregator's process: two ports, one registry, two timers."""

import asyncio
import logging
import signal
from datetime import UTC, datetime

import grpc
import msgspec

from aggregator.config import (
    AggregatorConfig,
    Directory,
    Ports,
    join_address,
    load_config,
    read_ports,
)
from aggregator.discovery import DiscoveryService
from aggregator.enrolment import LEAF_LIFETIME, EnrolmentService
from aggregator.lock import locked
from aggregator.registry import Registry
from aggregator.scene import Rules
from edge_node.config import FederationSpec, load_spec
from edge_node.errors import MachineError
from edge_node.names import AGGREGATOR
from edge_node.security.authority import Authority
from edge_node.security.credentials import (
    enrolment_server_credentials,
    server_credentials,
    server_options,
)
from edge_node.security.files import write_atomically
from edge_node.security.identity import (
    Identity,
    generate_key,
    load_identity,
    save_identity,
    signing_request,
)
from tangentmesh.v1 import discovery_pb2_grpc, enrolment_pb2_grpc

__all__ = ["make_identity", "serve"]

_log = logging.getLogger(__name__)
_GRACE = 1.0  # seconds for answers on their way when the process ends
_REMEDY = "Restore the aggregator's identity folder from a backup, or run `aggregator init` anew"


def make_identity(authority: Authority, federation: str, hosts: tuple[str, ...]) -> Identity:
    """A new key for the aggregator, and a certificate for it with all its hosts."""
    key = generate_key()
    request = signing_request(key, AGGREGATOR)
    certificate = authority.issue(
        request, node=AGGREGATOR, hosts=hosts, role="aggregator", lifetime=LEAF_LIFETIME
    )
    return Identity(AGGREGATOR, federation, key, certificate, authority.certificate_pem)


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
    authority = Authority.load(directory.authority)
    identity = _identity(directory, authority, spec, config.hosts)
    with Registry.open(directory.registry) as registry:
        discovery = DiscoveryService(spec.name, Rules.of(spec), registry)
        server, enrolment_server = (grpc.aio.server(options=server_options()) for _ in range(2))
        discovery_pb2_grpc.add_DiscoveryServicer_to_server(discovery, server)
        wanted = read_ports(directory, config)
        address = join_address(config.listen, wanted.discovery)
        port = _bind(server, address, server_credentials(identity))
        enrolment = EnrolmentService(
            authority,
            registry,
            directory.spec.read_text(encoding="utf-8"),
            join_address(config.hosts[0], port),
            discovery.enrolled,
        )
        enrolment_pb2_grpc.add_EnrolmentServicer_to_server(enrolment, enrolment_server)
        address = join_address(config.listen, wanted.enrolment)
        enrolment_port = _bind(enrolment_server, address, enrolment_server_credentials(identity))
        bound = Ports(discovery=port, enrolment=enrolment_port)
        write_atomically(directory.ports, msgspec.json.encode(bound), mode=0o644)
        await server.start()
        await enrolment_server.start()
        _log.info("listening", extra=msgspec.to_builtins(bound) | {"federation": spec.name})
        try:
            await _work_until_stopped(discovery, spec.timing.heartbeat / 2)
        finally:
            await asyncio.gather(server.stop(_GRACE), enrolment_server.stop(_GRACE))
            await discovery.write()


def _identity(
    directory: Directory, authority: Authority, spec: FederationSpec, hosts: tuple[str, ...]
) -> Identity:
    """The aggregator's own, renewed in the second half of its life."""
    identity = load_identity(directory.identity, remedy=_REMEDY)
    if identity.expires - datetime.now(UTC) < LEAF_LIFETIME / 2:
        identity = make_identity(authority, spec.name, hosts)
        save_identity(directory.identity, identity)
        _log.info("renewed the aggregator's certificate")
    return identity


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


async def _work_until_stopped(discovery: DiscoveryService, seconds: float) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    async with asyncio.TaskGroup() as group:
        works = (discovery.keep_planning(seconds), discovery.keep_writing(seconds))
        tasks = [group.create_task(work) for work in works]
        await stopped.wait()
        _log.info("stopping")
        for task in tasks:
            task.cancel()

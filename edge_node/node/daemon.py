"""The daemon: everything a running node is made of, put together here and nowhere else.

discovery client ──plans──> feed ──> tree network <──> parent, children
                                        │ sum, gather
    participation: program (in its own thread) ──> model ──> local endpoint
"""

import asyncio
import logging
import secrets
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime

from edge_node.config import FederationSpec, NodeConfig, load_node_config, load_spec
from edge_node.config.paths import NodePaths
from edge_node.data.sources.public import read_public_landmarks
from edge_node.data.sources.source import Batch, FileSource, open_source
from edge_node.errors import ConfigurationError, MachineError, TangentMeshError
from edge_node.federation.report import Phase, Report
from edge_node.inference.numerics.streaming import blas_threads
from edge_node.network.discovery.client import DiscoveryClient, read_address
from edge_node.network.discovery.membership import Membership
from edge_node.network.discovery.renewal import Renewal
from edge_node.network.exchange.feed import PlanFeed
from edge_node.network.exchange.records import RecordStore
from edge_node.network.exchange.relay import Progress
from edge_node.node.participation import Participation
from edge_node.node.transport import Transport
from edge_node.security.disclosure.departure import Departure
from edge_node.security.lock import locked
from edge_node.security.pki.identity import Identity
from edge_node.security.pki.keyring import Keyring
from edge_node.security.privacy.discrete_gaussian import check_noise_available
from edge_node.security.tls.denylist import Denylist
from edge_node.serving.server import serve_local
from edge_node.serving.status import NodeStatus

__all__ = ["run_node"]

_log = logging.getLogger(__name__)
_WATCH_SECONDS = 0.25  # how often progress is compared with what the aggregator was told


async def run_node(paths: NodePaths) -> None:
    """Run the node in a directory until SIGTERM or SIGINT.

    Raises:
        ConfigurationError, IdentityError: the directory isn't a node's, or not enrolled.
        DataError: the data file, or that of public landmarks, isn't what the federation's spec
            says.
        MachineError: a port is in use, another process works in the directory, or it can't be
            written.
    """
    config = load_node_config(paths.config)
    keyring = Keyring.open(paths.identity)  # before the spec: it says that enrolment is missing
    spec = load_spec(paths.spec)
    if (name := keyring.newest.node) != config.name:
        raise ConfigurationError(
            "the certificate is another node's",
            where=str(paths.config),
            expected=name,
            found=config.name,
            remedy="Set `name` back, or enrol under the new name",
        )
    source = open_source(
        paths.root / config.data, spec.data, ignore=config.ignore, site=config.name
    )
    _log.info("data fits the schema", extra={"rows": source.rows, "file": str(source.path)})
    public = read_public_landmarks(paths.root, config, spec, where=paths.config)
    if spec.privacy is not None:
        check_noise_available()
    with locked(paths.lock, who="node"), blas_threads(config.threads or None, source.rows):
        node = Node(paths, config, spec, keyring, source, public)
        async with node.running():
            await _until_stopped()
    _log.info("stopped")


@dataclass
class Node:
    """A running node's parts and its present state; only its own loop changes them."""

    paths: NodePaths
    config: NodeConfig
    spec: FederationSpec
    keyring: Keyring
    source: FileSource
    public: Batch | None = None  # public landmarks, where the spec has any
    session: bytes = field(default_factory=lambda: secrets.token_bytes(16))

    def __post_init__(self) -> None:
        name = self.keyring.newest.node
        self.store = RecordStore(self.paths.state)
        self.membership = Membership(self.keyring, Denylist(self.paths.denylist))
        self.feed = PlanFeed(name, self.spec.digest(), self.store)
        self.transport = Transport(
            self.config,
            self.spec,
            identity=lambda: self.identity,
            feed=self.feed,
            store=self.store,
            denylist=self.membership.denylist,
        )
        self.discovery = DiscoveryClient(
            address=read_address(self.paths.discovery),
            identity=lambda: self.membership.newest,
            feed=self.feed,
            heartbeat=self.spec.timing.heartbeat,
            report=self.report,
            membership=self.membership,
            departed=self._take_departure,
        )
        self.participation = Participation(
            self.paths,
            self.config,
            self.spec,
            self.source,
            self.public,
            self.feed,
            self.store,
            connect=self.transport.network,
            tell=self.discovery.tell,
        )
        self.renewal = Renewal(self.discovery.address, self.membership, self.discovery.tell)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Serve, take part, and end everything on the way out."""
        self.participation.load_model()
        local = await serve_local(self.paths.root, lambda: self.participation.model, self.status)
        tasks: list[asyncio.Task[None]] = []
        try:
            await self.transport.start()
            facts = {"node": self.identity.node, "address": self.transport.address}
            _log.info("running", extra=facts)
            for work in (self._be_member(), self._watch()):
                tasks.append(asyncio.create_task(work))
                tasks[-1].add_done_callback(_log_failure)
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self.transport.stop()
            await local.stop(0.5)

    def report(self) -> Report:
        """What the aggregator is told."""
        part, progress = self.participation, self.participation.progress
        return Report(
            address=self.transport.address,
            spec_hash=self.spec.digest(),
            session=self.session,
            epoch=self.feed.epoch,
            run=part.run,
            phase=part.phase,
            step=progress.step,
            waiting_for=progress.waiting_for,
            waiting=_waited(progress),
            unreachable=tuple(sorted(self.transport.unreachable)),
            reason=part.reason,
            refused_epoch=part.refused_epoch,
        )

    def status(self) -> NodeStatus:
        """What a person on this machine is told."""
        part, progress = self.participation, self.participation.progress
        edges = self.transport.traffic.edges.values()
        return NodeStatus(
            node=self.identity.node,
            federation=self.spec.name,
            phase=str(part.phase),
            epoch=self.feed.epoch,
            run=part.run,
            step=progress.step,
            waiting_for=progress.waiting_for,
            waiting_seconds=_waited(progress),
            discovery_reachable=self.discovery.reachable,
            cohort=part.model.provenance.cohort if part.model else (),
            posterior_time=(
                datetime.fromisoformat(part.model.provenance.created) if part.model else None
            ),
            certificate_expires=self.keyring.newest.expires,
            reason=self._explanation(),
            bytes_sent=sum(edge.sent for edge in edges),
            bytes_received=sum(edge.received for edge in edges),
            steps_completed=self.store.run(part.run).frontier if part.run else 0,
            bill=part.model.provenance.bill if part.model else None,
            told=part.guard.told if part.guard else 0,
            steps_planned=part.planned,
        )

    def _explanation(self) -> str:
        """Why this node doesn't take part, or what it waits for, or what needs attention."""
        discovery, part = self.discovery, self.participation
        if reason := part.reason or discovery.refusal or discovery.trouble or discovery.waiting:
            return reason
        link = self.transport.link
        if link.unreachable and part.phase is Phase.RUNNING:
            return link.explanation
        if trouble := self.renewal.trouble:
            return f"the certificate is not renewed yet: {trouble}"
        return ""

    @property
    def identity(self) -> Identity:
        """The identity that peers expect: as the newest plan names it, or else the newest one."""
        plan = self.feed.current
        return self.keyring.named(plan.fingerprint(self.keyring.newest.node) if plan else b"")

    async def _be_member(self) -> None:
        """Take part until this node has left; its posterior goes on answering."""
        tasks: list[asyncio.Task[None]] = []
        try:
            if not self.paths.left.exists():
                works = (self.discovery.run(), self.renewal.run(), self.participation.take_part())
                tasks = [asyncio.create_task(work) for work in works]
                for task in tasks:
                    task.add_done_callback(_log_failure)
                await self._left()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        self.participation.end(self.paths.left.read_text().strip())
        _log.warning("%s", self.participation.reason)

    async def _left(self) -> None:
        """Return when this node has left."""
        while not self.paths.left.exists():  # noqa: ASYNC110 - another process writes it
            await asyncio.sleep(_WATCH_SECONDS)

    def _take_departure(self, departure: Departure) -> None:
        """Note that a node that has left consents to sums without it."""
        try:
            if self.participation.guard is not None:
                self.participation.guard.take(departure, self.identity)
        except TangentMeshError as error:
            _log.error("a consent is not used: %s", error)

    async def _watch(self) -> None:
        """Tell the aggregator at once when a peer is lost or found, or the certificate renewed."""
        told: frozenset[str] = frozenset()
        trouble = ""
        while True:
            await asyncio.sleep(_WATCH_SECONDS)
            if self.keyring.refresh():
                self.discovery.tell()
            if self.identity is self.keyring.renewed:
                before, trouble = trouble, self._promote()
                if trouble not in ("", before):
                    _log.error("the renewed certificate is not in its place yet: %s", trouble)
            if self.transport.unreachable != told:
                told = self.transport.unreachable
                self.discovery.tell()

    def _promote(self) -> str:
        """Put the renewed certificate in its place; what is in the way, if anything is."""
        try:
            self.keyring.promote()
        except MachineError as error:
            return str(error)
        _log.info("the renewed certificate is in force")
        return ""


def _waited(progress: Progress) -> float:
    return time.monotonic() - progress.since if progress.waiting_for else 0.0


async def _until_stopped() -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    await stopped.wait()


def _log_failure(task: asyncio.Task[None]) -> None:
    """Say why a task that should not end has ended, and end the process."""
    if not task.cancelled() and (error := task.exception()) is not None:
        known = isinstance(error, TangentMeshError)  # the text of other errors may quote a row
        reason = str(error) if known else type(error).__name__
        _log.critical("the node can't go on: %s", reason, exc_info=error)
        with suppress(ProcessLookupError):
            signal.raise_signal(signal.SIGTERM)

"""The daemon: everything a running node is made of, put together here and nowhere else.

discovery client ──plans──> feed ──> tree network <──> parent, children
                                        │ sum, gather
                                     program (in its own thread) ──> model ──> local endpoint
"""

import asyncio
import logging
import secrets
import signal
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime

from threadpoolctl import threadpool_limits

from edge_node.config import FederationSpec, NodeConfig, load_node_config, load_spec
from edge_node.config.names import split_address
from edge_node.config.paths import NodePaths
from edge_node.data.sources.public import read_public_landmarks
from edge_node.data.sources.source import Batch, FileSource, open_source
from edge_node.errors import (
    CohortRefusedError,
    ConfigurationError,
    DataError,
    MachineError,
    RefusedError,
    TangentMeshError,
)
from edge_node.federation.plan import Plan
from edge_node.federation.report import Phase, Report
from edge_node.model.model import Model
from edge_node.network.discovery.client import DiscoveryClient, read_address
from edge_node.network.discovery.membership import Membership
from edge_node.network.discovery.renewal import Renewal
from edge_node.network.threaded import ThreadedNetwork
from edge_node.network.tree.agreement import confirm
from edge_node.network.tree.exchange_client import ParentLink
from edge_node.network.tree.exchange_server import ExchangeServer, ExchangeService
from edge_node.network.tree.feed import PlanFeed
from edge_node.network.tree.records import RecordStore
from edge_node.network.tree.relay import Progress
from edge_node.network.tree.sweep import Board
from edge_node.network.tree.tree import RunSuperseded, TreeNetwork
from edge_node.network.wire.framing import Traffic
from edge_node.program import infer
from edge_node.security.disclosure.departure import Departure
from edge_node.security.disclosure.guard import SiteGuard
from edge_node.security.disclosure.policy import check_cohort, check_privacy, check_task
from edge_node.security.pki.identity import Identity
from edge_node.security.pki.keyring import Keyring
from edge_node.security.privacy.discrete_gaussian import check_noise_available
from edge_node.security.privacy.privacy_ledger import PrivacyLedger
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
        MachineError: a port is in use, or the directory can't be written.
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
    with threadpool_limits(config.threads or None):
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
    address: str = ""  # what peers dial, once it is known
    phase: Phase = Phase.IDLE
    run: int = 0  # the run that ``phase`` speaks of
    reason: str = ""
    refused_epoch: int = 0  # if only this epoch's cohort is refused
    model: Model | None = None
    network: TreeNetwork | None = None

    def __post_init__(self) -> None:
        name = self.keyring.newest.node
        self.traffic, self.board = Traffic(), Board()
        self.store = RecordStore(self.paths.state)
        self.membership = Membership(self.keyring, Denylist(self.paths.denylist))
        self.feed = PlanFeed(name, self.spec.digest(), self.store)
        self.service = ExchangeService(
            node=name,
            federation=self.spec.name,
            feed=self.feed,
            store=self.store,
            board=self.board,
            traffic=self.traffic,
            deadline=self.spec.timing.step,
            denylist=self.membership.denylist,
        )
        self.link = ParentLink(
            identity=lambda: self.identity,
            feed=self.feed,
            traffic=self.traffic,
            deadline=self.spec.timing.step,
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
        self.guard = self._open_guard()
        self.renewal = Renewal(self.discovery.address, self.membership, self.discovery.tell)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Serve, take part, and end everything on the way out."""
        self._load_model()
        local = await serve_local(self.paths.root, lambda: self.model, self.status)
        server = ExchangeServer(self.service, self.config.listen) if self.config.listen else None
        tasks: list[asyncio.Task[None]] = []
        try:
            if server is not None:
                self.address = self._advertised(await server.start(lambda: self.identity))
            _log.info("running", extra={"node": self.identity.node, "address": self.address})
            for work in (self._be_member(), self._watch()):
                tasks.append(asyncio.create_task(work))
                tasks[-1].add_done_callback(_log_failure)
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self.link.close()
            if server is not None:
                await server.stop()
            await local.stop(0.5)

    def report(self) -> Report:
        """What the aggregator is told."""
        progress = self.progress
        return Report(
            address=self.address,
            spec_hash=self.spec.digest(),
            session=self.session,
            epoch=self.feed.epoch,
            run=self.run,
            phase=self.phase,
            step=progress.step,
            waiting_for=progress.waiting_for,
            waiting=_waited(progress),
            unreachable=tuple(sorted(self.unreachable)),
            reason=self.reason,
            refused_epoch=self.refused_epoch,
        )

    def status(self) -> NodeStatus:
        """What a person on this machine is told."""
        progress, model = self.progress, self.model
        edges = self.traffic.edges.values()
        return NodeStatus(
            node=self.identity.node,
            federation=self.spec.name,
            phase=str(self.phase),
            epoch=self.feed.epoch,
            run=self.run,
            step=progress.step,
            waiting_for=progress.waiting_for,
            waiting_seconds=_waited(progress),
            discovery_reachable=self.discovery.reachable,
            cohort=model.provenance.cohort if model else (),
            posterior_time=datetime.fromisoformat(model.provenance.created) if model else None,
            certificate_expires=self.keyring.newest.expires,
            reason=self._explanation(),
            bytes_sent=sum(edge.sent for edge in edges),
            bytes_received=sum(edge.received for edge in edges),
            steps_completed=self.store.run(self.run).frontier if self.run else 0,
        )

    def _explanation(self) -> str:
        """Why this node doesn't take part, or what it waits for, or what to look after."""
        discovery = self.discovery
        if reason := self.reason or discovery.refusal or discovery.trouble or discovery.waiting:
            return reason
        if self.link.unreachable and self.phase is Phase.RUNNING:
            return self.link.explanation
        if trouble := self.renewal.trouble:
            return f"the certificate is not renewed yet: {trouble}"
        return ""

    @property
    def identity(self) -> Identity:
        """Whom peers know: the identity that the newest plan names, or else the newest one."""
        plan = self.feed.current
        return self.keyring.named(plan.fingerprint(self.keyring.newest.node) if plan else b"")

    @property
    def progress(self) -> Progress:
        """Of the run in progress; empty where there is none."""
        return self.network.progress if self.network else Progress()

    @property
    def unreachable(self) -> frozenset[str]:
        """Peers that could not be reached, or whose call broke off."""
        return self.link.unreachable | self.service.broken

    def _open_guard(self) -> SiteGuard | None:
        """The site's guard; None: it takes part in nothing, and the reason says why."""
        policy, name = self.config.policy, self.config.name
        try:
            check_task(policy, self.spec.data.task)
            check_privacy(policy, self.spec.privacy)
            guard = SiteGuard.open(name, policy, self.paths, self.source.path)
        except RefusedError as error:
            _log.error("%s", error)
            self.phase, self.reason = Phase.REFUSED, str(error)
            return None
        self.source.stamp.check(self.source.path)  # it is these rows whose version was taken
        return guard

    async def _be_member(self) -> None:
        """Take part until this node has left; its posterior goes on answering."""
        tasks: list[asyncio.Task[None]] = []
        try:
            if not self.paths.left.exists():
                works = (self.discovery.run(), self.renewal.run(), self._take_part())
                tasks = [asyncio.create_task(work) for work in works]
                for task in tasks:
                    task.add_done_callback(_log_failure)
                await self._left()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        self._enter(self.run, Phase.REFUSED, self.paths.left.read_text().strip())
        self.model = self.model if self.paths.model.exists() else None
        _log.warning("%s", self.reason)

    async def _left(self) -> None:
        """Return when this node has left."""
        while not self.paths.left.exists():  # noqa: ASYNC110 - another process writes it
            await asyncio.sleep(_WATCH_SECONDS)

    def _take_departure(self, departure: Departure) -> None:
        """Somebody who has left lets the others go on."""
        try:
            departure.check(self.identity.ca_pem, self.identity.federation)
            if self.guard is not None:
                self.guard.take(departure)
        except TangentMeshError as error:
            _log.error("a consent is not used: %s", error)

    def _ledger(self) -> PrivacyLedger | None:
        """Where sums with noise are paid for; None: the spec has none."""
        promise = self.spec.privacy
        if promise is None:
            return None
        return PrivacyLedger(
            self.paths.privacy_ledger,
            self.paths.privacy_head,
            level=promise.level,
            delta=promise.delta,
            demand=self.config.policy.privacy,
        )

    async def _take_part(self) -> None:
        """Run the program once for each run that the aggregator plans; if this site refuses an
        epoch's cohort, again when there is another.
        """
        epoch = tried = 0
        while self.guard is not None:
            plan = await self.feed.wait_newer(epoch)
            epoch = plan.epoch
            if self.model and self.model.provenance.run == plan.run:
                await self._hand_over(plan, self.guard)
            elif plan.run != tried:
                await self._run_program(plan, self.guard)
                tried = 0 if self.refused_epoch else plan.run

    async def _hand_over(self, plan: Plan, guard: SiteGuard) -> None:
        """A run that is complete here goes on elsewhere: others may lack its last total."""
        self._enter(plan.run, Phase.COMPLETE)
        self.network = self._network(plan.run, guard)
        try:
            await self.network.hand_over(plan)
        except TangentMeshError as error:
            _log.warning("can't help others to complete the run: %s", error)
        finally:
            self.network = None

    def _enter(
        self, run: int, phase: Phase, reason: TangentMeshError | str = "", *, epoch: int = 0
    ) -> None:
        """A phase of a run; ``epoch`` is the one whose cohort alone is refused."""
        self.run, self.phase, self.reason, self.refused_epoch = run, phase, str(reason), epoch

    def _network(self, run: int, guard: SiteGuard) -> TreeNetwork:
        return TreeNetwork(
            run=run,
            identity=lambda: self.identity,
            feed=self.feed,
            store=self.store,
            board=self.board,
            link=self.link,
            guard=guard,
            ledger=self._ledger(),
        )

    async def _run_program(self, plan: Plan, guard: SiteGuard) -> None:
        self._enter(plan.run, Phase.RUNNING)
        self.store.prune(plan.run)
        self.network = network = self._network(plan.run, guard)
        _log.info("a run begins", extra={"run": plan.run, "nodes": len(plan.cohort)})
        try:
            check_cohort(self.config.policy, self.config.name, plan.cohort)
            if network.ledger is not None and self.spec.privacy is not None:
                network.ledger.check(self.spec.privacy, run=plan.run)
            model = await self._in_thread(network)
            await confirm(network)
            await asyncio.to_thread(model.save, self.paths.model)
        except RunSuperseded:
            _log.info("a newer run begins", extra={"run": plan.run})
            return
        except CohortRefusedError as error:
            _log.warning("this cohort is refused: %s", error, extra={"run": plan.run})
            self._enter(plan.run, Phase.REFUSED, error, epoch=max(plan.epoch, network.epoch.number))
            return
        except TangentMeshError as error:
            _log.error("the run failed: %s", error, extra={"run": plan.run})
            self._enter(plan.run, Phase.REFUSED, error)
            return
        finally:
            self.network = None
            self.discovery.tell()
        self.store.run(plan.run).finish()
        self.model, self.phase = model, Phase.COMPLETE
        cohort = ", ".join(model.provenance.cohort)
        _log.info("the posterior is here", extra={"run": plan.run, "cohort": cohort})

    async def _in_thread(self, network: TreeNetwork) -> Model:
        """The program in a thread of its own: it computes while this loop talks."""
        proxy = ThreadedNetwork(network, asyncio.get_running_loop())
        try:
            return await asyncio.to_thread(
                lambda: asyncio.run(
                    infer(
                        proxy,
                        self.source,
                        self.spec,
                        public=self.public,
                        policy=self.config.policy,
                        run=network.run,
                    )
                )
            )
        finally:
            proxy.close()

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
            if self.unreachable != told:
                told = self.unreachable
                self.discovery.tell()

    def _promote(self) -> str:
        """Put the renewed certificate in its place; what is in the way, if anything is."""
        try:
            self.keyring.promote()
        except MachineError as error:
            return str(error)
        _log.info("the renewed certificate is in force")
        return ""

    def _load_model(self) -> None:
        if self.paths.model.exists():
            try:
                self.model = Model.load(self.paths.model)
            except DataError as error:
                _log.warning("%s", error)
        if self.model and self.model.provenance.spec_hash != self.spec.digest().hex():
            self.model = None  # of another federation spec: it answers other questions

    def _advertised(self, port: int) -> str:
        """host:port that peers dial; port 0 stands for the one that was bound."""
        default = f"{socket.getfqdn()}:0"
        host, wanted = split_address(self.config.advertise or default, lowest_port=0)
        return f"[{host}]:{wanted or port}" if ":" in host else f"{host}:{wanted or port}"


def _waited(progress: Progress) -> float:
    return time.monotonic() - progress.since if progress.waiting_for else 0.0


async def _until_stopped() -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    await stopped.wait()


def _log_failure(task: asyncio.Task[None]) -> None:
    """A task that should not end has: say why, and end the process."""
    if not task.cancelled() and (error := task.exception()) is not None:
        known = isinstance(error, TangentMeshError)  # another's text may quote a row
        reason = str(error) if known else type(error).__name__
        _log.critical("the node can't go on: %s", reason, exc_info=error)
        with suppress(ProcessLookupError):
            signal.raise_signal(signal.SIGTERM)

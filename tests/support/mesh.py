"""A federation in one process, over real mutual TLS on loopback; plans are given by hand."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from edge_node.config import Level
from edge_node.federation.plan import Member, Plan
from edge_node.network.base import Network
from edge_node.network.epoch.guard import Guard, Unguarded
from edge_node.network.exchange.exchange_client import Backoff, ParentLink
from edge_node.network.exchange.exchange_server import ExchangeServer, ExchangeService
from edge_node.network.exchange.feed import PlanFeed
from edge_node.network.exchange.records import RecordStore
from edge_node.network.exchange.sweep import Board
from edge_node.network.tree.tree import TreeNetwork
from edge_node.network.wire.framing import Traffic
from edge_node.network.wire.operation import Operation
from edge_node.network.wire.plan import PlanCopies
from edge_node.security.disclosure.cohort import VERSION_BYTES, Claim
from edge_node.security.pki.authority import Authority
from edge_node.security.pki.identity import Identity
from edge_node.security.privacy.privacy_ledger import PrivacyLedger
from tangentmesh.v1 import discovery_pb2
from tests.support.identities import issue

T = TypeVar("T")
SPEC_HASH = bytes(range(32))
DEADLINE = 60.0  # seconds; of a call, and of anything that a test waits for


async def until(condition: Callable[[], object]) -> None:
    """Let the others work until ``condition`` holds."""
    async with asyncio.timeout(DEADLINE):
        while not condition():  # noqa: ASYNC110 - nothing says when a field changes
            await asyncio.sleep(0.005)


class Sized(Unguarded):
    """A site that claims so many distinct rows, over which so many numbers were told before."""

    def __init__(self, rows: int, *, told: int = 0) -> None:
        self._claim = Claim(bytes(VERSION_BYTES), size=rows.bit_length() - 1, told=told)

    def claim(self, run: int, cohort: Collection[str]) -> Claim:
        """In every run."""
        return self._claim


@dataclass
class Peer:
    """One node's transport. ``start`` after ``stop`` is a restart from the same directory."""

    identity: Identity
    directory: Path
    link_type: type[ParentLink] = ParentLink
    service_type: type[ExchangeService] = ExchangeService
    port: int = 0
    guard: Guard = field(default_factory=Unguarded)
    server: ExchangeServer | None = field(default=None, repr=False)

    async def start(self) -> "Peer":
        """Build everything anew, and listen: at the same port as before, if there was one."""
        name = self.identity.node
        self.traffic, self.board = Traffic(), Board()
        self.store = RecordStore(self.directory)
        self.feed = PlanFeed(name, SPEC_HASH, self.store)
        self.service = self.service_type(
            node=name,
            federation=self.identity.federation,
            feed=self.feed,
            store=self.store,
            board=self.board,
            traffic=self.traffic,
            deadline=DEADLINE,
        )
        self.link = self.link_type(
            identity=lambda: self.identity,
            feed=self.feed,
            traffic=self.traffic,
            deadline=DEADLINE,
            backoff=Backoff(first=0.02, most=0.1),
        )
        self.server = ExchangeServer(self.service, f"127.0.0.1:{self.port}")
        self.port = await self.server.start(lambda: self.identity)
        return self

    async def stop(self) -> None:
        """Hang up and stop listening."""
        await self.link.close()
        if self.server is not None:
            await self.server.stop()

    def network(self, run: int = 1) -> TreeNetwork:
        """The node's view of a run."""
        ledger, head = (self.directory / name for name in ("privacy.ledger", "privacy.head"))
        return TreeNetwork(
            run=run,
            identity=lambda: self.identity,
            feed=self.feed,
            store=self.store,
            board=self.board,
            link=self.link,
            guard=self.guard,
            ledger=PrivacyLedger(ledger, head, level=Level.RECORD, delta=1e-6),
        )


class Mesh:
    """Peers with certificates of one authority; ``async with`` stops them all."""

    def __init__(
        self,
        authority: Authority,
        directory: Path,
        service_type: type[ExchangeService] = ExchangeService,
    ) -> None:
        self.authority = authority
        self.directory = directory
        self.service_type = service_type
        self.peers: dict[str, Peer] = {}

    async def __aenter__(self) -> "Mesh":
        return self

    async def __aexit__(self, *exception: object) -> None:
        await asyncio.gather(*(peer.stop() for peer in self.peers.values()))

    def identity(self, name: str) -> Identity:
        """A new key, and a certificate for it."""
        return issue(self.authority, name)

    async def start(
        self, names: Iterable[str], *, link_types: Mapping[str, type[ParentLink]] | None = None
    ) -> "Mesh":
        """Start peers of these names."""
        for name in names:
            link_type = (link_types or {}).get(name, ParentLink)
            own = self.directory / name
            peer = Peer(self.identity(name), own, link_type, self.service_type)
            self.peers[name] = await peer.start()
        return self

    def plan(self, epoch: int, parents: Mapping[str, str], *, run: int = 1) -> Plan:
        """The plan of a tree; ``parents`` names each member's, empty at the root."""
        members = tuple(
            Member(
                name,
                f"127.0.0.1:{self.peers[name].port}",
                self.peers[name].identity.fingerprint,
                parents[name],
                self.peers[name].identity.certificate_der,
            )
            for name in sorted(parents)
        )
        (root,) = (name for name, parent in parents.items() if not parent)
        edges = tuple((name, parent) for name, parent in parents.items() if parent)
        return Plan(epoch, run, SPEC_HASH, root, members, edges, datetime(2026, 1, 1, tzinfo=UTC))

    def offer(self, plan: Plan) -> None:
        """Hand the plan to each of its members, as the aggregator would."""
        for name in plan.cohort:
            self.peers[name].feed.offer(copy_of(plan, name))

    async def run(
        self, program: Callable[[Network], Awaitable[T]], nodes: Iterable[str] = ()
    ) -> dict[str, T]:
        """Run a program at these nodes (default: all), each with a new view of run 1."""
        names = list(nodes or self.peers)
        async with asyncio.timeout(DEADLINE):
            results = await asyncio.gather(*(program(self.peers[n].network()) for n in names))
        return dict(zip(names, results, strict=True))


class LosesTheAnswer(ParentLink):
    """The parent has answered the step; the answer never gets to the program."""

    lost = False

    async def exchange(
        self, plan: Plan, operation: Operation, payload: bytes, limit: int, *, node: str
    ) -> bytes:
        """As usual, but for the first step's answer."""
        content = await super().exchange(plan, operation, payload, limit, node=node)
        if operation.is_step and not self.lost:
            self.lost = True
            await asyncio.Event().wait()
        return content


def copy_of(plan: Plan, receiver: str) -> discovery_pb2.Plan:
    """The copy of a plan that the aggregator gives to one member."""
    copy, parent = discovery_pb2.Plan(), plan.parent(receiver)
    certificate = plan.by_node[parent].certificate if parent else b""
    PlanCopies(plan).write(copy, node=receiver, certificate=certificate)
    return copy

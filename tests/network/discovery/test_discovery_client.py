"""The discovery client against an aggregator that answers as it is told, over mutual TLS."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest

from aggregator.planning.snapshot import Rules
from aggregator.registry.registry import EnrolledNode, Registry
from edge_node.config.names import AGGREGATOR
from edge_node.errors import NetworkError, RefusedError
from edge_node.federation.plan import Plan
from edge_node.federation.report import Phase, Report
from edge_node.network.discovery import pauses
from edge_node.network.discovery.client import DiscoveryClient, ask_clock
from edge_node.network.exchange.feed import PlanFeed
from edge_node.network.exchange.records import RecordStore
from edge_node.security.pki.authority import Authority
from edge_node.security.pki.identity import Identity
from edge_node.security.pki.private_keys import generate_key
from edge_node.security.pki.signing_requests import signing_request
from edge_node.security.tls.credentials import server_credentials, server_options
from tangentmesh.v1 import discovery_pb2, discovery_pb2_grpc
from tests.aggregator.discovered import Discovered
from tests.support.identities import issue
from tests.support.mesh import DEADLINE, SPEC_HASH, Mesh, copy_of, until

pytestmark = pytest.mark.timeout(60)

NEVER = 3600.0  # seconds between heartbeats: a second one has another cause
REPORT = Report(
    address="a:7710",
    spec_hash=SPEC_HASH,
    session=bytes(range(16)),
    epoch=0,
    run=3,
    phase=Phase.RUNNING,
    step="statistics",
    waiting_for=("b", "c"),
    waiting=1.5,
    unreachable=("d",),
    reason="none",
)


@dataclass
class Aggregator(discovery_pb2_grpc.DiscoveryServicer):  # type: ignore[misc]
    """Keeps every request; answers with ``reply``, or refuses with ``refusal``."""

    identity: Identity
    port: int = 0
    reply: discovery_pb2.HeartbeatReply = field(default_factory=discovery_pb2.HeartbeatReply)
    refusal: tuple[grpc.StatusCode, str] | None = None
    requests: list[discovery_pb2.HeartbeatRequest] = field(default_factory=list)

    async def Heartbeat(  # noqa: N802 - gRPC's name
        self, request: discovery_pb2.HeartbeatRequest, context: Any
    ) -> discovery_pb2.HeartbeatReply:
        """As told."""
        self.requests.append(request)
        if self.refusal:
            await context.abort(*self.refusal)
        return self.reply

    @property
    def address(self) -> str:
        """What nodes dial."""
        return f"127.0.0.1:{self.port}"


@asynccontextmanager
async def serving(
    service: discovery_pb2_grpc.DiscoveryServicer, identity: Identity, port: int = 0
) -> AsyncIterator[int]:
    """A discovery service on a loopback port."""
    server = grpc.aio.server(options=server_options())
    discovery_pb2_grpc.add_DiscoveryServicer_to_server(service, server)
    bound = server.add_secure_port(f"127.0.0.1:{port}", server_credentials(identity))
    await server.start()
    try:
        yield bound
    finally:
        await server.stop(None)


@asynccontextmanager
async def up(aggregator: Aggregator) -> AsyncIterator[None]:
    """While it runs; at the same port each time."""
    async with serving(aggregator, aggregator.identity, aggregator.port) as aggregator.port:
        yield


@asynccontextmanager
async def calling(client: DiscoveryClient) -> AsyncIterator[None]:
    """While the client calls."""
    task = asyncio.ensure_future(client.run())
    try:
        yield
        assert not task.done(), task.exception()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture(scope="module")
def node(authority: Authority) -> Identity:
    """The calling node's identity."""
    return issue(authority, "a")


def identity_of_aggregator(authority: Authority) -> Identity:
    """With the certificate that nodes look for."""
    key = generate_key()
    pem = authority.issue(
        signing_request(key, AGGREGATOR),
        node=AGGREGATOR,
        role="aggregator",
        lifetime=timedelta(days=1),
    )
    return Identity(AGGREGATOR, authority.federation, key, pem, authority.certificate_pem)


@pytest.fixture
async def aggregator(authority: Authority) -> Aggregator:
    """An aggregator that is not up yet, and knows its port."""
    made = Aggregator(identity_of_aggregator(authority))
    async with up(made):
        return made


@pytest.fixture
def client(aggregator: Aggregator, node: Identity, tmp_path: Path) -> DiscoveryClient:
    """Calls as often as it can, and says the same each time."""
    feed = PlanFeed("a", SPEC_HASH, RecordStore(tmp_path))
    return DiscoveryClient(aggregator.address, lambda: node, feed, 0.01, lambda: REPORT)


def plan(mesh: Mesh, epoch: int) -> Plan:
    """A plan of the federation that has a only."""
    return mesh.plan(epoch, {"a": ""})


@pytest.fixture
async def mesh(mesh: Mesh) -> Mesh:
    """A peer to make plans of."""
    return await mesh.start({"a"})


def answer(plan: Plan | None = None, waiting: str = "") -> discovery_pb2.HeartbeatReply:
    """A reply."""
    reply = discovery_pb2.HeartbeatReply(waiting=waiting)
    if plan is not None:
        reply.plan.CopyFrom(copy_of(plan, "a"))
    return reply


async def test_a_heartbeat_says_everything(aggregator: Aggregator, client: DiscoveryClient) -> None:
    """Each field of the report, and what the aggregator says in return."""
    aggregator.reply = answer(waiting="2 of 3 nodes have registered")
    async with up(aggregator), calling(client):
        await until(lambda: client.reachable)
    sent = aggregator.requests[0]
    assert sent.waiting.ToNanoseconds() == 1.5e9
    assert (sent.address, sent.spec_hash, sent.session) == ("a:7710", SPEC_HASH, REPORT.session)
    assert (sent.epoch, sent.run, sent.phase) == (0, 3, discovery_pb2.PHASE_RUNNING)
    assert (sent.step, sent.reason) == ("statistics", "none")
    assert (list(sent.waiting_for), list(sent.unreachable)) == (["b", "c"], ["d"])
    assert (client.waiting, client.refusal) == ("2 of 3 nodes have registered", "")


async def test_a_plan_is_taken(aggregator: Aggregator, client: DiscoveryClient, mesh: Mesh) -> None:
    """The newest one; a plan that can't be used changes nothing, and the calls go on."""
    aggregator.reply = answer(plan(mesh, 2))
    async with up(aggregator), calling(client):
        await until(lambda: client.feed.epoch == 2)
        aggregator.reply = answer(replace(plan(mesh, 3), spec_hash=b"t" * 32))
        seen = len(aggregator.requests)
        await until(lambda: len(aggregator.requests) > seen + 2)
        assert client.feed.epoch == 2
        aggregator.reply = answer(plan(mesh, 4))
        await until(lambda: client.feed.epoch == 4)


async def test_an_aggregator_that_is_away(
    aggregator: Aggregator, client: DiscoveryClient, mesh: Mesh
) -> None:
    """The plan stays; calls go on until it is back, and bring what is new."""
    aggregator.reply = answer(plan(mesh, 1))
    async with calling(client):
        async with up(aggregator):
            await until(lambda: client.feed.epoch == 1)
            assert client.reachable
        await until(lambda: not client.reachable)
        assert client.feed.epoch == 1
        aggregator.reply = answer(plan(mesh, 2))
        async with up(aggregator):
            await until(lambda: client.feed.epoch == 2)
            assert client.reachable


@pytest.mark.parametrize(
    "code", ["FAILED_PRECONDITION", "PERMISSION_DENIED", "UNAUTHENTICATED", "INVALID_ARGUMENT"]
)
async def test_a_refusal(
    aggregator: Aggregator,
    client: DiscoveryClient,
    code: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It is kept, and logged once, until the aggregator has nothing against the node any more."""
    aggregator.refusal = (grpc.StatusCode[code], "another federation spec")
    async with up(aggregator), calling(client):
        await until(lambda: len(aggregator.requests) > 3)
        assert (client.reachable, client.refusal) == (True, "another federation spec")
        aggregator.refusal = None
        await until(lambda: not client.refusal)
    refusals = [r for r in caplog.records if "refuses this node" in r.message]
    assert len(refusals) == 1


async def test_a_failure_is_no_refusal(aggregator: Aggregator, client: DiscoveryClient) -> None:
    """An aggregator in trouble is one that doesn't answer."""
    async with up(aggregator), calling(client):
        await until(lambda: client.reachable)
        aggregator.refusal = (grpc.StatusCode.INTERNAL, "broken")
        await until(lambda: not client.reachable)
        assert client.refusal == ""


@pytest.mark.parametrize(
    "cause",
    [lambda client: client.tell(), lambda client: client.feed.hint(7)],
    ids=["news", "peer"],
)
async def test_what_cannot_wait(
    aggregator: Aggregator, client: DiscoveryClient, cause: Callable[[DiscoveryClient], None]
) -> None:
    """News of this node, or a peer in a newer epoch: the next heartbeat comes at once, once."""
    client.heartbeat = NEVER
    async with up(aggregator), calling(client):
        await until(lambda: client.reachable)
        assert len(aggregator.requests) == 1
        cause(client)
        await until(lambda: len(aggregator.requests) == 2)
        await until(lambda: not client.feed.behind.is_set())


async def test_pauses_are_varied(aggregator: Aggregator, client: DiscoveryClient) -> None:
    """By the node's own random numbers."""
    paused: list[float] = []

    async def rest(seconds: float, *news: asyncio.Event) -> None:
        paused.append(seconds)
        await pauses.rest(0.01, *news)

    numbers = iter((0.0, 0.5, 1.0))
    client.heartbeat, client.random, client.rest = 100.0, lambda: next(numbers, 0.0), rest
    async with up(aggregator), calling(client):
        await until(lambda: len(paused) > 2)
    assert paused[:3] == [75.0, 100.0, 125.0]


async def test_another_members_certificate_is_not_the_aggregators(
    aggregator: Aggregator, client: DiscoveryClient, authority: Authority
) -> None:
    """A node at the aggregator's address gets no heartbeat."""
    aggregator.identity = issue(authority, "b")
    client.reachable = True
    async with up(aggregator), calling(client):
        await until(lambda: not client.reachable)
    assert aggregator.requests == []


async def test_why_it_cannot_be_reached_is_explained(
    aggregator: Aggregator, client: DiscoveryClient, foreign_authority: Authority
) -> None:
    """By what is wrong with its certificate, not in gRPC's words; forgotten when it answers."""
    aggregator.identity, own = identity_of_aggregator(foreign_authority), aggregator.identity
    async with up(aggregator), calling(client):
        await until(lambda: client.trouble)
        assert "issued by another authority" in client.trouble
        assert aggregator.address in client.trouble
    aggregator.identity = own
    async with up(aggregator), calling(client):
        await until(lambda: client.reachable)
    assert client.trouble == ""


async def test_the_clock(aggregator: Aggregator, node: Identity) -> None:
    """How far the aggregator's is ahead; the question leaves no trace of a session there."""
    aggregator.reply.time.GetCurrentTime()
    aggregator.reply.time.seconds += 5000
    async with up(aggregator):
        ahead = await ask_clock(aggregator.address, node)
        assert timedelta(seconds=4000) < ahead < timedelta(seconds=5001)
        assert aggregator.requests == [discovery_pb2.HeartbeatRequest()]
        aggregator.refusal = (grpc.StatusCode.PERMISSION_DENIED, "not enrolled here")
        with pytest.raises(RefusedError, match="not enrolled here"):
            await ask_clock(aggregator.address, node)
    with pytest.raises(NetworkError, match=r"nothing answers there.*firewall"):
        await ask_clock(aggregator.address, node)


async def test_with_the_real_service(authority: Authority, node: Identity, tmp_path: Path) -> None:
    """What the one end says the other understands; what makes no sense is refused by its name."""
    rules = Rules(minimum_nodes=3, liveness=DEADLINE, settle=0.0, step=600.0, spec_hash=SPEC_HASH)
    identities = {"a": node, "b": issue(authority, "b"), "c": issue(authority, "c")}
    feeds = {name: PlanFeed(name, SPEC_HASH, RecordStore(tmp_path / name)) for name in identities}
    report = replace(REPORT, run=0, phase=Phase.IDLE)
    with Registry.open(":memory:") as registry:
        real = Discovered(authority, registry, rules).start()
        for name, identity in identities.items():
            enrolled = EnrolledNode(name, identity.certificate_der, identity.fingerprint, 0.0)
            real.members.enrolled(enrolled)
        async with serving(real.service, identity_of_aggregator(authority)) as port:
            clients = [
                DiscoveryClient(
                    f"127.0.0.1:{port}",
                    lambda identity=identity: identity,
                    feeds[name],
                    0.01,
                    lambda: report,
                )
                for name, identity in identities.items()
            ]
            client = clients[0]
            async with AsyncExitStack() as stack:
                for each in clients:
                    await stack.enter_async_context(calling(each))
                await until(lambda: all(each.reachable for each in clients))
                await real.planning.update()
                await until(lambda: feeds["a"].epoch == 1)
                assert feeds["a"].current.cohort == ("a", "b", "c")
                report = replace(report, epoch=2**63)
                await until(lambda: client.refusal)
                assert "expected an epoch near the newest, 1" in client.refusal

"""A node's certificate is renewed in time, whatever is in the way."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest

from edge_node.config.names import AGGREGATOR
from edge_node.errors import IdentityError, NetworkError, RefusedError
from edge_node.network.discovery.membership import Membership
from edge_node.network.discovery.renewal import Renewal, renew
from edge_node.security.pki.authority import Authority
from edge_node.security.pki.certificates import der_of
from edge_node.security.pki.identity import Identity
from edge_node.security.pki.keyring import Keyring
from edge_node.security.pki.private_keys import generate_key
from edge_node.security.pki.renewal import check_renewal
from edge_node.security.pki.signing_requests import signing_request
from edge_node.security.pki.succession import Successor
from edge_node.security.tls.credentials import server_credentials, server_options
from edge_node.security.tls.denylist import Denylist
from tangentmesh.v1 import discovery_pb2, discovery_pb2_grpc
from tests.support.identities import issue
from tests.support.mesh import until

pytestmark = pytest.mark.timeout(60)
DAY = timedelta(days=1)


@dataclass
class Office(discovery_pb2_grpc.DiscoveryServicer):  # type: ignore[misc]
    """Signs renewals, or does as it is told; keeps every request."""

    authority: Authority
    node: Identity
    answers: list[Callable[[bytes], bytes] | grpc.StatusCode] = field(default_factory=list)
    requests: list[discovery_pb2.RenewRequest] = field(default_factory=list)

    async def Renew(  # noqa: N802 - gRPC's name
        self, request: discovery_pb2.RenewRequest, context: Any
    ) -> discovery_pb2.RenewReply:
        """The next answer."""
        self.requests.append(request)
        answer = self.answers.pop(0) if self.answers else self.sign
        if isinstance(answer, grpc.StatusCode):
            await context.abort(answer, "as told")
        return discovery_pb2.RenewReply(certificate=answer(request.csr))

    def sign(self, csr: bytes) -> bytes:
        """A certificate that is not due for renewal in any test."""
        return self.authority.issue(csr, node="a", lifetime=10 * DAY)


@dataclass
class Scene:
    """A node's keyring, and the aggregator that it asks."""

    ring: Keyring
    office: Office
    address: str


@pytest.fixture
async def scene(authority: Authority, tmp_path: Path) -> AsyncIterator[Scene]:
    """A node that has enrolled a moment ago."""
    ring = Keyring.begin(tmp_path / "identity", issue(authority, "a"))
    office = Office(authority, ring.current)
    async with serving(office, authority) as address:
        yield Scene(ring, office, address)


@asynccontextmanager
async def serving(office: Office, authority: Authority) -> AsyncIterator[str]:
    """At a loopback address."""
    key = generate_key()
    csr = signing_request(key, AGGREGATOR)
    pem = authority.issue(csr, node=AGGREGATOR, role="aggregator", lifetime=DAY)
    own = Identity(AGGREGATOR, authority.federation, key, pem, authority.certificate_pem)
    server = grpc.aio.server(options=server_options())
    discovery_pb2_grpc.add_DiscoveryServicer_to_server(office, server)
    port = server.add_secure_port("127.0.0.1:0", server_credentials(own))
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(None)


async def test_a_new_key_and_a_proof(scene: Scene) -> None:
    """The request is signed by the old key; the renewed identity is on disk, beside the old one."""
    old = scene.ring.current
    renewed = await renew(scene.address, scene.ring)
    (request,) = scene.office.requests
    check_renewal("a", old.certificate_der, request.csr, request.proof)
    assert (scene.ring.current, scene.ring.renewed) == (old, renewed)
    assert renewed.key_pem != old.key_pem


async def test_not_signed_yet(scene: Scene) -> None:
    """The same key is asked for until it has a certificate."""
    scene.office.answers = [lambda _: b"", lambda _: b""]
    assert await renew(scene.address, scene.ring) is None
    assert await renew(scene.address, scene.ring) is None
    key = scene.ring.request_key()
    assert (await renew(scene.address, scene.ring)).key_pem == key


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (grpc.StatusCode.PERMISSION_DENIED, RefusedError),
        (grpc.StatusCode.INTERNAL, NetworkError),
        (lambda _: b"nonsense", IdentityError),
        ("another key", IdentityError),
    ],
)
async def test_an_answer_that_is_no_certificate(scene: Scene, answer: Any, error: type) -> None:
    """Nothing changes, and the next one is taken."""
    if answer == "another key":
        other = signing_request(generate_key(), "a")
        scene.office.answers = [lambda _: scene.office.sign(other)]
    else:
        scene.office.answers = [answer]
    before = scene.ring.newest
    with pytest.raises(error):
        await renew(scene.address, scene.ring)
    assert scene.ring.newest == before
    assert await renew(scene.address, scene.ring) is not None


class Clock:
    """Stands still, and so do those who rest by it, until it is put forward."""

    def __init__(self, now: datetime) -> None:
        self.now = now
        self.resting = False
        self._moved = asyncio.Event()

    async def rest(self, seconds: float, asked: asyncio.Event) -> None:
        """As `pauses.rest`, in this clock's seconds."""
        end = self.now + timedelta(seconds=seconds)
        while self.now < end and not asked.is_set():
            self._moved.clear()
            self.resting = True
            waiters = [asyncio.ensure_future(each.wait()) for each in (self._moved, asked)]
            await asyncio.wait(waiters, return_when=asyncio.FIRST_COMPLETED)
            for waiter in waiters:
                waiter.cancel()
        self.resting = False

    async def put(self, now: datetime) -> None:
        """Put the clock forward, and return when everything that is due by then has been done."""
        await until(lambda: self.resting)
        self.now, self.resting = now, False
        self._moved.set()
        await until(lambda: self.resting)


@dataclass
class Renewing:
    """A node that renews, the clock it does so by, and the certificates it was told of."""

    renewal: Renewal
    clock: Clock
    told: list[Identity]


@asynccontextmanager
async def renewing(scene: Scene, *, at: float) -> AsyncIterator[Renewing]:
    """While a node renews; its clock stands at that share of its certificate's life."""
    told: list[Identity] = []
    ring = scene.ring
    clock = Clock(share(ring.current, at))
    renewal = Renewal(
        scene.address,
        Membership(ring, Denylist()),
        lambda: told.append(ring.newest),
        clock=lambda: clock.now,
        random=lambda: 0.5,
        rest=clock.rest,
    )
    task = asyncio.ensure_future(renewal.run())
    try:
        yield Renewing(renewal, clock, told)
        assert not task.done(), task.exception()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def share(identity: Identity, share: float) -> datetime:
    """When so much of a certificate's life is over."""
    return identity.life[0] + share * identity.lifetime


async def test_not_before_half_life(scene: Scene) -> None:
    """And a little later, so that nodes don't come all at once; then once only."""
    old = scene.ring.current
    async with renewing(scene, at=0.3) as node:
        for at in (0.49, 0.5, 0.52):
            await node.clock.put(share(old, at))
            assert scene.office.requests == []
        await node.clock.put(share(old, 0.53))
        assert node.told == [scene.ring.renewed]
        for at in (0.53, 0.9, 2.0):
            await node.clock.put(share(old, at))
            assert len(scene.office.requests) == 1
        await node.clock.put(share(node.told[0], 0.53))
        assert len(scene.office.requests) == 2


async def test_at_once_when_asked(scene: Scene) -> None:
    """When a new authority takes over, for instance."""
    async with renewing(scene, at=0.1) as node:
        await node.clock.put(share(scene.ring.current, 0.2))
        assert scene.office.requests == []
        node.renewal.membership.renew_now.set()
        await until(lambda: node.told)


@pytest.mark.parametrize(("at", "level"), [(0.6, logging.WARNING), (0.9, logging.ERROR)])
async def test_failures_are_told_and_repeated(
    scene: Scene, caplog: pytest.LogCaptureFixture, at: float, level: int
) -> None:
    """Louder as the end comes nearer; the next attempt succeeds."""
    scene.office.answers = [grpc.StatusCode.INTERNAL]
    async with renewing(scene, at=at) as node:
        renewal = node.renewal
        await until(lambda: renewal.trouble)
        assert "as told" in renewal.trouble
        (record,) = [r for r in caplog.records if "could not be renewed" in r.message]
        assert record.levelno == level
        assert f"ends in {1 - at:.1f} days" in record.message
        await node.clock.put(share(scene.ring.current, (1 + at) / 2))
        assert node.told
        assert renewal.trouble == ""


def reply(**fields: Any) -> discovery_pb2.HeartbeatReply:
    """An answer to a heartbeat."""
    return discovery_pb2.HeartbeatReply(**fields)


async def test_what_an_answer_brings(
    scene: Scene, authority: Authority, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Denylist, authorities and haste are taken; a forged authority is not, and said once."""
    member = Membership(scene.ring, Denylist(tmp_path / "denied"))
    denied = discovery_pb2.Denylist(fingerprints=[b"x" * 32])
    member.take(reply(denylist=denied, renew=True))
    assert b"x" * 32 in Denylist(tmp_path / "denied")
    assert member.renew_now.is_set()
    successor = Authority.create(tmp_path / "next", authority.federation)
    der = der_of(successor.certificate_pem)
    present = discovery_pb2.Authority(certificate=der_of(authority.certificate_pem))
    forged = discovery_pb2.Authority(certificate=der, proof=Successor.of(der, successor).proof)
    for _ in range(2):
        member.take(reply(authorities=[present, forged]))
    assert [r.levelno for r in caplog.records].count(logging.ERROR) == 1
    request = discovery_pb2.HeartbeatRequest()
    member.describe(request)
    assert list(request.authorities) == [authority.fingerprint]
    denied = discovery_pb2.Denylist(fingerprints=[b"y" * 32])
    member.take(reply(authorities=[present, forged], denylist=denied))
    assert b"y" * 32 in member.denylist  # whatever is wrong with the rest of the answer
    signed = discovery_pb2.Authority(certificate=der, proof=Successor.of(der, authority).proof)
    member.take(reply(authorities=[present, signed]))
    request = discovery_pb2.HeartbeatRequest()
    member.describe(request)
    assert list(request.authorities) == [authority.fingerprint, successor.fingerprint]
    assert Keyring.open(tmp_path / "identity").current.ca_pem == member.newest.ca_pem


async def test_a_full_disk(scene: Scene, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What is denied is denied, though the list can't be kept; that is said."""
    path = tmp_path / "missing" / "denied"
    member = Membership(scene.ring, Denylist(path))
    member.take(reply(denylist=discovery_pb2.Denylist(fingerprints=[b"x" * 32])))
    assert b"x" * 32 in member.denylist
    assert [r.levelno for r in caplog.records] == [logging.ERROR]
    path.parent.mkdir()
    member.take(reply(denylist=discovery_pb2.Denylist(fingerprints=[b"y" * 32])))
    assert b"y" * 32 in Denylist(path)


async def test_trouble_is_over_when_it_was_renewed_by_hand(scene: Scene) -> None:
    """`edge-node renew` in another process; the node doesn't go on complaining."""
    scene.office.answers = [grpc.StatusCode.INTERNAL]
    async with renewing(scene, at=0.9) as node:
        await until(lambda: node.renewal.trouble)
        assert await renew(scene.address, scene.ring) is not None
        await node.clock.put(share(scene.ring.current, 0.95))
        assert not node.renewal.trouble
        assert len(scene.office.requests) == 2

"""A discovery service with two clocks that move when told to, and nodes that call it by hand."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import NoReturn

import grpc

from aggregator.ca.authorities import Authorities
from aggregator.ca.issuer import Issuer
from aggregator.ca.trust import NodesTrust
from aggregator.members.members import Members
from aggregator.planning.snapshot import Rules
from aggregator.registry.registry import EnrolledNode, Registry
from aggregator.services.discovery import DiscoveryService
from aggregator.services.enrolment import EnrolmentService
from aggregator.services.planning import Planning
from edge_node.security.pki.authority import Authority
from edge_node.security.pki.identity import Identity
from edge_node.security.pki.private_keys import generate_key
from edge_node.security.pki.renewal import renewal_request
from tangentmesh.v1 import discovery_pb2
from tests.support.identities import issue
from tests.support.mesh import SPEC_HASH

RULES = Rules(minimum_nodes=3, liveness=15.0, settle=3.0, step=600.0, spec_hash=SPEC_HASH)
SESSION = bytes(16)


@dataclass(frozen=True)
class Aborted(Exception):
    """The service has ended a call with an error."""

    code: grpc.StatusCode
    details: str


@dataclass(frozen=True)
class Call:
    """What a servicer sees of a call: who makes it."""

    identity: Identity

    def auth_context(self) -> Mapping[str, list[bytes]]:
        """As TLS would have authenticated it."""
        return {"x509_pem_cert": [self.identity.certificate_pem]}

    async def abort(self, code: grpc.StatusCode, details: str) -> NoReturn:
        """End the call."""
        raise Aborted(code, details)


@dataclass
class Discovered:
    """The service of one registry; ``start`` after ``start`` is a restart."""

    authority: Authority
    registry: Registry
    rules: Rules = RULES
    now: float = 50.0
    date: float = 1_800_000_000.0
    identities: dict[str, Identity] = field(default_factory=dict)

    def start(self) -> "Discovered":
        """A new process."""
        self.members = members = Members(
            self.registry,
            self.rules.liveness,
            clock=lambda: self.now,
            calendar=lambda: self.date,
        )
        self.planning = Planning(self.rules, members)
        authorities = Authorities.of(self.authority)
        issuer = Issuer(
            members, lambda: authorities, NodesTrust(self.rules.liveness), timedelta(days=90)
        )
        federation = self.authority.federation
        self.service = DiscoveryService(federation, members, self.planning, issuer)
        self.enrolment = EnrolmentService(issuer, "", "")
        return self

    def enrol(self, *nodes: str) -> "Discovered":
        """Give nodes a certificate."""
        for node in nodes:
            identity = self.identities[node] = issue(self.authority, node)
            enrolled = EnrolledNode(node, identity.certificate_der, identity.fingerprint, self.date)
            digest = node.encode()
            self.registry.add_token(digest, node, expires_at=self.date)
            self.registry.enrol(digest, node, now=self.date, issue=lambda made=enrolled: made)
        return self

    @property
    def cohort(self) -> str:
        """The cohort of the newest plan, as one word."""
        plan = self.registry.latest_plan()
        return "".join(member.node for member in plan.members) if plan else ""

    async def beat(self, node: str, **changes: object) -> discovery_pb2.HeartbeatReply:
        """A node's heartbeat. Raises Aborted."""
        usual: dict[str, object] = {
            "address": f"{node}:7710",
            "spec_hash": SPEC_HASH,
            "session": SESSION,
            "phase": discovery_pb2.PHASE_IDLE,
        }
        request = discovery_pb2.HeartbeatRequest(**(usual | changes))
        return await self.service.Heartbeat(request, Call(self.identities[node]))

    async def renew(self, node: str, key: bytes = b"") -> Identity:
        """A node's renewed identity, which it doesn't use yet. Raises Aborted."""
        key = key or generate_key()
        csr, proof = renewal_request(self.identities[node], key)
        request = discovery_pb2.RenewRequest(csr=csr, proof=proof)
        reply = await self.service.Renew(request, Call(self.identities[node]))
        old = self.identities[node]
        return Identity(node, old.federation, key, reply.certificate, old.ca_pem)

    async def first_plan(self, *nodes: str) -> discovery_pb2.Plan:
        """The plan that these nodes are given once it is quiet."""
        for node in nodes:
            await self.beat(node)
        self.now += self.rules.settle
        await self.planning.update()
        return (await self.beat(nodes[0])).plan


@contextmanager
def discovered(authority: Authority) -> Iterator[Discovered]:
    """With a registry in memory."""
    with Registry.open(":memory:") as registry:
        yield Discovered(authority, registry)

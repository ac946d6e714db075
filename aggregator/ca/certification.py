"""Who holds which certificate: callers are looked up here, and their certificates renewed.

A node's certificate is the one in the registry. A renewed one is as good from the moment that the
node uses it: then it surely holds it. It replaces the other when a plan names it, or at once if
no plan names the other.
"""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta

from aggregator.ca.authorities import Authorities
from aggregator.registry.registry import Denial, EnrolledNode, Registry
from aggregator.registry.requests import Kind, Request
from edge_node.errors import RefusedError
from edge_node.security.disclosure.departure import Departure
from edge_node.security.pki.authority import Authority
from edge_node.security.pki.certificates import (
    der_of,
    fingerprint_of,
    life_of,
    parse_certificate,
    pem_of,
)
from edge_node.security.pki.renewal import check_renewal
from edge_node.security.pki.signing_requests import requested_key
from edge_node.security.tls.credentials import Caller
from edge_node.security.tls.denylist import Denylist
from tangentmesh.v1 import discovery_pb2

__all__ = ["HAS_LEFT", "LEAF_LIFETIME", "Certification"]

LEAF_LIFETIME = timedelta(days=90)

HAS_LEFT = "it has left the federation"
"""Why the certificates of a node that left are denied."""


@dataclass(frozen=True)
class _Found:
    """What the registry has; ``asked`` are names with a request that is not signed yet."""

    nodes: list[EnrolledNode]
    renewals: dict[str, EnrolledNode]
    denials: list[Denial]
    departures: list[Departure]
    asked: frozenset[str]


@dataclass
class Certification:
    """Certificates of all nodes, in memory and in the registry.

    Attributes:
        registry: what must not be forgotten.
        authorities: sign renewals; None: nobody does.
        lifetime: of a certificate.
        patience: seconds for which a node that was heard counts as one that is here.
        nodes: every enrolled node with the certificate that plans name.
        renewals: nodes that have renewed it since, with the new one.
        denials: denied certificates by fingerprint.
        departures: what nodes that have left say to the others.
    """

    registry: Registry
    authorities: Authorities | None = None
    lifetime: timedelta = LEAF_LIFETIME
    patience: float = 15.0
    nodes: dict[str, EnrolledNode] = field(default_factory=dict)
    renewals: dict[str, EnrolledNode] = field(default_factory=dict)
    denials: dict[bytes, Denial] = field(default_factory=dict)
    departures: list[Departure] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.denylist, self._changes, self._pending = Denylist(), 0, frozenset[str]()
        self._trust: dict[str, tuple[frozenset[bytes], float]] = {}  # and when a node said so
        self._take(self._read())

    @property
    def authority_pem(self) -> bytes:
        """The authority that tokens pin, PEM; empty: there is none."""
        return pem_of(self.authorities.certificates[0].certificate) if self.authorities else b""

    async def refresh(self) -> None:
        """Take what other programs have written to the registry. Raises MachineError."""
        changes = self._changes
        found = await asyncio.to_thread(self._read)
        if self._changes == changes:  # or else the next time
            self._take(found)

    def put(self, node: EnrolledNode, *, renewal: bool = False) -> None:
        """The registry has this certificate of a node from now on."""
        self._changes += 1
        if renewal:
            self.renewals[node.name] = node
        else:
            self.nodes[node.name] = node
            self.renewals.pop(node.name, None)

    def adopted(self, fingerprints: Iterable[bytes]) -> None:
        """The registry has adopted the renewed certificates among these."""
        named = set(fingerprints)
        for renewed in list(self.renewals.values()):
            if renewed.fingerprint in named:
                self.put(renewed)

    def _read(self) -> _Found:
        registry = self.registry
        asked = frozenset(each.node for each in registry.requests.all())
        return _Found(
            registry.nodes(),
            registry.renewals(),
            registry.denials(),
            registry.departures(),
            asked,
        )

    def _take(self, found: _Found) -> None:
        self.nodes = {node.name: node for node in found.nodes}
        self.renewals, self._pending = found.renewals, found.asked
        self.departures = found.departures
        self.denials = {denial.fingerprint: denial for denial in found.denials}
        self.denylist.replace(self.denials)

    def has_left(self, peer: Caller) -> bool:
        """Whether it is by leaving that the caller is no member."""
        denial = self.denials.get(peer.fingerprint)
        return denial is not None and denial.reason == HAS_LEFT

    def holder(self, peer: Caller) -> EnrolledNode:
        """The node that calls. Raises RefusedError if its certificate is not to be believed."""
        if (denial := self.denials.get(peer.fingerprint)) is not None:
            raise denial.error()
        node = self.nodes.get(peer.name)
        if node is None or peer.role != "node":
            raise RefusedError(
                f"{peer.name} is not enrolled here: run `edge-node enrol` with a new token"
            )
        renewed = self.renewals.get(peer.name)
        if peer.fingerprint not in (node.fingerprint, renewed and renewed.fingerprint):
            issued, _ = life_of(node.certificate, where=f"certificate of {peer.name}")
            raise RefusedError(
                f"another certificate was issued for {peer.name} since; this one is void",
                expected=f"the one of {issued:%Y-%m-%d %H:%M} UTC, fingerprint"
                f" {node.fingerprint.hex()[:16]}",
                found=f"fingerprint {peer.fingerprint.hex()[:16]}",
                remedy="Two machines may run with one directory's copies, or it came from a backup:"
                f" `aggregator token {peer.name} --replace` lets one of them enrol anew",
            )
        return node

    def renew(
        self, peer: Caller, csr_pem: bytes, proof: bytes, *, now: float
    ) -> EnrolledNode | None:
        """A certificate for a new key of the caller's; for the same key the same again.

        Returns:
            The node with the new certificate, to be ``put``; None: the authority, whose key is
            elsewhere, has yet to sign it.

        Raises:
            RefusedError: the caller isn't to be believed, or its renewed one waits for a plan.
            IdentityError: the request is broken, or not the old certificate's owner's.
            MachineError: the registry can't be written.
        """
        node = self.holder(peer)
        if peer.fingerprint != node.fingerprint:
            raise RefusedError(
                f"the certificate of {node.name} was renewed, and waits for the next plan",
            )
        check_renewal(node.name, node.certificate, csr_pem, proof)
        kept = self.renewals.get(node.name)
        if kept is not None and _is_for(kept, csr_pem):
            return kept
        if (authorities := self._authorities()).elsewhere:
            self.registry.requests.put(Request(node.name, Kind.RENEWAL, csr_pem, proof, now))
            return None
        signer = authorities.newest if self.newest_trusted else authorities.present
        renewed = self._issue(signer, node.name, csr_pem, node.enrolled_at)
        self.registry.keep_renewal(renewed)
        return renewed

    def enrol(self, digest: bytes, node: str, csr_pem: bytes, *, now: float) -> EnrolledNode | None:
        """Consume a token for a node's first certificate; the same key may come again with it.

        Args:
            digest: the hash of the secret that came with the request.
            node: the name that came with it.
            csr_pem: the request.
            now: the clock, UNIX seconds.

        Returns:
            The node; None: the authority, whose key is elsewhere, has yet to sign its certificate.

        Raises:
            IdentityError: the token is not good for this node, or the request is broken.
            RefusedError: the name was enrolled with another token in the meantime.
            MachineError: the registry can't be written; the token is as good as before.
        """
        authorities = self._authorities()
        if self.registry.redeemed(digest) == node:
            held, asked = self.nodes.get(node), self.registry.requests.of(node)
            if held is not None and _is_for(held, csr_pem):
                return held
            if asked is not None and asked.is_for(csr_pem):
                return None
        if authorities.elsewhere:
            requested_key(csr_pem, node)
            request = Request(node, Kind.ENROLMENT, csr_pem, b"", now)
            self.registry.ask(digest, request, now=now)
            return None
        return self.registry.enrol(
            digest,
            node,
            now=now,
            issue=lambda: self._issue(authorities.present, node, csr_pem, now),
        )

    @property
    def newest_trusted(self) -> bool:
        """Whether all nodes that are here trust the newest authority."""
        newest = self._authorities().fingerprints[-1]
        if not self._authorities().rolling:
            return True
        latest = max((heard for _, heard in self._trust.values()), default=0.0)
        here = [known for known, heard in self._trust.values() if heard > latest - self.patience]
        return bool(here) and all(newest in known for known in here)

    def _authorities(self) -> Authorities:
        if self.authorities is None:
            raise RefusedError("this aggregator has no authority")
        return self.authorities

    def _issue(
        self, signer: Authority, node: str, csr_pem: bytes, enrolled_at: float
    ) -> EnrolledNode:
        der = der_of(signer.issue(csr_pem, node=node, lifetime=self.lifetime))
        return EnrolledNode(node, der, fingerprint_of(der), enrolled_at)

    def left(self, node: EnrolledNode, now: float) -> float:
        """Seconds until the last eighth of the life of a node's certificate begins."""
        issued, expires = life_of(node.certificate, where=f"certificate of {node.name}")
        return (expires - (expires - issued) / 8).timestamp() - now

    def inform(
        self,
        peer: Caller,
        node: EnrolledNode,
        request: discovery_pb2.HeartbeatRequest,
        reply: discovery_pb2.HeartbeatReply,
        *,
        now: float,
    ) -> None:
        """Tell a caller what it lacks: denylist, authorities, and whether to renew at once.

        ``now`` is the clock, in seconds of any kind.
        """
        if request.denylist and request.denylist != self.denylist.digest:
            reply.denylist.fingerprints.extend(sorted(self.denials))
        if self.authorities is None:
            return
        known = frozenset(request.authorities)
        self._trust[node.name] = (known, now)
        if known and known != set(self.authorities.fingerprints):
            for each in self.authorities.certificates:
                reply.authorities.add(certificate=each.certificate, proof=each.proof)
        reply.renew = self._should_renew(peer, node)

    def _should_renew(self, peer: Caller, node: EnrolledNode) -> bool:
        """Whether a renewed certificate lies here for a node, or a new authority takes over."""
        if node.name in self.renewals:
            return peer.fingerprint == node.fingerprint
        authorities = self._authorities()
        if not authorities.rolling or node.name in self._pending:
            return False
        return not authorities.renewed(node.certificate) and self.newest_trusted


def _is_for(node: EnrolledNode, csr_pem: bytes) -> bool:
    certificate = parse_certificate(node.certificate, where=f"certificate of {node.name}")
    return certificate.public_key() == requested_key(csr_pem, node.name)

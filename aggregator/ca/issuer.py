"""Issues nodes' certificates: the first one for a token, and renewals.

Where the authority is offline, nothing is signed here: the certificate request is kept in the
registry until the signed certificate is imported.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from aggregator.ca.authorities import Authorities
from aggregator.ca.trust import NodesTrust
from aggregator.members.members import Members
from aggregator.registry.certificate_requests import CertificateRequest, RequestKind
from aggregator.registry.registry import EnrolledNode
from edge_node.errors import RefusedError
from edge_node.security.pki.authority import Authority
from edge_node.security.pki.certificates import der_of, fingerprint_of, parse_certificate
from edge_node.security.pki.renewal import check_renewal
from edge_node.security.pki.signing_requests import requested_key
from edge_node.security.tls.credentials import Caller

__all__ = ["Issuer"]


@dataclass
class Issuer:
    """Issues certificates to nodes. Only one event loop uses it.

    Attributes:
        members: who holds which certificate; they are told of new ones.
        authorities: the authorities as they are now.
        trust: which authorities the nodes trust.
        lifetime: of a certificate.
    """

    members: Members
    authorities: Callable[[], Authorities]
    trust: NodesTrust
    lifetime: timedelta

    async def enrol(self, digest: bytes, node: str, csr_pem: bytes) -> EnrolledNode | None:
        """Consume a token and issue a node's first certificate, in one transaction.

        A node that never got the answer may come again with the same token and key.

        Args:
            digest: the hash of the secret that came with the request.
            node: the name that came with it.
            csr_pem: the certificate request.

        Returns:
            The node; None: the offline authority has yet to sign its certificate.

        Raises:
            IdentityError: the token is not good for this node, or the request is broken.
            RefusedError: the name was enrolled with another token in the meantime.
            MachineError: the registry can't be written; the token is as good as before.
        """
        held = self.members.certificates.nodes.get(node)
        enrolled = await asyncio.to_thread(self._enrol, digest, node, csr_pem, held)
        if enrolled is not None and enrolled is not held:
            self.members.enrolled(enrolled)
        return enrolled

    async def renew(self, peer: Caller, csr_pem: bytes, proof: bytes) -> EnrolledNode | None:
        """Issue a certificate for a new key of the caller's; for the same key the same again.

        Returns:
            The node with the new certificate; None: the offline authority has yet to sign it.

        Raises:
            RefusedError: the caller is no member, or its renewed certificate waits for a plan; or
                its certificate was denied or replaced in the meantime.
            IdentityError: the request is broken, or not the old certificate's owner's.
            MachineError: the registry can't be written.
        """
        certificates = self.members.certificates
        node = certificates.member(peer)
        if peer.fingerprint != node.fingerprint:
            raise RefusedError(
                f"the certificate of {node.name} was renewed, and waits for the next plan",
            )
        check_renewal(node.name, node.certificate, csr_pem, proof)
        held = certificates.renewals.get(node.name)
        if held is not None and _is_for(held, csr_pem):
            return held
        renewed = await asyncio.to_thread(
            self._renew, node, csr_pem, proof, newest_trusted=self.newest_trusted
        )
        if renewed is not None:
            self.members.renewed(renewed)
        return renewed

    def should_renew(self, peer: Caller, node: EnrolledNode) -> bool:
        """Whether a caller should renew at once.

        It should if there is a renewed certificate here that it doesn't use, or if a new authority
        that all nodes trust is taking over.
        """
        certificates, authorities = self.members.certificates, self.authorities()
        if node.name in certificates.renewals:
            return peer.fingerprint == node.fingerprint
        if not authorities.rolling or node.name in certificates.requested:
            return False
        return not authorities.newest_issued(node.certificate) and self.newest_trusted

    @property
    def newest_trusted(self) -> bool:
        """Whether all nodes that are here trust the newest authority."""
        authorities = self.authorities()
        return not authorities.rolling or self.trust.of_all(authorities.fingerprints[-1])

    def _enrol(
        self, digest: bytes, node: str, csr_pem: bytes, held: EnrolledNode | None
    ) -> EnrolledNode | None:
        registry, authorities = self.members.registry, self.authorities()
        now = self.members.calendar()
        if registry.redeemed(digest) == node:
            requested = registry.requests.of(node)
            if held is not None and _is_for(held, csr_pem):
                return held
            if requested is not None and requested.is_for(csr_pem):
                return None
        if authorities.offline:
            requested_key(csr_pem, node)
            request = CertificateRequest(node, RequestKind.ENROLMENT, csr_pem, b"", now)
            registry.redeem_for(request, digest, now=now)
            return None
        return registry.enrol(
            digest,
            node,
            now=now,
            issue=lambda: self._issue(authorities.present, node, csr_pem, now),
        )

    def _renew(
        self, node: EnrolledNode, csr_pem: bytes, proof: bytes, *, newest_trusted: bool
    ) -> EnrolledNode | None:
        registry, authorities = self.members.registry, self.authorities()
        if authorities.offline:
            now = self.members.calendar()
            request = CertificateRequest(node.name, RequestKind.RENEWAL, csr_pem, proof, now)
            registry.request_renewal(request, before=node.fingerprint)
            return None
        signer = authorities.newest if newest_trusted else authorities.present
        renewed = self._issue(signer, node.name, csr_pem, node.enrolled_at)
        registry.keep_renewal(renewed, before=node.fingerprint)
        return renewed

    def _issue(
        self, signer: Authority, node: str, csr_pem: bytes, enrolled_at: float
    ) -> EnrolledNode:
        der = der_of(signer.issue(csr_pem, node=node, lifetime=self.lifetime))
        return EnrolledNode(node, der, fingerprint_of(der), enrolled_at)


def _is_for(node: EnrolledNode, csr_pem: bytes) -> bool:
    """Whether a node's certificate is for the key of a request. Raises IdentityError."""
    certificate = parse_certificate(node.certificate, where=f"certificate of {node.name}")
    return certificate.public_key() == requested_key(csr_pem, node.name)

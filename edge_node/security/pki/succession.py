"""One authority follows another: how a node comes to trust the new one.

The old authority signs the new one's certificate. Its signature travels beside the certificate,
which is self-signed and so still holds when the old authority is gone. A node that trusts the old
authority and has verified that signature may trust the new one, no matter who passed it on.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from cryptography.hazmat.primitives.serialization import Encoding

from edge_node.errors import IdentityError
from edge_node.security.pki.certificate_checks import check_certificate
from edge_node.security.pki.certificates import fingerprint_of, parse_certificates, pem_of
from edge_node.security.pki.identity import Identity
from edge_node.security.pki.statement import KeyHolder, Purpose, Statement

__all__ = ["Successor", "authorities_of", "succeed", "successors"]


@dataclass(frozen=True)
class Successor:
    """An authority's certificate (DER), and a signature by the one it replaces, if any."""

    certificate: bytes
    proof: bytes = b""

    @classmethod
    def of(cls, certificate: bytes, old: KeyHolder) -> Self:
        """The authority with this certificate (DER), signed for by the old one."""
        return cls(certificate, _statement(certificate).sign(old))

    def check_proof(self, old: bytes) -> None:
        """Check that the authority with the certificate ``old`` signed it. Raises IdentityError."""
        _statement(self.certificate).verify(old, self.proof)


def _statement(certificate: bytes) -> Statement:
    return Statement(Purpose.SUCCESSION, (), certificate)


def authorities_of(ca_pem: bytes) -> list[bytes]:
    """The fingerprints of all authorities in a file, SHA-256."""
    return [fingerprint_of(each) for each in _ders(ca_pem)]


def succeed(identity: Identity, offered: Sequence[Successor]) -> bytes:
    """The authorities that a member trusts from now on, PEM: those offered.

    Args:
        identity: with the authorities that are trusted now.
        offered: all that the federation has, the old before the new.

    Raises:
        IdentityError: no trusted authority has signed a new one; or this member's own certificate
            comes from an authority that is no longer offered.
    """
    ca_pem = successors(identity.ca_pem, offered)
    check_certificate(
        identity.certificate_pem, ca_pem, name=identity.node, federation=identity.federation
    )
    return ca_pem


def successors(ca_pem: bytes, offered: Sequence[Successor]) -> bytes:
    """The authorities offered, PEM, if those trusted now (PEM) have signed the new ones.

    Raises:
        IdentityError: they have not.
    """
    known = list(_ders(ca_pem))
    trusted: list[bytes] = []
    for each in offered:
        if each.certificate not in known:
            _check_proof(each, [*known, *trusted])
        trusted.append(each.certificate)
    return b"".join(pem_of(each, where="authority offered") for each in trusted)


def _check_proof(successor: Successor, known: Sequence[bytes]) -> None:
    for each in known:
        try:
            successor.check_proof(each)
        except IdentityError:
            continue
        return
    raise IdentityError(
        "the federation offers another authority, and no trusted one has signed it",
        where="authority offered by the aggregator",
        found=f"fingerprint {fingerprint_of(successor.certificate).hex()}",
        remedy="Nothing was changed. Compare fingerprints with the federation's operator",
    )


def _ders(ca_pem: bytes) -> list[bytes]:
    found = parse_certificates(ca_pem, where="certificates of the federation's authorities")
    return [each.public_bytes(Encoding.DER) for each in found]

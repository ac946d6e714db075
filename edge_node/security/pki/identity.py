"""Who this process is: a private key, the certificate that the federation's authority issued for
it, and the authority's own certificate (or two, while a new authority replaces the old one).

The key is born here and never leaves. An identity is loaded whole and checked, or not at all.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path

from edge_node.errors import IdentityError
from edge_node.security.files import make_private_directory, read_private, write_atomically
from edge_node.security.pki.certificate_checks import check_certificate
from edge_node.security.pki.certificates import (
    der_of,
    fingerprint_of,
    life_of,
    parse_certificate,
    parse_certificates,
    subject_of,
)
from edge_node.security.pki.private_keys import check_key

__all__ = [
    "Identity",
    "identity_of",
    "load_identity",
    "save_identity",
]

_KEY, _CERTIFICATE, _AUTHORITY = "key.pem", "certificate.pem", "ca.pem"
_ENROL = "Run `edge-node enrol TOKEN` with a token from the federation's operator"


@dataclass(frozen=True)
class Identity:
    """A member of a federation: a node, or with ``node="aggregator"`` the discovery service."""

    node: str
    federation: str
    key_pem: bytes = field(repr=False)
    certificate_pem: bytes
    ca_pem: bytes

    @cached_property
    def certificate_der(self) -> bytes:
        """The certificate as it stands in plans and in a TLS handshake."""
        return der_of(self.certificate_pem)

    @property
    def fingerprint(self) -> bytes:
        """SHA-256 of the DER certificate, 32 bytes."""
        return fingerprint_of(self.certificate_der)

    @cached_property
    def life(self) -> tuple[datetime, datetime]:
        """When the certificate was made, and the last second of its life, aware, UTC."""
        return life_of(self.certificate_pem, where=self.node)

    @property
    def expires(self) -> datetime:
        """The last second of the certificate's life, aware, UTC."""
        return self.life[1]

    @property
    def lifetime(self) -> timedelta:
        """From the making of the certificate to the last second of its life."""
        return self.life[1] - self.life[0]

    @property
    def renewal_due(self) -> datetime:
        """When half of the certificate's life is over."""
        return self.expires - self.lifetime / 2


def load_identity(
    directory: Path, *, remedy: str = _ENROL, now: datetime | None = None
) -> Identity:
    """Read ``key.pem``, ``certificate.pem`` and ``ca.pem`` and check that they belong together.

    Args:
        directory: where they are.
        remedy: what to do when they are missing, broken or expired.
        now: an aware datetime; default: the machine's clock.

    Raises:
        IdentityError: a file is missing, unreadable, open to others, or not what it should be; the
            key is not the certificate's; the certificate is foreign, expired or not valid yet.
    """
    key_pem = read_private(directory / _KEY, missing=remedy)
    certificate_pem = _read(directory / _CERTIFICATE, remedy)
    ca_pem = _read(directory / _AUTHORITY, remedy)
    parse_certificates(ca_pem, where=str(directory / _AUTHORITY))
    where = str(directory / _CERTIFICATE)
    certificate = parse_certificate(certificate_pem, where=where)
    check_key(key_pem, certificate, where=str(directory / _KEY), remedy=remedy)
    return identity_of(key_pem, certificate_pem, ca_pem, where=where, remedy=remedy, now=now)


def identity_of(
    key_pem: bytes,
    certificate_pem: bytes,
    ca_pem: bytes,
    *,
    where: str,
    remedy: str = _ENROL,
    now: datetime | None = None,
) -> Identity:
    """An identity from its parts, if they belong together. Raises IdentityError."""
    certificate = parse_certificate(certificate_pem, where=where)
    check_key(key_pem, certificate, where=where, remedy=remedy)
    subject = subject_of(certificate, where=where)
    check_certificate(
        certificate_pem,
        ca_pem,
        name=subject.name,
        federation=subject.federation,
        now=now,
        where=where,
        remedy=remedy,
    )
    return Identity(subject.name, subject.federation, key_pem, certificate_pem, ca_pem)


def save_identity(directory: Path, identity: Identity) -> None:
    """Write the three files into a private directory, each of them atomically.

    The certificate comes last: until then the directory holds the old identity, or none, or one
    whose key doesn't match, which ``load_identity`` refuses. Raises MachineError.
    """
    make_private_directory(directory)
    write_atomically(directory / _AUTHORITY, identity.ca_pem)
    write_atomically(directory / _KEY, identity.key_pem)
    write_atomically(directory / _CERTIFICATE, identity.certificate_pem)


def _read(path: Path, missing: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise IdentityError(
            "the file can't be read",
            where=str(path),
            found=error.strerror or str(error),
            remedy=missing,
        ) from error

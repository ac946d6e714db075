"""What a certificate says: which member it names, for how long, and its two encodings.

Nothing here says that it may be believed: that is for `security.pki.certificate_checks`.
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from operator import attrgetter

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding

from edge_node.errors import ConfigurationError, IdentityError
from edge_node.security.pki.uri import parse_certificate_uri

__all__ = [
    "CLOCK_SKEW",
    "Subject",
    "der_of",
    "fingerprint_of",
    "life_of",
    "names_in",
    "parse_certificate",
    "parse_certificates",
    "pem_of",
    "subject_of",
]

CLOCK_SKEW = timedelta(minutes=5)
"""By how much a certificate's first moment lies before its making, for clocks that are behind."""

_PARTS = attrgetter(
    "subject", "issuer", "extensions", "not_valid_before_utc", "not_valid_after_utc"
)
_UNREADABLE = (
    ValueError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)


@dataclass(frozen=True)
class Subject:
    """The member that a certificate names: ``name`` is a node's, or ``"aggregator"``."""

    federation: str
    name: str


def parse_certificate(data: bytes, *, where: str) -> x509.Certificate:
    """Read a certificate, PEM or DER. Raises IdentityError."""
    try:
        if data.lstrip().startswith(b"-----BEGIN"):
            return _whole(x509.load_pem_x509_certificate(data))
        return _whole(x509.load_der_x509_certificate(data))
    except _UNREADABLE as error:
        raise IdentityError(
            "not a certificate",
            where=where,
            expected="one X.509 certificate",
            found=f"{len(data)} bytes of something else",
        ) from error


def parse_certificates(data: bytes, *, where: str) -> list[x509.Certificate]:
    """Read certificates, PEM, one after the other. Raises IdentityError if there are none."""
    try:
        return [_whole(each) for each in x509.load_pem_x509_certificates(data)]
    except _UNREADABLE as error:
        raise IdentityError(
            "not a file of certificates",
            where=where,
            expected="X.509 certificates, PEM",
            found=f"{len(data)} bytes of something else",
        ) from error


def _whole(certificate: x509.Certificate) -> x509.Certificate:
    """The same certificate, with all its parts parsed: the library does that only on demand."""
    _PARTS(certificate)
    certificate.public_key()
    return certificate


def der_of(certificate_pem: bytes, *, where: str = "certificate") -> bytes:
    """The same certificate in DER. Raises IdentityError."""
    return parse_certificate(certificate_pem, where=where).public_bytes(Encoding.DER)


def pem_of(certificate_der: bytes, *, where: str = "certificate") -> bytes:
    """The same certificate in PEM. Raises IdentityError."""
    return parse_certificate(certificate_der, where=where).public_bytes(Encoding.PEM)


def fingerprint_of(certificate_der: bytes) -> bytes:
    """SHA-256 of the DER certificate, 32 bytes."""
    return hashlib.sha256(certificate_der).digest()


def life_of(certificate: bytes, *, where: str) -> tuple[datetime, datetime]:
    """When a certificate (DER or PEM) was made, and the last second of its life, UTC."""
    parsed = parse_certificate(certificate, where=where)
    return parsed.not_valid_before_utc + CLOCK_SKEW, parsed.not_valid_after_utc


def subject_of(certificate: x509.Certificate, *, where: str) -> Subject:
    """The member that a certificate's only URI names. Raises IdentityError."""
    uris = names_in(certificate, x509.UniformResourceIdentifier)
    try:
        if len(uris) == 1:
            return Subject(*parse_certificate_uri(uris[0]))
    except ConfigurationError:
        pass
    raise IdentityError(
        "the certificate names no member of a federation",
        where=where,
        expected="one URI tangentmesh://FEDERATION/node/NAME or tangentmesh://FEDERATION/aggregator",
        found=", ".join(uris) or "no URI",
    )


def names_in(
    certificate: x509.Certificate, kind: type[x509.DNSName] | type[x509.UniformResourceIdentifier]
) -> list[str]:
    """The alternative names of one kind."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return []
    return names.get_values_for_type(kind)

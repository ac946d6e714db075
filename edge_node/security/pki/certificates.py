"""What a certificate says, and whether it may be believed.

TLS checks issuer, dates and the DNS name. This module checks the same and also what TLS does not:
the federation and the role, which stand in a URI (see ``config.names``). A check raises, or
returns what it found; none returns a truth value that a caller could forget to look at.
"""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from operator import attrgetter

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from edge_node.errors import ConfigurationError, IdentityError
from edge_node.security.pki.uri import certificate_uri, parse_certificate_uri

__all__ = [
    "CLOCK_SKEW",
    "Subject",
    "check_certificate",
    "check_dates",
    "check_issuer",
    "der_of",
    "fingerprint_of",
    "is_issued_by",
    "life_of",
    "parse_certificate",
    "parse_certificates",
    "pem_of",
    "subject_of",
]

CLOCK_SKEW = timedelta(minutes=5)
"""By how much a certificate's first moment lies before its making, for clocks that are behind."""

_RENEW = "Renew the certificate"
_OWN_AUTHORITY = "certificate of the federation's authority"
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
_USES = {
    ExtendedKeyUsageOID.CLIENT_AUTH: "client authentication",
    ExtendedKeyUsageOID.SERVER_AUTH: "server authentication",
}


@dataclass(frozen=True)
class Subject:
    """Whom a certificate speaks of: ``name`` is a node's, or ``"aggregator"``."""

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
            found=f"{len(data)} bytes that are none",
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
            found=f"{len(data)} bytes that are none",
        ) from error


def _whole(certificate: x509.Certificate) -> x509.Certificate:
    """The same; the library parses its parts only when they are asked for, so they are here."""
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


@lru_cache(maxsize=4096)
def is_issued_by(certificate_der: bytes, authority_der: bytes) -> bool:
    """Whether one certificate (DER) was issued by another's owner."""
    where = "certificate"
    certificate = parse_certificate(certificate_der, where=where)
    try:
        check_issuer(certificate, parse_certificate(authority_der, where=where), where=where)
    except IdentityError:
        return False
    return True


def subject_of(certificate: x509.Certificate, *, where: str) -> Subject:
    """The member that a certificate's only URI names. Raises IdentityError."""
    uris = _names(certificate, x509.UniformResourceIdentifier)
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


def check_certificate(
    certificate_der: bytes,
    ca_pem: bytes,
    *,
    name: str,
    federation: str,
    now: datetime | None = None,
    where: str = "",
    remedy: str = _RENEW,
) -> None:
    """Check that a certificate was issued to ``name`` by the federation's authority, and holds now.

    Args:
        certificate_der: the certificate (DER or PEM).
        ca_pem: the federation's CA certificate, or both while one replaces the other.
        name: a node's name, or ``"aggregator"``.
        federation: the federation's name.
        now: an aware datetime; default: the machine's clock.
        where: the file or peer it came from; default: ``certificate of NAME``.
        remedy: what to do when its dates are wrong.

    Raises:
        IdentityError: issuer, dates, URI, DNS name or use is wrong; the message says which.
    """
    where = where or f"certificate of {name}"
    certificate = parse_certificate(certificate_der, where=where)
    authority = _issuer(certificate, parse_certificates(ca_pem, where=_OWN_AUTHORITY), where)
    check_dates(authority, where=_OWN_AUTHORITY, now=now)
    check_dates(certificate, where=where, now=now, remedy=remedy)
    _check_names(certificate, federation, name, where)
    _check_use(certificate, where)


def check_issuer(certificate: x509.Certificate, authority: x509.Certificate, *, where: str) -> None:
    """Check that ``authority`` may issue and did issue ``certificate``. Raises IdentityError."""
    _issuer(certificate, [authority], where)


def _issuer(
    certificate: x509.Certificate, authorities: list[x509.Certificate], where: str
) -> x509.Certificate:
    """The one of these authorities that issued a certificate. Raises IdentityError."""
    for authority in authorities:
        try:
            constraints = authority.extensions.get_extension_for_class(x509.BasicConstraints).value
            if constraints.ca:
                certificate.verify_directly_issued_by(authority)
                return authority
        except (ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
            continue
    raise IdentityError(
        "the certificate was issued by another authority",
        where=where,
        expected=f"issuer {' or '.join(map(_describe, authorities))}",
        found=f"issuer {certificate.issuer.rfc4514_string()}",
        remedy="Enrol at this federation's aggregator",
    )


def check_dates(
    certificate: x509.Certificate,
    *,
    where: str,
    now: datetime | None = None,
    remedy: str = _RENEW,
) -> None:
    """Check that a certificate is valid now. Raises IdentityError with dates and clock."""
    now = now or datetime.now(UTC)
    begins, expires = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if begins <= now <= expires:
        return
    raise IdentityError(
        "the certificate has expired" if now > expires else "the certificate is not valid yet",
        where=where,
        expected=f"a time from {begins:%Y-%m-%d %H:%M:%S} to {expires:%Y-%m-%d %H:%M:%S} UTC",
        found=f"{now.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC",
        remedy=f"Set this machine's clock if it is wrong. Otherwise: {remedy}",
    )


def _check_names(certificate: x509.Certificate, federation: str, name: str, where: str) -> None:
    found = subject_of(certificate, where=where)
    if found != Subject(federation, name):
        raise IdentityError(
            "the certificate is another member's (URI)",
            where=where,
            expected=certificate_uri(federation, name),
            found=certificate_uri(found.federation, found.name),
        )
    if name not in (hosts := _names(certificate, x509.DNSName)):
        raise IdentityError(
            "the certificate lacks the member's DNS name",
            where=where,
            expected=name,
            found=", ".join(hosts) or "no DNS name",
        )


def _check_use(certificate: x509.Certificate, where: str) -> None:
    try:
        uses = set(certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    except x509.ExtensionNotFound:
        uses = set()
    if not uses.issuperset(_USES):
        raise IdentityError(
            "the certificate is not for both ends of a connection (extended key usage)",
            where=where,
            expected=" and ".join(_USES.values()),
            found=", ".join(_USES.get(use, use.dotted_string) for use in uses) or "none",
        )


def _names(
    certificate: x509.Certificate, kind: type[x509.DNSName] | type[x509.UniformResourceIdentifier]
) -> list[str]:
    """The alternative names of one kind."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return []
    return names.get_values_for_type(kind)


def _describe(authority: x509.Certificate) -> str:
    digest = fingerprint_of(authority.public_bytes(Encoding.DER)).hex()
    return f"{authority.subject.rfc4514_string()}, fingerprint {digest}"

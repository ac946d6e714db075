"""Whether a certificate may be believed.

TLS checks issuer, dates and the DNS name. This module checks the same and also what TLS does not:
the federation and the role, which stand in a URI (see `security.pki.uri`). A check raises, or
returns what it found.
"""

from datetime import UTC, datetime
from functools import lru_cache

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from edge_node.errors import IdentityError
from edge_node.security.pki.certificates import (
    Subject,
    fingerprint_of,
    names_in,
    parse_certificate,
    parse_certificates,
    subject_of,
)
from edge_node.security.pki.uri import certificate_uri

__all__ = ["check_certificate", "check_dates", "check_issuer", "is_issued_by"]

_RENEW = "Renew the certificate"
_OWN_AUTHORITY = "certificate of the federation's authority"
_USES = {
    ExtendedKeyUsageOID.CLIENT_AUTH: "client authentication",
    ExtendedKeyUsageOID.SERVER_AUTH: "server authentication",
}


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
    if name not in (hosts := names_in(certificate, x509.DNSName)):
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


def _describe(authority: x509.Certificate) -> str:
    digest = fingerprint_of(authority.public_bytes(Encoding.DER)).hex()
    return f"{authority.subject.rfc4514_string()}, fingerprint {digest}"

"""The federation's certificate authority: one key that says who is who.

An applicant's request proves that it holds a key, and nothing else: every name in a certificate is
chosen here. The authority's directory may live away from the aggregator.
"""

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from edge_node.config.names import AGGREGATOR, check_federation_name, check_node_name
from edge_node.errors import ConfigurationError, IdentityError
from edge_node.security.files import make_private_directory, read_private, write_atomically
from edge_node.security.pki.certificate_checks import check_dates, check_issuer
from edge_node.security.pki.certificates import (
    CLOCK_SKEW,
    der_of,
    fingerprint_of,
    parse_certificate,
)
from edge_node.security.pki.private_keys import check_key, generate_key, parse_key
from edge_node.security.pki.signing_requests import requested_key
from edge_node.security.pki.uri import Role, certificate_uri

__all__ = ["Authority"]

_KEY, _CERTIFICATE = "key.pem", "certificate.pem"
_LIFETIME = timedelta(days=3650)
_HOST = re.compile(r"(?=.{1,253}$)[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9-]+)*")
_INIT = "Run `aggregator init`, or restore the directory from its backup"


@dataclass(frozen=True)
class Authority:
    """A federation's CA: an ECDSA P-256 key and its self-signed certificate.

    Where the authority is offline, ``key_pem`` is empty, and nothing can be signed.
    """

    federation: str
    key_pem: bytes = field(repr=False)
    certificate_pem: bytes

    @classmethod
    def create(cls, directory: Path, federation: str, *, now: datetime | None = None) -> Self:
        """Make a new authority and write it to a private directory.

        Raises:
            ConfigurationError: the directory holds an authority, or the name is not allowed.
            MachineError: the directory can't be written.
        """
        check_federation_name(federation)
        for path in (directory / _KEY, directory / _CERTIFICATE):
            if path.exists():
                raise ConfigurationError(
                    "the directory already holds an authority; a new one would disown every node",
                    where=str(path),
                    remedy="Choose another directory, or move the old authority away",
                )
        key_pem = generate_key()
        certificate_pem = _self_signed(key_pem, federation, now or datetime.now(UTC))
        make_private_directory(directory)
        write_atomically(directory / _KEY, key_pem)
        write_atomically(directory / _CERTIFICATE, certificate_pem)
        return cls(federation, key_pem, certificate_pem)

    @classmethod
    def load(cls, directory: Path, *, now: datetime | None = None, offline: bool = False) -> Self:
        """Read an authority and check that key and certificate belong together.

        Args:
            directory: where it is.
            now: an aware datetime; default: the machine's clock.
            offline: the key is not here, only the certificate.

        Raises:
            IdentityError: a file is missing, open to others, broken, or the certificate expired.
        """
        found = cls.read(directory / _CERTIFICATE, now=now)
        if offline:
            return found
        key_pem = read_private(directory / _KEY, missing=_INIT)
        certificate = parse_certificate(found.certificate_pem, where=str(directory / _CERTIFICATE))
        check_key(key_pem, certificate, where=str(directory / _KEY), remedy=_INIT)
        return cls(found.federation, key_pem, found.certificate_pem)

    @classmethod
    def read(cls, file: Path, *, now: datetime | None = None) -> Self:
        """An authority whose certificate is in a file and whose key is not here.

        Raises:
            IdentityError: it can't be read, or is not an authority's that is valid now.
        """
        where = str(file)
        try:
            certificate_pem = file.read_bytes()
        except OSError as error:
            raise IdentityError(
                "the file can't be read", where=where, found=str(error.strerror), remedy=_INIT
            ) from error
        certificate = parse_certificate(certificate_pem, where=where)
        check_dates(certificate, where=where, now=now, remedy="Found a new federation")
        return cls(_federation_of(certificate, where), b"", certificate_pem)

    def save(self, directory: Path) -> None:
        """Replace a directory's authority; without a key, its certificate. Raises MachineError."""
        make_private_directory(directory)
        if self.key_pem:
            write_atomically(directory / _KEY, self.key_pem)
        write_atomically(directory / _CERTIFICATE, self.certificate_pem)

    @cached_property
    def fingerprint(self) -> bytes:
        """SHA-256 of the authority's DER certificate, 32 bytes: what a token pins."""
        return fingerprint_of(der_of(self.certificate_pem))

    def issue(
        self,
        csr_pem: bytes,
        *,
        node: str,
        hosts: Sequence[str] = (),
        role: Role = "node",
        lifetime: timedelta,
        now: datetime | None = None,
    ) -> bytes:
        """A leaf certificate for the key of a signing request.

        Args:
            csr_pem: the request; only its key is used, and its proof of holding the key.
            node: the node's name; ``"aggregator"`` with that role and no other.
            hosts: further DNS names and IP addresses, for the aggregator only.
            role: what the certificate's URI says.
            lifetime: from ``now``; cut short where the authority's own certificate ends.
            now: an aware datetime; default: the machine's clock.

        Returns:
            The certificate, PEM.

        Raises:
            IdentityError: the request is broken, its signature is wrong, its key is not P-256.
            ConfigurationError: the name or a host is not allowed.
        """
        _check_role(node, role, hosts)
        issuer = parse_certificate(self.certificate_pem, where="authority")
        now = now or datetime.now(UTC)
        names: list[x509.GeneralName] = [x509.DNSName(node), *map(_general_name, hosts)]
        names.append(x509.UniformResourceIdentifier(certificate_uri(self.federation, node)))
        builder = _builder(node, requested_key(csr_pem, node))
        builder = builder.issuer_name(issuer.subject)
        builder = builder.not_valid_before(now - CLOCK_SKEW)
        builder = builder.not_valid_after(min(now + lifetime, issuer.not_valid_after_utc))
        for extension, critical in _leaf_extensions(names, issuer):
            builder = builder.add_extension(extension, critical)
        key = parse_key(self.key_pem, where="authority")
        return builder.sign(key, SHA256()).public_bytes(Encoding.PEM)


def _federation_of(certificate: x509.Certificate, where: str) -> str:
    """The federation that an authority's certificate names. Raises IdentityError."""
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    try:
        check_issuer(certificate, certificate, where=where)
        return check_federation_name(str(names[0].value))
    except (IdentityError, ConfigurationError, IndexError) as error:
        raise IdentityError(
            "not an authority's certificate",
            where=where,
            expected="a certificate that signed itself and may sign others",
            found=certificate.subject.rfc4514_string(),
            remedy=_INIT,
        ) from error


def _check_role(node: str, role: Role, hosts: Sequence[str]) -> None:
    if role == "node":
        check_node_name(node)
        if hosts:
            raise ConfigurationError(
                "a node's certificate carries its name only", where=node, found=", ".join(hosts)
            )
    elif role != AGGREGATOR or node != AGGREGATOR:
        raise ConfigurationError(
            "the aggregator's certificate carries the aggregator's name",
            expected=repr(AGGREGATOR),
            found=f"{node!r} in the role {role!r}",
        )


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        if _HOST.fullmatch(host):
            return x509.DNSName(host)
    raise ConfigurationError(
        "not a host", where="--host", expected="a DNS name or an IP address", found=repr(host)
    )


def _builder(name: str, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _self_signed(key_pem: bytes, federation: str, now: datetime) -> bytes:
    key = parse_key(key_pem, where="authority")
    builder = _builder(federation, key.public_key())
    builder = builder.issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, federation)]))
    builder = builder.not_valid_before(now - CLOCK_SKEW).not_valid_after(now + _LIFETIME)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(_key_usage(key_cert_sign=True), critical=True)
    return builder.sign(key, SHA256()).public_bytes(Encoding.PEM)


def _leaf_extensions(
    names: list[x509.GeneralName], issuer: x509.Certificate
) -> list[tuple[x509.ExtensionType, bool]]:
    """Extensions of a leaf, each with whether it is critical."""
    identifier = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    uses = [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]
    return [
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (_key_usage(digital_signature=True), True),
        (x509.ExtendedKeyUsage(uses), False),
        (x509.SubjectAlternativeName(names), False),
        (x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), False),
    ]


def _key_usage(*, digital_signature: bool = False, key_cert_sign: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=key_cert_sign,
        crl_sign=key_cert_sign,
        encipher_only=False,
        decipher_only=False,
    )

"""Certificates that come out the same each time: fixed keys, dates and deterministic signatures."""

import hashlib
import urllib.parse
from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

__all__ = ["Authority"]

LIFE = datetime(2026, 1, 1, tzinfo=UTC), datetime(2126, 1, 1, tzinfo=UTC)


class Authority:
    """Issues certificates; ``seed`` tells authorities of one name apart."""

    def __init__(self, federation: str, seed: str = "") -> None:
        self.federation = federation
        self._seed = seed
        self._key = _key(f"authority {federation} {seed}")
        self._name = _name(f"{federation} authority")
        builder = _builder(self._name, self._name, self._key, (f"authority {seed}", LIFE))
        constraints = x509.BasicConstraints(ca=True, path_length=0)
        self._certificate = self._sign(builder.add_extension(constraints, critical=True))

    @property
    def certificate(self) -> bytes:
        """The authority's own, DER."""
        return self._certificate

    def issue(
        self,
        name: str,
        *,
        federation: str = "",
        life: tuple[datetime, datetime] = LIFE,
        server: bool = True,
    ) -> tuple[ec.EllipticCurvePrivateKey, bytes]:
        """A member's key, and its certificate in DER."""
        own = urllib.parse.quote(federation or self.federation, safe="")
        path = name if name == "aggregator" else f"node/{name}"
        names = [x509.DNSName(name), x509.UniformResourceIdentifier(f"tangentmesh://{own}/{path}")]
        uses = [ExtendedKeyUsageOID.CLIENT_AUTH]
        uses += [ExtendedKeyUsageOID.SERVER_AUTH] if server else []
        key = _key(f"node {name}")
        label = f"{self._seed} {own} {name} {life[0]} {server}"
        builder = (
            _builder(_name(name), self._name, key, (label, life))
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.ExtendedKeyUsage(uses), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        )
        return key, self._sign(builder)

    def _sign(self, builder: x509.CertificateBuilder) -> bytes:
        certificate = builder.sign(self._key, SHA256(), ecdsa_deterministic=True)
        return certificate.public_bytes(Encoding.DER)


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    serial_and_life: tuple[str, tuple[datetime, datetime]],
) -> x509.CertificateBuilder:
    label, life = serial_and_life
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(int.from_bytes(hashlib.sha256(label.encode()).digest()[:8], "big") | 1)
        .not_valid_before(life[0])
        .not_valid_after(life[1])
    )


def _key(label: str) -> ec.EllipticCurvePrivateKey:
    number = int.from_bytes(hashlib.sha256(label.encode()).digest(), "big") % 2**255 + 1
    return ec.derive_private_key(number, ec.SECP256R1())


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

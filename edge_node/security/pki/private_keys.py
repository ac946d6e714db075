"""Private keys: ECDSA on P-256, for nodes and for authorities."""

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from edge_node.errors import IdentityError

__all__ = ["check_key", "generate_key", "parse_key"]


def generate_key() -> bytes:
    """A new P-256 private key, PEM (PKCS #8, not encrypted)."""
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def parse_key(key_pem: bytes, *, where: str, remedy: str = "") -> ec.EllipticCurvePrivateKey:
    """Read a P-256 private key. Raises IdentityError."""
    try:
        key = load_pem_private_key(key_pem, password=None)
        if isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP256R1):
            return key
        found = f"a key of another kind ({type(key).__name__})"
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        found = str(error).partition("\n")[0]
    raise IdentityError(
        "not a private key of this federation's kind",
        where=where,
        expected="a P-256 private key, PEM, not encrypted",
        found=found,
        remedy=remedy,
    )


def check_key(
    key_pem: bytes, certificate: x509.Certificate, *, where: str, remedy: str = ""
) -> None:
    """Check that the certificate was issued for this private key. Raises IdentityError."""
    if parse_key(key_pem, where=where, remedy=remedy).public_key() != certificate.public_key():
        raise IdentityError(
            "the private key is not the certificate's",
            where=where,
            expected=f"the key of {certificate.subject.rfc4514_string()}",
            found="another key",
            remedy=remedy,
        )

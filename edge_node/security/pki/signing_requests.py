"""Certificate signing requests (PKCS #10): they prove that an applicant holds a key, no more."""

import hashlib

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from edge_node.errors import IdentityError
from edge_node.security.pki.private_keys import parse_key

__all__ = ["key_fingerprint", "requested_key", "signing_request"]


def signing_request(key_pem: bytes, node: str) -> bytes:
    """A certificate signing request, PEM. The name in it is for people: the authority decides."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, node)])
    request = x509.CertificateSigningRequestBuilder().subject_name(subject)
    return request.sign(parse_key(key_pem, where=node), SHA256()).public_bytes(Encoding.PEM)


def requested_key(csr_pem: bytes, node: str) -> ec.EllipticCurvePublicKey:
    """The key of a signing request, if the applicant holds its private half: else IdentityError."""
    where = f"certificate signing request of {node}"
    expected = "a signed request (PKCS #10, PEM) for a P-256 key"
    try:
        request = x509.load_pem_x509_csr(csr_pem)
        key, signed = request.public_key(), request.is_signature_valid
    except Exception as error:  # the parser also raises UnsupportedAlgorithm and others
        raise IdentityError(
            "not a certificate signing request", where=where, expected=expected, found=str(error)
        ) from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise IdentityError("the request's key is of another kind", where=where, expected=expected)
    if not signed:
        raise IdentityError("the request's signature is wrong", where=where, expected=expected)
    return key


def key_fingerprint(csr_pem: bytes, node: str) -> str:
    """SHA-256 of a request's public key (DER), for people to compare. Raises IdentityError."""
    key = requested_key(csr_pem, node)
    der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(der).hexdigest()

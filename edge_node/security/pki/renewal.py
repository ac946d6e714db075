"""A request to renew a certificate, and the proof that the old certificate's owner makes it.

The proof is a signature by the old key over the signing request for the new one. So whoever signs
certificates, wherever that is, can see for itself that the name's owner asks: whoever carries the
request between them can't put another key in its place.
"""

from edge_node.errors import IdentityError
from edge_node.security.pki.authority import requested_key
from edge_node.security.pki.certificates import parse_certificate, verify_signature
from edge_node.security.pki.identity import Identity, signing_request

__all__ = ["check_renewal", "renewal_request"]

_PURPOSE = b"tangentmesh/v1/renewal\0"


def renewal_request(identity: Identity, key_pem: bytes) -> tuple[bytes, bytes]:
    """A signing request (PEM) for a new key, and the proof by the old one (DER)."""
    csr_pem = signing_request(key_pem, identity.node)
    return csr_pem, identity.sign(_PURPOSE + csr_pem)


def check_renewal(node: str, certificate_der: bytes, csr_pem: bytes, proof: bytes) -> None:
    """Check that the owner of a certificate asks to renew it, with a new key.

    Raises:
        IdentityError: the proof is another's, or the key is the old one.
    """
    verify_signature(certificate_der, _PURPOSE + csr_pem, proof)
    where = f"certificate of {node}"
    if requested_key(csr_pem, node) == parse_certificate(certificate_der, where=where).public_key():
        raise IdentityError(
            "a certificate is renewed with a new key", where=where, found="a request for the old"
        )

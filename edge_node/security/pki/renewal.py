"""A request to renew a certificate, and the proof that the old certificate's owner makes it.

The proof is a signature by the old key over the signing request for the new one. The authority,
wherever it is, verifies the proof before it signs. So nobody who carries the request on its way
there can put another key in its place.
"""

from edge_node.errors import IdentityError
from edge_node.security.pki.certificates import parse_certificate
from edge_node.security.pki.identity import Identity
from edge_node.security.pki.signing_requests import requested_key, signing_request
from edge_node.security.pki.statement import Purpose, Statement

__all__ = ["check_renewal", "renewal_request"]


def renewal_request(identity: Identity, key_pem: bytes) -> tuple[bytes, bytes]:
    """A signing request (PEM) for a new key, and the proof by the old one (DER)."""
    csr_pem = signing_request(key_pem, identity.node)
    return csr_pem, Statement(Purpose.RENEWAL, (identity.node,), csr_pem).sign(identity)


def check_renewal(node: str, certificate_der: bytes, csr_pem: bytes, proof: bytes) -> None:
    """Check that the owner of a certificate asks to renew it, with a new key.

    Raises:
        IdentityError: the proof is another's, or the key is the old one.
    """
    Statement(Purpose.RENEWAL, (node,), csr_pem).verify(certificate_der, proof)
    where = f"certificate of {node}"
    if requested_key(csr_pem, node) == parse_certificate(certificate_der, where=where).public_key():
        raise IdentityError(
            "a certificate is renewed with a new key", where=where, found="a request for the old"
        )

"""A renewal is proved by the old key, and asks for a new one."""

from collections.abc import Callable

import pytest

from edge_node.errors import IdentityError
from edge_node.security.pki.identity import Identity
from edge_node.security.pki.private_keys import generate_key
from edge_node.security.pki.renewal import check_renewal, renewal_request
from edge_node.security.pki.signing_requests import signing_request
from edge_node.security.pki.statement import Purpose, Statement

Member = Callable[..., Identity]


def test_a_renewal_is_its_owners(member: Member) -> None:
    """The proof holds for this request and this certificate only."""
    a, b = member("hospital-a"), member("hospital-b")
    csr, proof = renewal_request(a, generate_key())
    check_renewal("hospital-a", a.certificate_der, csr, proof)
    other = signing_request(generate_key(), "hospital-a")
    for certificate, request, signature in (
        (b.certificate_der, csr, proof),
        (a.certificate_der, other, proof),
        (a.certificate_der, csr, b""),
        (a.certificate_der, csr, Statement(Purpose.RENEWAL, ("hospital-b",), csr).sign(a)),
    ):
        with pytest.raises(IdentityError, match="not by this certificate's key"):
            check_renewal("hospital-a", certificate, request, signature)


def test_a_renewal_has_a_new_key(member: Member) -> None:
    """A key that may have leaked is not certified again."""
    a = member("hospital-a")
    with pytest.raises(IdentityError, match="new key"):
        check_renewal("hospital-a", a.certificate_der, *renewal_request(a, a.key_pem))

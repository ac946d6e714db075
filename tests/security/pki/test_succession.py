"""An authority is trusted if the one before it has signed for it."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from edge_node.errors import IdentityError
from edge_node.security.pki.authority import Authority
from edge_node.security.pki.certificates import der_of, fingerprint_of
from edge_node.security.pki.identity import Identity
from edge_node.security.pki.signing_requests import signing_request
from edge_node.security.pki.succession import Successor, authorities_of, succeed

Member = Callable[..., Identity]


@pytest.fixture
def next_authority(tmp_path: Path, authority: Authority) -> Authority:
    """Replaces the authority."""
    return Authority.create(tmp_path / "next", authority.federation)


def offered(present: Authority, new: Authority, signer: Authority) -> list[Successor]:
    """Two authorities, the new one vouched for by ``signer``."""
    der = der_of(new.certificate_pem)
    first = Successor(der_of(present.certificate_pem))
    return [first, Successor.of(der, signer)]


def test_a_signed_successor_is_trusted(
    member: Member, authority: Authority, next_authority: Authority
) -> None:
    """Both are, as long as both are offered; the old one goes when the node has a new leaf."""
    a = member("hospital-a")
    both = offered(authority, next_authority, authority)
    a = replace(a, ca_pem=succeed(a, both))
    assert authorities_of(a.ca_pem) == [authority.fingerprint, next_authority.fingerprint]
    with pytest.raises(IdentityError, match="another authority"):
        succeed(a, both[1:])  # its own certificate is the old one's
    new = next_authority.issue(
        signing_request(a.key_pem, "hospital-a"), node="hospital-a", lifetime=timedelta(days=1)
    )
    renewed = replace(a, certificate_pem=new)
    assert authorities_of(succeed(renewed, both[1:])) == [next_authority.fingerprint]


@pytest.mark.parametrize("proof", ["none", "its own", "a stranger's"])
def test_a_successor_that_nobody_trusted_has_signed(
    member: Member,
    authority: Authority,
    next_authority: Authority,
    foreign_authority: Authority,
    proof: str,
) -> None:
    """An aggregator that was taken over can't bring its own authority along."""
    signer = foreign_authority if proof == "a stranger's" else next_authority
    both = offered(authority, next_authority, signer)
    if proof == "none":
        both[1] = replace(both[1], proof=b"")
    with pytest.raises(IdentityError, match="no trusted one has signed it") as caught:
        succeed(member("hospital-a"), both)
    assert fingerprint_of(both[1].certificate).hex() in caught.value.found


def test_nothing_offered_leaves_nothing_trusted(member: Member) -> None:
    """So it is refused."""
    with pytest.raises(IdentityError):
        succeed(member("hospital-a"), [])

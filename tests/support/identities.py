"""Members' identities, as an authority certifies them."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from edge_node.security.pki.authority import Authority
from edge_node.security.pki.identity import Identity
from edge_node.security.pki.private_keys import generate_key
from edge_node.security.pki.signing_requests import signing_request
from edge_node.security.pki.uri import Role

__all__ = ["issue"]

_DAY = timedelta(days=1)


def issue(
    authority: Authority,
    name: str,
    *,
    role: Role = "node",
    hosts: Sequence[str] = (),
    now: datetime | None = None,
    lifetime: timedelta = _DAY,
) -> Identity:
    """A new key, and a certificate for it that ``authority`` has signed."""
    key = generate_key()
    certificate = authority.issue(
        signing_request(key, name), node=name, hosts=hosts, role=role, lifetime=lifetime, now=now
    )
    return Identity(name, authority.federation, key, certificate, authority.certificate_pem)

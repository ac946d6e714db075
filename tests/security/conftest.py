"""A federation's authority and members, for all tests of security."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from edge_node.names import AGGREGATOR
from edge_node.security.authority import Authority
from edge_node.security.identity import Identity, generate_key, signing_request

FEDERATION = "Lungs & hearts"  # has characters that a URI must encode
PAST = datetime(2020, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The federation's authority."""
    return Authority.create(tmp_path_factory.mktemp("ca"), FEDERATION)


@pytest.fixture(scope="session")
def foreign_authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Another authority that uses the same federation's name."""
    return Authority.create(tmp_path_factory.mktemp("foreign-ca"), FEDERATION)


@pytest.fixture(scope="session")
def member(authority: Authority) -> Callable[..., Identity]:
    """Makes identities: ``member("hospital-a", authority=..., now=..., lifetime=...)``."""

    def make(
        name: str,
        *,
        authority: Authority = authority,
        now: datetime | None = None,
        lifetime: timedelta = timedelta(days=1),
    ) -> Identity:
        key_pem = generate_key()
        certificate_pem = authority.issue(
            signing_request(key_pem, name),
            node=name,
            hosts=["localhost", "127.0.0.1"] if name == AGGREGATOR else [],
            role="aggregator" if name == AGGREGATOR else "node",
            lifetime=lifetime,
            now=now,
        )
        return Identity(
            name, authority.federation, key_pem, certificate_pem, authority.certificate_pem
        )

    return make


@pytest.fixture(scope="session")
def expired(member: Callable[..., Identity]) -> Callable[..., Identity]:
    """Makes identities whose certificate ended long ago."""
    return lambda name: member(name, now=PAST)

"""What tests in several folders need, importable and as fixtures. No test asserts a time."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from edge_node.config.names import AGGREGATOR
from edge_node.security.pki.authority import Authority
from edge_node.security.pki.identity import Identity
from tests.support.identities import issue

if TYPE_CHECKING:
    from tangentmesh.v1 import exchange_pb2

FEDERATION = "Lungs & hearts"  # has characters that a URI must encode
PAST = datetime(2020, 1, 1, tzinfo=UTC)

settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Everything that is handed to gRPC from here on, message by message."""
    from edge_node.network.exchange import exchange_client as link
    from edge_node.network.exchange import exchange_server as exchange
    from edge_node.network.wire import framing

    captured: list[bytes] = []

    def chunks(header: "exchange_pb2.Header", payload: bytes) -> Iterator["exchange_pb2.Chunk"]:
        captured.append(header.SerializeToString() + payload)
        return framing.chunks(header, payload)

    monkeypatch.setattr(link, "chunks", chunks)
    monkeypatch.setattr(exchange, "chunks", chunks)
    return captured


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The federation's authority."""
    return Authority.create(tmp_path_factory.mktemp("ca"), FEDERATION)


@pytest.fixture(scope="session")
def foreign_authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Another authority that uses the same federation's name."""
    return Authority.create(tmp_path_factory.mktemp("foreign-ca"), FEDERATION)


@pytest.fixture(scope="module")  # a folder may have an authority of its own
def member(authority: Authority) -> Callable[..., Identity]:
    """Makes identities: ``member("hospital-a", authority=..., now=..., lifetime=...)``."""

    def make(
        name: str,
        *,
        authority: Authority = authority,
        now: datetime | None = None,
        lifetime: timedelta = timedelta(days=1),
    ) -> Identity:
        its = {"role": "aggregator", "hosts": ["localhost", "127.0.0.1"]}
        own = its if name == AGGREGATOR else {}
        return issue(authority, name, now=now, lifetime=lifetime, **own)

    return make


@pytest.fixture(scope="module")
def expired(member: Callable[..., Identity]) -> Callable[..., Identity]:
    """Makes identities whose certificate ended long ago."""
    return lambda name: member(name, now=PAST)

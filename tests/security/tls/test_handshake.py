"""A connection that can't be made is explained: by host, names, authorities and dates."""

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from edge_node.config.names import AGGREGATOR
from edge_node.errors import IdentityError, NetworkError, TangentMeshError
from edge_node.security.pki.authority import Authority
from edge_node.security.pki.identity import Identity
from edge_node.security.tls.credentials import server_credentials
from edge_node.security.tls.handshake import explain_failure
from tests.security.tls.test_credentials import serve

Member = Callable[..., Identity]


async def explained(
    shown: Identity, identity: Identity, *, name: str = "hospital-a", pinned: tuple[bytes, ...] = ()
) -> TangentMeshError:
    """What is said of a server that shows an identity."""
    async with serve(server_credentials(shown)) as door:
        return await asyncio.to_thread(
            explain_failure, door.address, name=name, identity=identity, pinned=pinned
        )


async def test_another_members_certificate(member: Member) -> None:
    """The name that was expected, and those that the certificate holds."""
    error = await explained(member("hospital-c"), member("hospital-b"))
    assert isinstance(error, IdentityError)
    assert error.expected.endswith("/node/hospital-a")
    assert error.found.endswith("/node/hospital-c")
    assert error.where.startswith("certificate of hospital-a at 127.0.0.1:")


@pytest.mark.parametrize(("shift", "problem"), [(-400, "has expired"), (2, "not valid yet")])
async def test_dates(member: Member, shift: int, problem: str) -> None:
    """Both dates, this machine's clock, and a word on clocks."""
    now = datetime.now(UTC)
    shown = member("hospital-a", now=now + timedelta(days=shift))
    error = await explained(shown, member("hospital-b"))
    assert problem in error.problem
    assert f"{shown.expires:%Y-%m-%d %H:%M:%S} UTC" in error.expected
    assert f"{now:%Y-%m-%d}" in error.found
    assert "clock" in error.remedy


async def test_another_authority(
    member: Member, authority: Authority, foreign_authority: Authority
) -> None:
    """The authority that is trusted here, by its fingerprint."""
    error = await explained(member("hospital-a", authority=foreign_authority), member("hospital-b"))
    assert "another authority" in error.problem
    assert authority.fingerprint.hex() in error.expected


async def test_another_certificate_than_the_plans(member: Member) -> None:
    """Both fingerprints; it may have been renewed elsewhere."""
    planned, shown = member("hospital-a"), member("hospital-a")
    b = member("hospital-b")
    error = await explained(shown, b, pinned=(planned.fingerprint,))
    assert planned.fingerprint.hex() in error.expected
    assert shown.fingerprint.hex() in error.found
    assert "renewed" in error.remedy
    error = await explained(shown, b, pinned=(planned.fingerprint, shown.fingerprint))
    assert "ended the connection" in error.problem


async def test_the_fault_is_on_this_side(member: Member, expired: Member) -> None:
    """The certificate that has ended is this node's own."""
    error = await explained(member("hospital-a"), expired("hospital-b"))
    assert "this node's own certificate (hospital-b)" in error.where
    assert "edge-node renew" in error.remedy


async def test_the_peer_refuses(
    member: Member, authority: Authority, foreign_authority: Authority
) -> None:
    """Its certificate is right; then it must be ours that it doesn't like."""
    stranger = member(AGGREGATOR)
    both = authority.certificate_pem + foreign_authority.certificate_pem
    b = replace(member("hospital-b", authority=foreign_authority), ca_pem=both)
    error = await explained(stranger, b, name=AGGREGATOR)
    assert isinstance(error, NetworkError)
    assert "ended the connection" in error.problem
    assert b.fingerprint.hex()[:16] in error.found


@contextmanager
def babbling() -> Iterator[int]:
    """A server that speaks no TLS; its port."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        yield server.getsockname()[1]
        thread.join()


def test_no_tls(member: Member) -> None:
    """Another program has the port."""
    with babbling() as port:
        error = explain_failure(
            f"127.0.0.1:{port}", name="hospital-a", identity=member("hospital-b")
        )
    assert "not with TLS" in error.problem


@pytest.mark.parametrize("host", ["127.0.0.1", "a" * 70 + ".invalid"])
def test_nobody_there(member: Member, host: str) -> None:
    """Refused, or a name that leads nowhere; the address is named."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    address = f"{host}:{port}"
    error = explain_failure(address, name="hospital-a", identity=member("hospital-b"))
    assert "nothing answers" in error.problem
    assert error.where == f"hospital-a at {address}"
    assert error.found

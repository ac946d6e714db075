"""Mutual TLS over real loopback connections: who gets through, and who does not."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import grpc
import grpc.aio
import pytest

from edge_node.config.names import AGGREGATOR
from edge_node.errors import IdentityError
from edge_node.security.pki.authority import Authority
from edge_node.security.pki.identity import Identity
from edge_node.security.tls.credentials import (
    Caller,
    Options,
    caller,
    channel_credentials,
    channel_options,
    enrolment_server_credentials,
    server_credentials,
    server_options,
)

Member = Callable[..., Identity]
TIMEOUT = 20
FEDERATION = "Lungs & hearts"


@dataclass
class Door:
    """A server that answers "Who am I?", and remembers every caller that got through."""

    address: str = ""
    port: int = 0
    callers: list[Caller] = field(default_factory=list)

    async def answer(self, request: bytes, context: grpc.aio.ServicerContext) -> bytes:
        """Say the caller's name."""
        self.callers.append(caller(context, FEDERATION))
        return self.callers[-1].name.encode()


@asynccontextmanager
async def serve(credentials: grpc.ServerCredentials) -> AsyncIterator[Door]:
    """A server on a free loopback port."""
    door = Door()
    handler = grpc.unary_unary_rpc_method_handler(door.answer)
    server = grpc.aio.server(options=server_options())
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("test.Door", {"Who": handler}),)
    )
    door.port = server.add_secure_port("127.0.0.1:0", credentials)
    door.address = f"127.0.0.1:{door.port}"
    await server.start()
    try:
        yield door
    finally:
        await server.stop(None)


async def ask(door: Door, credentials: grpc.ChannelCredentials, options: Options) -> str:
    """Call the server once. Raises grpc.aio.AioRpcError."""
    async with grpc.aio.secure_channel(door.address, credentials, options=options) as channel:
        reply: bytes = await channel.unary_unary("/test.Door/Who")(b"", timeout=TIMEOUT)
        return reply.decode()


async def refused(door: Door, credentials: grpc.ChannelCredentials, options: Options) -> str:
    """Check that a call fails before it reaches the server's handler; say how."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await ask(door, credentials, options)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert door.callers == []
    return str(caught.value.details())


async def test_members_meet(member: Member) -> None:
    """Two members of a federation meet, and the server learns who is calling."""
    a, b = member("hospital-a"), member("hospital-b")
    async with serve(server_credentials(a)) as door:
        assert await ask(door, channel_credentials(b), channel_options("hospital-a")) == b.node
        assert door.callers == [Caller("hospital-b", "node", b.fingerprint)]


async def test_aggregator(member: Member) -> None:
    """The aggregator is called by its own name, or by the host it was certified for."""
    aggregator, a = member(AGGREGATOR), member("hospital-a")
    async with serve(server_credentials(aggregator)) as door:
        for name in (AGGREGATOR, None, "localhost"):
            assert await ask(door, channel_credentials(a), channel_options(name)) == "hospital-a"
        await ask(door, channel_credentials(aggregator), channel_options(AGGREGATOR))
        assert door.callers[-1] == Caller(AGGREGATOR, "aggregator", aggregator.fingerprint)


async def test_a_server_shows_its_renewed_certificate(
    member: Member, authority: Authority, foreign_authority: Authority
) -> None:
    """From the next handshake on, without a restart; so it is with the authorities it trusts."""
    shown = [member("hospital-a")]
    stranger = member("hospital-b", authority=foreign_authority)
    both = authority.certificate_pem + foreign_authority.certificate_pem
    stranger = replace(stranger, ca_pem=both)
    options = [*channel_options("hospital-a"), ("grpc.use_local_subchannel_pool", 1)]
    async with serve(server_credentials(lambda: shown[0])) as door:
        pinned = channel_credentials(member("hospital-b"), pinned_der=[shown[0].certificate_der])
        await ask(door, pinned, options)
        door.callers.clear()
        await refused(door, channel_credentials(stranger), options)
        async with grpc.aio.secure_channel(door.address, pinned, options=options) as channel:
            call = channel.unary_unary("/test.Door/Who")
            await call(b"", timeout=TIMEOUT)
            shown[0] = replace(member("hospital-a"), ca_pem=both)
            await call(b"", timeout=TIMEOUT)  # what stands is not touched
        assert await ask(door, channel_credentials(stranger), options) == "hospital-b"
        door.callers.clear()
        await refused(door, pinned, options)
        pins = [member("hospital-a").certificate_der, shown[0].certificate_der]
        await ask(door, channel_credentials(member("hospital-b"), pinned_der=pins), options)


async def test_pinned(member: Member) -> None:
    """A pinned certificate is trusted though it is no authority's."""
    a, b = member("hospital-a"), member("hospital-b")
    async with serve(server_credentials(a)) as door:
        credentials = channel_credentials(b, pinned_der=[a.certificate_der])
        assert await ask(door, credentials, channel_options("hospital-a")) == "hospital-b"


async def test_pinned_other_certificate(member: Member) -> None:
    """Another certificate of the same authority and the same name is refused under pinning."""
    a, again, b = member("hospital-a"), member("hospital-a"), member("hospital-b")
    options = channel_options("hospital-a")
    async with serve(server_credentials(again)) as door:
        pinned = channel_credentials(b, pinned_der=[a.certificate_der])
        assert "CERTIFICATE_VERIFY_FAILED" in await refused(door, pinned, options)
        assert await ask(door, channel_credentials(b), options) == "hospital-b"  # no other reason


@pytest.mark.parametrize("pin", [False, True], ids=["authority", "pinned"])
async def test_wrong_name(member: Member, pin: bool) -> None:
    """A peer with another name than the plan's is refused, also under pinning."""
    a, b = member("hospital-a"), member("hospital-b")
    credentials = channel_credentials(b, pinned_der=[a.certificate_der] if pin else None)
    async with serve(server_credentials(a)) as door:
        for name in ("hospital-c", AGGREGATOR, None):
            details = await refused(door, credentials, channel_options(name))
            assert "Hostname Verification Check failed" in details, details


@pytest.mark.parametrize("pin", [False, True], ids=["authority", "pinned"])
async def test_expired_server(member: Member, expired: Member, pin: bool) -> None:
    """A server whose certificate has expired is refused, also when it is the pinned one."""
    old, b = expired("hospital-a"), member("hospital-b")
    credentials = channel_credentials(b, pinned_der=[old.certificate_der] if pin else None)
    async with serve(server_credentials(old)) as door:
        details = await refused(door, credentials, channel_options("hospital-a"))
        assert "CERTIFICATE_VERIFY_FAILED" in details


async def test_expired_client(member: Member, expired: Member) -> None:
    """A client whose certificate has expired is refused."""
    async with serve(server_credentials(member("hospital-a"))) as door:
        await refused(
            door, channel_credentials(expired("hospital-b")), channel_options("hospital-a")
        )


async def test_foreign_client(
    authority: Authority, foreign_authority: Authority, member: Member
) -> None:
    """A client certified by another authority is refused, though it trusts the server."""
    b = member("hospital-b", authority=foreign_authority)
    credentials = grpc.ssl_channel_credentials(
        authority.certificate_pem, b.key_pem, b.certificate_pem
    )
    async with serve(server_credentials(member("hospital-a"))) as door:
        await refused(door, credentials, channel_options("hospital-a"))


async def test_foreign_server(foreign_authority: Authority, member: Member) -> None:
    """A server certified by another authority is refused by the client."""
    a = member("hospital-a", authority=foreign_authority)
    async with serve(enrolment_server_credentials(a)) as door:
        details = await refused(
            door, channel_credentials(member("hospital-b")), channel_options("hospital-a")
        )
        assert "CERTIFICATE_VERIFY_FAILED" in details


async def test_no_client_certificate(authority: Authority, member: Member) -> None:
    """A client without a certificate is refused."""
    anonymous = grpc.ssl_channel_credentials(authority.certificate_pem)
    async with serve(server_credentials(member("hospital-a"))) as door:
        await refused(door, anonymous, channel_options("hospital-a"))


async def test_plaintext(member: Member) -> None:
    """A client without TLS gets nowhere."""
    async with serve(server_credentials(member("hospital-a"))) as door:
        channel = grpc.aio.insecure_channel(door.address, options=channel_options(None))
        async with channel:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await channel.unary_unary("/test.Door/Who")(b"", timeout=TIMEOUT)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        assert door.callers == []


async def test_enrolment_port(authority: Authority, member: Member) -> None:
    """The enrolment port lets a client without certificate in, and ``caller`` tells it apart."""
    anonymous = grpc.ssl_channel_credentials(authority.certificate_pem)
    async with serve(enrolment_server_credentials(member(AGGREGATOR))) as door:
        with pytest.raises(grpc.aio.AioRpcError, match="showed no certificate") as caught:
            await ask(door, anonymous, channel_options(AGGREGATOR))
        assert caught.value.code() is grpc.StatusCode.UNKNOWN  # raised by the handler


@dataclass
class Standing:
    """A call on a connection that was made while its caller's certificate was good."""

    identity: Identity

    def auth_context(self) -> dict[str, list[bytes]]:
        """As TLS has authenticated it then."""
        return {"x509_pem_cert": [self.identity.certificate_pem]}


def test_a_certificate_ends_while_a_connection_stands(
    member: Member, expired: Member, authority: Authority
) -> None:
    """TLS looks at dates once; each call is looked at again."""
    assert caller(Standing(member("hospital-a")), authority.federation).name == "hospital-a"
    with pytest.raises(IdentityError, match="hospital-a: the certificate has expired"):
        caller(Standing(expired("hospital-a")), authority.federation)


async def test_proxy(member: Member, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy in the environment is not used; without our option it would be."""
    for variable in ("grpc_proxy", "https_proxy", "http_proxy", "HTTPS_PROXY", "HTTP_PROXY"):
        monkeypatch.setenv(variable, "http://127.0.0.1:1")
    for variable in ("no_grpc_proxy", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    options = channel_options("hospital-a")
    proxied = [option for option in options if option[0] != "grpc.enable_http_proxy"]
    async with serve(server_credentials(member("hospital-a"))) as door:
        credentials = channel_credentials(member("hospital-b"))
        await refused(door, credentials, proxied)
        assert await ask(door, credentials, options) == "hospital-b"


async def test_port_in_use(member: Member) -> None:
    """A port in use is an error, not a second server that gets half of the calls."""
    credentials = server_credentials(member("hospital-a"))
    async with serve(credentials) as door:
        second = grpc.aio.server(options=server_options())
        with pytest.raises(RuntimeError):
            second.add_secure_port(door.address, credentials)
        await second.stop(None)


async def test_tls_version(member: Member) -> None:
    """Peers that can speak TLS 1.3 do."""
    context = ssl.create_default_context(cadata=member("x").ca_pem.decode())
    context.check_hostname = False
    async with serve(enrolment_server_credentials(member("hospital-a"))) as door:
        assert await negotiated(context, door.port) == "TLSv1.3"


async def negotiated(context: ssl.SSLContext, port: int) -> str:
    """The TLS version that a server picks for a client that knows all."""
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    try:
        version: str = writer.get_extra_info("ssl_object").version()
        return version
    finally:
        writer.transport.abort()


@dataclass
class Shown:
    """A context whose peer showed these certificates."""

    certificates: list[bytes]

    def auth_context(self) -> dict[str, list[bytes]]:
        """As gRPC has it."""
        return {"x509_pem_cert": self.certificates} if self.certificates else {}


def test_caller_of_another_federation(member: Member) -> None:
    """Should an authority ever serve two federations, their members are told apart."""
    a = member("hospital-a")
    assert caller(Shown([a.certificate_pem]), FEDERATION).fingerprint == a.fingerprint
    with pytest.raises(IdentityError, match=r"expected Kidneys, found Lungs & hearts"):
        caller(Shown([a.certificate_pem]), "Kidneys")


@pytest.mark.parametrize("certificates", [[], [b"garbage"], [b"a", b"b"]])
def test_no_caller(certificates: list[bytes]) -> None:
    """Without one certificate nobody is calling."""
    with pytest.raises(IdentityError):
        caller(Shown(certificates), FEDERATION)


def test_caller_without_uri(authority: Authority) -> None:
    """A certificate that names no member, such as the authority's own, is no caller's."""
    with pytest.raises(IdentityError, match="names no member"):
        caller(Shown([authority.certificate_pem]), FEDERATION)


def test_bad_pin(member: Member) -> None:
    """A pin that is no certificate is refused; it is not taken for 'no pin'."""
    for pin in (b"", b"garbage"):
        with pytest.raises(IdentityError, match="pinned peer"):
            channel_credentials(member("hospital-a"), pinned_der=[pin])

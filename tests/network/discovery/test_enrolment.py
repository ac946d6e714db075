"""A node joins with a token, over real loopback connections; nobody in between gets anywhere."""

import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from edge_node.config.names import AGGREGATOR
from edge_node.errors import IdentityError, NetworkError
from edge_node.network.discovery.enrolment import enrol
from edge_node.security.pki.authority import Authority
from edge_node.security.pki.certificate_checks import check_certificate
from edge_node.security.pki.identity import Identity
from edge_node.security.pki.private_keys import generate_key, parse_key
from edge_node.security.pki.signing_requests import signing_request
from edge_node.security.pki.statement import Purpose, Statement
from edge_node.security.pki.tokens import Token
from edge_node.security.tls.credentials import (
    enrolment_server_credentials,
    server_credentials,
    server_options,
)
from tangentmesh.v1 import enrolment_pb2, enrolment_pb2_grpc

Member = Callable[..., Identity]
TIMEOUT = 20.0
DAY = timedelta(days=1)
SPEC = 'name = "Lungs & hearts"\n'


@dataclass
class Office(enrolment_pb2_grpc.EnrolmentServicer):  # type: ignore[misc]
    """An enrolment service that does as it is told, and keeps every request."""

    authority: Authority
    ca_certificate: bytes = b""
    issue: Callable[[enrolment_pb2.EnrolRequest], bytes] | None = None
    refusal: tuple[grpc.StatusCode, str] | None = None
    asked: int = 0
    requests: list[enrolment_pb2.EnrolRequest] = field(default_factory=list)

    def GetAuthority(  # noqa: N802 - gRPC's name
        self, request: enrolment_pb2.GetAuthorityRequest, context: grpc.ServicerContext
    ) -> enrolment_pb2.GetAuthorityReply:
        """The authority's certificate, or what the test wants said."""
        self.asked += 1
        certificate = self.ca_certificate or self.authority.certificate_pem
        return enrolment_pb2.GetAuthorityReply(ca_certificate=certificate)

    def Enrol(  # noqa: N802
        self, request: enrolment_pb2.EnrolRequest, context: grpc.ServicerContext
    ) -> enrolment_pb2.EnrolReply:
        """A certificate, or what the test wants issued."""
        self.requests.append(request)
        if self.refusal:
            context.abort(*self.refusal)
        certificate = (
            self.issue(request)
            if self.issue
            else self.authority.issue(request.csr, node=request.node, lifetime=DAY)
        )
        return enrolment_pb2.EnrolReply(
            certificate=certificate,
            ca_certificate=b"not looked at",
            spec=SPEC,
            discovery="mesh.example:7700",
        )


@contextmanager
def opened(office: Office, credentials: grpc.ServerCredentials) -> Iterator[Token]:
    """Serve an office on a free loopback port; yields a token for it."""
    with ThreadPoolExecutor(2) as pool:
        server = grpc.server(pool, options=server_options())
        enrolment_pb2_grpc.add_EnrolmentServicer_to_server(office, server)
        port = server.add_secure_port("127.0.0.1:0", credentials)
        server.start()
        try:
            yield Token.create(f"127.0.0.1:{port}", "hospital-a", office.authority.fingerprint)
        finally:
            server.stop(None).wait()


@pytest.fixture
def office(authority: Authority) -> Office:
    """The federation's enrolment service."""
    return Office(authority)


@pytest.fixture
def token(office: Office, member: Member) -> Iterator[Token]:
    """A token for it, while it is open."""
    with opened(office, enrolment_server_credentials(member(AGGREGATOR))) as token:
        yield token


def test_enrol(token: Token, office: Office, authority: Authority) -> None:
    """A node gets an identity that holds, the spec, and the discovery service's address."""
    enrolment = enrol(Token.decode(token.encode()), timeout=TIMEOUT)
    identity = enrolment.identity
    assert (enrolment.spec, enrolment.discovery) == (SPEC, "mesh.example:7700")
    assert (identity.node, identity.federation) == ("hospital-a", authority.federation)
    check_certificate(
        identity.certificate_der,
        authority.certificate_pem,
        name="hospital-a",
        federation=authority.federation,
    )
    statement = Statement(Purpose.DEPARTURE, ())
    statement.verify(identity.certificate_der, statement.sign(identity))
    assert identity.ca_pem == authority.certificate_pem


def test_what_is_said(token: Token, office: Office) -> None:
    """The secret goes to the aggregator once; the key is new each time and stays at home."""
    keys = [enrol(token, timeout=TIMEOUT).identity.key_pem for _ in range(2)]
    assert keys[0] != keys[1]
    assert [request.token for request in office.requests] == [token.secret_text] * 2
    for request, key in zip(office.requests, keys, strict=True):
        assert request.node == "hospital-a"
        assert key not in request.SerializeToString()
        assert b"PRIVATE" not in request.SerializeToString()


def test_proxy(token: Token, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy in the environment is not asked."""
    for variable in ("grpc_proxy", "https_proxy", "http_proxy", "HTTPS_PROXY", "HTTP_PROXY"):
        monkeypatch.setenv(variable, "http://127.0.0.1:1")
    for variable in ("no_grpc_proxy", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    assert enrol(token, timeout=TIMEOUT).identity.node == "hospital-a"


def test_another_federation(token: Token, office: Office, foreign_authority: Authority) -> None:
    """An authority other than the token's is refused before the secret is said."""
    other = replace(token, ca_fingerprint=foreign_authority.fingerprint)
    with pytest.raises(IdentityError, match="someone is in between") as caught:
        enrol(other, timeout=TIMEOUT)
    assert caught.value.where == f"aggregator {token.address}"
    assert foreign_authority.fingerprint.hex() in caught.value.expected
    assert caught.value.found == office.authority.fingerprint.hex()
    assert office.asked == 1
    assert office.requests == []


@pytest.mark.parametrize("bundle", [False, True], ids=["alone", "bundled"])
def test_someone_in_between(
    office: Office, foreign_authority: Authority, member: Member, bundle: bool
) -> None:
    """Whoever shows the right authority's certificate, which is public, but is not certified by
    it, is refused before the secret is said; adding an authority of one's own does not help.
    """
    office.ca_certificate = office.authority.certificate_pem
    if bundle:
        office.ca_certificate += foreign_authority.certificate_pem
    attacker = member(AGGREGATOR, authority=foreign_authority)
    with opened(office, enrolment_server_credentials(attacker)) as token:
        with pytest.raises(IdentityError, match="issued by another authority") as caught:
            enrol(token, timeout=TIMEOUT)
        assert token.address in caught.value.where
        assert office.authority.fingerprint.hex() in caught.value.expected
    assert office.requests == []


def test_bundled_authority(
    token: Token, office: Office, authority: Authority, foreign_authority: Authority
) -> None:
    """Only the authority that the token names becomes a root, whatever else is sent with it."""
    office.ca_certificate = authority.certificate_pem + foreign_authority.certificate_pem
    assert enrol(token, timeout=TIMEOUT).identity.ca_pem == authority.certificate_pem


def test_node_in_between(office: Office, member: Member) -> None:
    """A node of the same federation can't pose as its aggregator."""
    with opened(office, enrolment_server_credentials(member("hospital-b"))) as token:
        with pytest.raises(IdentityError, match="a node answers") as caught:
            enrol(token, timeout=TIMEOUT)
        assert caught.value.found.endswith("/node/hospital-b")
    assert (office.asked, office.requests) == (0, [])


@pytest.mark.parametrize(
    ("shift", "complaint"),
    [(timedelta(days=-30), "has expired"), (timedelta(hours=1), "not valid yet")],
)
def test_clocks_apart(office: Office, member: Member, shift: timedelta, complaint: str) -> None:
    """If the clocks differ, the message says so with both times, and the token is kept."""
    aggregator = member(AGGREGATOR, now=datetime.now(UTC) + shift)
    with (
        opened(office, enrolment_server_credentials(aggregator)) as token,
        pytest.raises(IdentityError, match=complaint) as caught,
    ):
        enrol(token, timeout=TIMEOUT)
    assert token.address in caught.value.where
    assert f"{aggregator.expires:%Y-%m-%d %H:%M:%S}" in caught.value.expected
    assert "clock" in caught.value.remedy
    assert office.requests == []


def test_a_certificate_that_is_not_signed_yet(token: Token, office: Office) -> None:
    """Is asked for again, with the same token and key."""
    office.issue, key = lambda _: b"", generate_key()
    assert enrol(token, timeout=TIMEOUT, key_pem=key).identity is None
    office.issue = None
    assert enrol(token, timeout=TIMEOUT, key_pem=key).identity.key_pem == key
    first, second = (x509.load_pem_x509_csr(each.csr) for each in office.requests)
    assert first.public_key() == second.public_key()


@pytest.mark.parametrize(
    ("issue", "complaint"),
    [
        (lambda ca, csr: b"nothing", "not a certificate"),
        (lambda ca, csr: ca.certificate_pem, "key is not the certificate's"),
        (
            lambda ca, csr: ca.issue(
                signing_request(generate_key(), "x"), node="hospital-a", lifetime=DAY
            ),
            "key is not the certificate's",
        ),
        (lambda ca, csr: ca.issue(csr, node="hospital-b", lifetime=DAY), "another member's"),
        (
            lambda ca, csr: ca.issue(csr, node=AGGREGATOR, role="aggregator", lifetime=DAY),
            "another member's",
        ),
        (
            lambda ca, csr: ca.issue(
                csr, node="hospital-a", lifetime=DAY, now=datetime.now(UTC) + DAY
            ),
            "not valid yet.*clock",
        ),
    ],
    ids=["nothing", "authority's", "key", "name", "role", "clock"],
)
def test_wrong_certificate(
    token: Token, office: Office, issue: Callable[[Authority, bytes], bytes], complaint: str
) -> None:
    """A certificate for another key, name, role or time is refused."""
    office.issue = lambda request: issue(office.authority, request.csr)
    with pytest.raises(IdentityError, match=complaint) as caught:
        enrol(token, timeout=TIMEOUT)
    assert token.address in caught.value.where


def test_certificate_of_another_authority(
    token: Token, office: Office, foreign_authority: Authority
) -> None:
    """A certificate by another authority is refused."""
    office.issue = lambda request: foreign_authority.issue(
        request.csr, node="hospital-a", lifetime=DAY
    )
    with pytest.raises(IdentityError, match="another authority"):
        enrol(token, timeout=TIMEOUT)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (grpc.StatusCode.UNAUTHENTICATED, IdentityError),
        (grpc.StatusCode.PERMISSION_DENIED, IdentityError),
        (grpc.StatusCode.ALREADY_EXISTS, IdentityError),
        (grpc.StatusCode.INVALID_ARGUMENT, IdentityError),
        (grpc.StatusCode.FAILED_PRECONDITION, IdentityError),
        (grpc.StatusCode.UNAVAILABLE, NetworkError),
        (grpc.StatusCode.INTERNAL, NetworkError),
    ],
)
def test_refusal(
    token: Token, office: Office, code: grpc.StatusCode, kind: type[IdentityError | NetworkError]
) -> None:
    """What the aggregator says reaches the operator, with the address and what to do."""
    office.refusal = (code, "the token expired at 12:00")
    with pytest.raises(kind, match="the token expired at 12:00") as caught:
        enrol(token, timeout=TIMEOUT)
    assert caught.value.where == f"aggregator {token.address}"
    assert "operator" in caught.value.remedy


def test_nobody_there(token: Token) -> None:
    """A closed port is named, with host, port and reason."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(NetworkError, match="Connection refused") as caught:
        enrol(replace(token, address=f"127.0.0.1:{port}"), timeout=TIMEOUT)
    assert caught.value.where == f"aggregator 127.0.0.1:{port}"


def test_silence(token: Token) -> None:
    """A port that accepts and says nothing is given up after the timeout."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(NetworkError, match="timed out"):
            enrol(replace(token, address=address), timeout=0.05)


def test_impossible_host(token: Token) -> None:
    """A host name that can't be looked up is a network error, too."""
    with pytest.raises(NetworkError, match="can't be reached"):
        enrol(replace(token, address="a..b:7701"), timeout=TIMEOUT)


def test_no_tls(token: Token) -> None:
    """Something that doesn't speak TLS is said to be that."""
    with ThreadPoolExecutor(1) as pool, socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        answered = pool.submit(answer)
        address = f"127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(NetworkError, match="not with TLS"):
            enrol(replace(token, address=address), timeout=TIMEOUT)
        answered.result(TIMEOUT)


def test_another_port_of_the_aggregator(office: Office, member: Member) -> None:
    """A port that asks for a client certificate is not the enrolment port."""
    with opened(office, server_credentials(member(AGGREGATOR))) as token:
        with pytest.raises(NetworkError, match="enrolment service") as caught:
            enrol(token, timeout=TIMEOUT)
        assert token.address in caught.value.where
    assert office.asked == 0


def test_another_server(office: Office, member: Member) -> None:
    """A TLS server that is no member of any federation is said to be that."""
    stranger = replace(member(AGGREGATOR), **self_signed("www.example.org"))
    with (
        opened(office, enrolment_server_credentials(stranger)) as token,
        pytest.raises(IdentityError, match="names no member of a federation"),
    ):
        enrol(token, timeout=TIMEOUT)
    assert office.asked == 0


def self_signed(name: str) -> dict[str, bytes]:
    """Key and certificate of a server somewhere on the internet."""
    key_pem = generate_key()
    key = parse_key(key_pem, where=name)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(subject)
    builder = builder.not_valid_before(now).not_valid_after(now + DAY)
    builder = builder.serial_number(1).public_key(key.public_key())
    certificate = builder.sign(key, SHA256())
    return {"key_pem": key_pem, "certificate_pem": certificate.public_bytes(Encoding.PEM)}

"""A node joins a federation: a one-time token and a signing request become a certificate.

The node knows nobody yet, so trust is built from the authority's fingerprint in the token:

    1. fetch the server's certificate, trusting it for nothing but the next question;
    2. ask over TLS with that certificate for the authority's; compare its SHA-256 with the token;
    3. check that this authority issued the server's certificate, and to the aggregator;
    4. on a new connection that trusts the authority only, send the secret and the request;
    5. check the certificate that comes back.

Someone in between can't get past step 2, and nothing secret is said before step 4.
"""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import grpc

from edge_node.config.names import AGGREGATOR, split_address
from edge_node.errors import IdentityError, NetworkError
from edge_node.security.pki.certificate_checks import check_certificate, check_dates
from edge_node.security.pki.certificates import (
    der_of,
    fingerprint_of,
    parse_certificate,
    pem_of,
    subject_of,
)
from edge_node.security.pki.identity import Identity
from edge_node.security.pki.private_keys import check_key, generate_key
from edge_node.security.pki.signing_requests import signing_request
from edge_node.security.pki.tokens import Token
from edge_node.security.pki.uri import certificate_uri
from edge_node.security.tls.call_errors import enrolment_error, enrolment_unreachable
from edge_node.security.tls.credentials import channel_options
from tangentmesh.v1 import enrolment_pb2, enrolment_pb2_grpc

__all__ = ["Enrolment", "enrol"]

_ASK_AGAIN = "Ask the federation's operator for a new token"
_CHECK_ADDRESS = "Check with the federation's operator that the aggregator runs at this address"


@dataclass(frozen=True)
class Enrolment:
    """What a node has after it enrolled.

    ``spec`` is the federation spec (TOML), ``discovery`` the discovery service's host:port.
    ``identity`` is None while an offline authority has yet to sign it.
    """

    identity: Identity | None
    spec: str
    discovery: str


def enrol(token: Token, *, timeout: float, key_pem: bytes = b"") -> Enrolment:
    """Join the federation that issued the token. Nothing is written; the token is used up.

    The same token and key may be used again where the answer was lost, or where the authority had
    yet to sign the certificate.

    Args:
        token: as the operator gave it.
        key_pem: the key to be certified; default: a new one.
        timeout: seconds for each of the three exchanges with the aggregator.

    Raises:
        NetworkError: the aggregator can't be reached, or something else answers.
        IdentityError: it is not the token's federation; the token is wrong, used, expired or for
            another node; a certificate does not hold (the message says why).
    """
    server_pem = _server_certificate(token.address, timeout)
    federation = _federation(server_pem, token.address)
    ca_pem = _authority(token, server_pem, timeout)
    where = f"certificate of the aggregator at {token.address}"
    check_certificate(server_pem, ca_pem, name=AGGREGATOR, federation=federation, where=where)
    key_pem = key_pem or generate_key()
    request = enrolment_pb2.EnrolRequest(
        node=token.node, token=token.secret_text, csr=signing_request(key_pem, token.node)
    )
    with _stub(token.address, ca_pem) as stub:
        reply: enrolment_pb2.EnrolReply = stub.Enrol(request, timeout=timeout)
    if not reply.certificate:
        return Enrolment(None, reply.spec, reply.discovery)
    where = f"certificate issued by the aggregator at {token.address}"
    certificate_pem = pem_of(reply.certificate, where=where)
    identity = Identity(token.node, federation, key_pem, certificate_pem, ca_pem)
    _check_issued(identity, where)
    return Enrolment(identity, reply.spec, reply.discovery)


def _server_certificate(address: str, timeout: float) -> bytes:
    """Step 1: the certificate that the server shows, PEM, not to be believed yet."""
    try:
        return ssl.get_server_certificate(split_address(address), timeout=timeout).encode()
    except ssl.SSLError as error:
        raise NetworkError(
            "something answers there, but not with TLS",
            where=f"aggregator {address}",
            expected="the aggregator's enrolment port",
            found=error.reason or str(error),
            remedy=_CHECK_ADDRESS,
        ) from error
    except (OSError, UnicodeError) as error:  # a host name that can't be encoded is a UnicodeError
        found = error.strerror if isinstance(error, OSError) else None
        raise enrolment_unreachable(address, found or str(error)) from error


def _federation(server_pem: bytes, address: str) -> str:
    """The federation whose aggregator the server claims to be. TLS would notice a wrong role, a
    wrong clock or an expired certificate, too, but its error would not say which.
    """
    where = f"certificate of the aggregator at {address}"
    certificate = parse_certificate(server_pem, where=where)
    subject = subject_of(certificate, where=where)
    if subject.name != AGGREGATOR:
        raise IdentityError(
            "a node answers where the aggregator should",
            where=where,
            expected=certificate_uri(subject.federation, AGGREGATOR),
            found=certificate_uri(subject.federation, subject.name),
            remedy=_CHECK_ADDRESS,
        )
    check_dates(certificate, where=where, remedy="ask the federation's operator to renew it")
    return subject.federation


def _authority(token: Token, server_pem: bytes, timeout: float) -> bytes:
    """Step 2: the certificate of the token's authority, PEM."""
    with _stub(token.address, server_pem) as stub:
        reply: enrolment_pb2.GetAuthorityReply = stub.GetAuthority(
            enrolment_pb2.GetAuthorityRequest(), timeout=timeout
        )
    where = f"aggregator {token.address}"
    ca_der = der_of(reply.ca_certificate, where=where)
    if fingerprint_of(ca_der) != token.ca_fingerprint:
        raise IdentityError(
            "this aggregator belongs to another federation, or someone is in between",
            where=where,
            expected=f"an authority with fingerprint {token.ca_fingerprint.hex()}",
            found=fingerprint_of(ca_der).hex(),
            remedy="Nothing secret was sent. Compare address and fingerprint with the operator",
        )
    return pem_of(ca_der)  # encoded again: all else in the reply would become a trusted root, too


def _check_issued(identity: Identity, where: str) -> None:
    """Step 5: the certificate is for this key, name and federation, and holds by this clock."""
    certificate = parse_certificate(identity.certificate_pem, where=where)
    check_key(identity.key_pem, certificate, where=where, remedy=_ASK_AGAIN)
    check_certificate(
        identity.certificate_pem,
        identity.ca_pem,
        name=identity.node,
        federation=identity.federation,
        where=where,
        remedy=_ASK_AGAIN,
    )


@contextmanager
def _stub(address: str, roots_pem: bytes) -> Iterator[enrolment_pb2_grpc.EnrolmentStub]:
    """The enrolment service of an aggregator whose certificate, or whose authority's, is given;
    gRPC's errors leave as this project's.
    """
    credentials = grpc.ssl_channel_credentials(roots_pem)
    try:
        with grpc.secure_channel(address, credentials, channel_options(AGGREGATOR)) as channel:
            yield enrolment_pb2_grpc.EnrolmentStub(channel)
    except grpc.RpcError as error:
        raise enrolment_error(error, address) from error

"""Mutual TLS for gRPC: credentials, and the channel and server options that belong to them.

Every connection has two certified ends. A client checks its peer's name; a child that dials its
parent also *pins* the parent's certificate from the plan: it is then the only one trusted, and
another certificate of the same authority and name is refused. A server learns its caller from the
caller's certificate (``caller``). There is no plaintext mode.

gRPC for Python has no setting for the lowest TLS version. It offers 1.2 and 1.3, so two peers of
this project always agree on 1.3.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import grpc

from edge_node.config.names import AGGREGATOR
from edge_node.errors import IdentityError
from edge_node.security.pki.certificate_checks import check_dates
from edge_node.security.pki.certificates import (
    der_of,
    fingerprint_of,
    parse_certificate,
    pem_of,
    subject_of,
)
from edge_node.security.pki.identity import Identity
from edge_node.security.pki.uri import Role

__all__ = [
    "Caller",
    "Options",
    "caller",
    "channel_credentials",
    "channel_options",
    "enrolment_server_credentials",
    "server_credentials",
    "server_options",
]

Options = list[tuple[str, Any]]

_MESSAGE_LIMIT = 4 << 20  # bytes; chunks have 1 MiB, plans of thousands of members fit
_PING_EVERY = 20_000  # ms; finds a dead peer, and keeps a NAT's entry alive while a call waits
_PING_TIMEOUT = 10_000  # ms
_PING_LEAST = 10_000  # ms; servers refuse clients that ping more often
_CONNECT_LEAST = 5_000  # ms that one attempt to connect may take at least, handshake included
_BACKOFF_FIRST, _BACKOFF_MOST = 200, 5_000  # ms between attempts


@dataclass(frozen=True)
class Caller:
    """Who is calling: a node, or the aggregator under the name ``"aggregator"``.

    ``fingerprint`` is the SHA-256 of the caller's certificate (DER, 32 bytes).
    """

    name: str
    role: Role
    fingerprint: bytes


class Context(Protocol):
    """The part of a gRPC servicer's context that says who is calling; sync and async have it."""

    def auth_context(self) -> Mapping[str, Iterable[bytes]]:
        """Properties of the peer as TLS authenticated it."""
        ...


def server_credentials(identity: Identity | Callable[[], Identity]) -> grpc.ServerCredentials:
    """Mutual TLS: callers need a certificate of the federation's authority.

    If ``identity`` is a function, it is asked at each handshake, so that a renewed certificate is
    shown without a restart; connections that stand are not touched. gRPC's threads call it.
    """
    return _server_credentials(identity, mutual=True)


def enrolment_server_credentials(
    identity: Identity | Callable[[], Identity],
) -> grpc.ServerCredentials:
    """TLS with the server's certificate only: a node that enrols has none yet."""
    return _server_credentials(identity, mutual=False)


def _server_credentials(
    identity: Identity | Callable[[], Identity], *, mutual: bool
) -> grpc.ServerCredentials:
    def ask() -> Identity:
        return identity if isinstance(identity, Identity) else identity()

    def configuration(shown: Identity) -> grpc.ServerCertificateConfiguration:
        pair = (shown.key_pem, shown.certificate_pem)
        return grpc.ssl_server_certificate_configuration([pair], shown.ca_pem if mutual else None)

    shown = ask()

    def newer() -> grpc.ServerCertificateConfiguration | None:
        nonlocal shown
        if (now := ask()) == shown:
            return None
        shown = now
        return configuration(now)

    return grpc.dynamic_ssl_server_credentials(
        configuration(shown),
        newer,  # type: ignore[arg-type]  # None keeps the present one, says gRPC's documentation
        require_client_authentication=mutual,
    )


def channel_credentials(
    identity: Identity, *, pinned_der: Sequence[bytes] | None = None
) -> grpc.ChannelCredentials:
    """Mutual TLS for a client.

    Args:
        identity: the client's own.
        pinned_der: the only certificates that the server may show (DER); None: any of the
            federation's authority. Name (``channel_options``) and dates are checked in both cases.

    Raises:
        IdentityError: something in ``pinned_der`` is not a certificate.
    """
    if pinned_der is None:
        roots = identity.ca_pem
    else:
        roots = b"".join(pem_of(pin, where="pinned peer") for pin in pinned_der)
    return grpc.ssl_channel_credentials(roots, identity.key_pem, identity.certificate_pem)


def channel_options(target_name: str | None) -> Options:
    """Options of a client's channel.

    Args:
        target_name: the peer's name (a node's, or ``"aggregator"``), which its certificate must
            carry; None: the host that is dialled.
    """
    options: Options = [
        ("grpc.enable_http_proxy", 0),  # a proxy in the environment is not a peer
        ("grpc.max_send_message_length", _MESSAGE_LIMIT),
        ("grpc.max_receive_message_length", _MESSAGE_LIMIT),
        ("grpc.keepalive_time_ms", _PING_EVERY),
        ("grpc.keepalive_timeout_ms", _PING_TIMEOUT),
        ("grpc.http2.max_pings_without_data", 0),  # no limit: a child waits long for its parent
        ("grpc.initial_reconnect_backoff_ms", _BACKOFF_FIRST),
        ("grpc.min_reconnect_backoff_ms", _CONNECT_LEAST),
        ("grpc.max_reconnect_backoff_ms", _BACKOFF_MOST),
    ]
    if target_name is not None:
        options.append(("grpc.ssl_target_name_override", target_name))
    return options


def server_options() -> Options:
    """Options of a server that ``channel_options`` clients call."""
    return [
        ("grpc.so_reuseport", 0),  # a port in use is an error, not a second server
        ("grpc.max_send_message_length", _MESSAGE_LIMIT),
        ("grpc.max_receive_message_length", _MESSAGE_LIMIT),
        ("grpc.http2.min_ping_interval_without_data_ms", _PING_LEAST),
        ("grpc.keepalive_time_ms", _PING_EVERY),
        ("grpc.keepalive_timeout_ms", _PING_TIMEOUT),
        ("grpc.http2.max_pings_without_data", 0),
    ]


def caller(context: Context, federation: str) -> Caller:
    """Who is calling, from the certificate that TLS has already verified.

    Args:
        context: a servicer's context, of ``grpc`` or ``grpc.aio``.
        federation: the name of this server's federation.

    Raises:
        IdentityError: no certificate, one that names no member, another federation's, or one that
            has ended since the connection was made.
    """
    certificates = list(context.auth_context().get("x509_pem_cert", ()))
    if len(certificates) != 1:
        raise IdentityError(
            "the caller showed no certificate", where="incoming call", remedy="Enrol the caller"
        )
    certificate = parse_certificate(certificates[0], where="certificate of the caller")
    subject = subject_of(certificate, where="certificate of the caller")
    check_dates(certificate, where=f"certificate of {subject.name}", remedy="`edge-node renew`")
    if subject.federation != federation:
        raise IdentityError(
            "the caller belongs to another federation",
            where=f"certificate of {subject.name}",
            expected=federation,
            found=subject.federation,
        )
    role: Role = "aggregator" if subject.name == AGGREGATOR else "node"
    return Caller(subject.name, role, fingerprint_of(der_of(certificates[0])))

"""Why a connection can't be made: gRPC says "failed to connect", this module says what is wrong.

The peer is dialled once more, only to look at the certificate that it shows; nothing is sent.
"""

import ssl
from collections.abc import Collection
from datetime import datetime

from edge_node.config.names import split_address
from edge_node.errors import IdentityError, NetworkError, TangentMeshError
from edge_node.security.pki.certificate_checks import check_certificate
from edge_node.security.pki.certificates import fingerprint_of, parse_certificate
from edge_node.security.pki.identity import Identity

__all__ = ["explain_failure"]

_SECONDS = 3.0
_CLOCK = "check both machines' clocks; if they are right, the peer's operator must renew it"


def explain_failure(
    address: str,
    *,
    name: str,
    identity: Identity,
    pinned: Collection[bytes] = (),
    now: datetime | None = None,
) -> TangentMeshError:
    """What is wrong between this machine and a peer that gRPC could not connect to.

    Args:
        address: host:port that was dialled.
        name: the member's name that is expected there, a node's or ``"aggregator"``.
        identity: this node's.
        pinned: SHA-256 of the only certificates that the peer may show; empty: any of the
            federation.
        now: an aware datetime; default: the machine's clock.
    """
    where = f"{name} at {address}"
    try:
        shown = ssl.get_server_certificate(split_address(address), timeout=_SECONDS).encode()
    except (OSError, UnicodeError) as error:  # ssl.SSLError is an OSError
        return _no_certificate(error, where)
    try:
        check_certificate(
            shown,
            identity.ca_pem,
            name=name,
            federation=identity.federation,
            now=now,
            where=f"certificate of {where}",
            remedy=_CLOCK,
        )
        _check_pinned(shown, pinned, where)
        _check_own(identity, now)
    except IdentityError as error:
        return error
    return _refused(identity, where)


def _refused(identity: Identity, where: str) -> NetworkError:
    """The peer can be believed, but doesn't believe this node."""
    return NetworkError(
        "the peer's certificate is right, but it ended the connection",
        where=where,
        expected="a peer that trusts this node's certificate",
        found=_described(identity),
        remedy="It may have just restarted. If this stays, check that it has the same authority,"
        " and that its clock is right",
    )


def _no_certificate(error: OSError | UnicodeError, where: str) -> NetworkError:
    """Nobody answers, or not with TLS."""
    if isinstance(error, ssl.SSLError):
        return NetworkError(
            "something answers there, but not with TLS",
            where=where,
            found=error.reason or str(error),
            remedy="Check host and port",
        )
    found = (error.strerror if isinstance(error, OSError) else None) or str(error)
    return NetworkError(
        "nothing answers there",
        where=where,
        found=found,
        remedy="Check that it runs, that its name leads to its machine, and that no firewall is in"
        " between",
    )


def _check_own(identity: Identity, now: datetime | None) -> None:
    """Check that peers can believe this node. Raises IdentityError."""
    check_certificate(
        identity.certificate_der,
        identity.ca_pem,
        name=identity.node,
        federation=identity.federation,
        now=now,
        where=f"this node's own certificate ({identity.node})",
        remedy=f"`edge-node renew`; once it has ended, `aggregator token {identity.node}"
        " --replace`",
    )


def _check_pinned(shown: bytes, pinned: Collection[bytes], where: str) -> None:
    certificate = parse_certificate(shown, where=where)
    fingerprint = fingerprint_of(ssl.PEM_cert_to_DER_cert(shown.decode()))
    if pinned and fingerprint not in pinned:
        raise IdentityError(
            "the peer shows another certificate than the plan names",
            where=f"certificate of {where}",
            expected=f"fingerprint {' or '.join(each.hex() for each in pinned)}",
            found=f"fingerprint {fingerprint.hex()}, from"
            f" {certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC",
            remedy="It may have renewed it: the next plan says so. If this stays, two machines run"
            " with one node's identity, or somebody is in between",
        )


def _described(identity: Identity) -> str:
    begins, ends = identity.life
    return (
        f"{identity.node}, fingerprint {identity.fingerprint.hex()[:16]},"
        f" from {begins:%Y-%m-%d %H:%M} to {ends:%Y-%m-%d %H:%M} UTC"
    )

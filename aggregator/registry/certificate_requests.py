"""Certificate requests that an offline authority has yet to sign: the newest of each name."""

import enum
import sqlite3
from dataclasses import dataclass
from typing import Any

from aggregator.registry.database import Database
from edge_node.errors import RefusedError
from edge_node.security.pki.signing_requests import requested_key

__all__ = [
    "CertificateRequest",
    "CertificateRequests",
    "RequestKind",
    "drop_request",
    "put_renewal_request",
    "put_request",
]


class RequestKind(enum.StrEnum):
    """Why a certificate is requested."""

    ENROLMENT = "enrolment"
    RENEWAL = "renewal"
    AGGREGATOR = "aggregator"


@dataclass(frozen=True, slots=True)
class CertificateRequest:
    """A request for a certificate.

    Args:
        node: the name that the certificate shall have.
        kind: why it is requested.
        csr: the signing request, PEM.
        proof: signature by the key of the certificate before; empty if there is none.
        requested_at: UNIX seconds.
    """

    node: str
    kind: RequestKind
    csr: bytes
    proof: bytes
    requested_at: float

    def is_for(self, csr_pem: bytes) -> bool:
        """Whether another request is for the same key. Raises IdentityError."""
        return requested_key(self.csr, self.node) == requested_key(csr_pem, self.node)


_SELECT = "SELECT node, kind, csr, proof, requested_at FROM requests"


class CertificateRequests:
    """The requests in a database. Every method raises MachineError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self) -> list[CertificateRequest]:
        """All of them, by name."""
        rows = self._database.read(f"{_SELECT} ORDER BY node")
        return [_request(row) for row in rows]

    def of(self, node: str) -> CertificateRequest | None:
        """The request of a node; None: there is none."""
        return next((each for each in self.all() if each.node == node), None)

    def drop(self, node: str) -> None:
        """Forget a node's request."""
        with self._database.transaction() as cursor:
            drop_request(cursor, node)


def put_request(cursor: sqlite3.Cursor, request: CertificateRequest) -> None:
    """Keep a request instead of an earlier one, in a transaction that is open."""
    cursor.execute(
        "INSERT OR REPLACE INTO requests VALUES (?, ?, ?, ?, ?)",
        (request.node, request.kind, request.csr, request.proof, request.requested_at),
    )


def put_renewal_request(cursor: sqlite3.Cursor, request: CertificateRequest) -> None:
    """Keep a request to renew, unless one for the same key is there, in an open transaction.

    Whoever enrols a new key does so with a token, because the old key may have been stolen. So the
    old key's owner can't put a request in the place of that one. Raises RefusedError.
    """
    row = cursor.execute(f"{_SELECT} WHERE node = ?", (request.node,)).fetchone()
    kept = _request(row) if row else None
    if kept is not None and kept.kind is RequestKind.ENROLMENT:
        raise RefusedError(
            f"{request.node} enrols anew, with another key: this one renews nothing",
            remedy=f"If that is not right, the federation's operator can make another token"
            f" (`aggregator token {request.node} --replace`)",
        )
    if kept is None or not kept.is_for(request.csr):
        put_request(cursor, request)


def drop_request(cursor: sqlite3.Cursor, node: str) -> None:
    """Forget a node's request, in a transaction that is open."""
    cursor.execute("DELETE FROM requests WHERE node = ?", (node,))


def _request(row: tuple[Any, ...]) -> CertificateRequest:
    node, kind, *rest = row
    return CertificateRequest(node, RequestKind(kind), *rest)

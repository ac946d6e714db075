"""Certificate requests that an offline authority has yet to sign: the newest of each name."""

import enum
import sqlite3
from dataclasses import dataclass

from aggregator.registry.database import Database
from edge_node.security.pki.signing_requests import requested_key

__all__ = [
    "CertificateRequest",
    "CertificateRequests",
    "RequestKind",
    "drop_request",
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


class CertificateRequests:
    """The requests in a database. Every method raises MachineError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self) -> list[CertificateRequest]:
        """All of them, by name."""
        rows = self._database.read(
            "SELECT node, kind, csr, proof, requested_at FROM requests ORDER BY node"
        )
        return [CertificateRequest(node, RequestKind(kind), *rest) for node, kind, *rest in rows]

    def of(self, node: str) -> CertificateRequest | None:
        """The request of a node; None: there is none."""
        return next((each for each in self.all() if each.node == node), None)

    def put(self, request: CertificateRequest) -> None:
        """Keep a request, unless one for the same key is there."""
        kept = self.of(request.node)
        if kept is None or not kept.is_for(request.csr):
            with self._database.transaction() as cursor:
                put_request(cursor, request)

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


def drop_request(cursor: sqlite3.Cursor, node: str) -> None:
    """Forget a node's request, in a transaction that is open."""
    cursor.execute("DELETE FROM requests WHERE node = ?", (node,))

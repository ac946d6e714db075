"""What an authority whose key is elsewhere has yet to sign: one request a name, the newest."""

import enum
import sqlite3
from dataclasses import dataclass

from aggregator.registry.database import Database
from edge_node.security.pki.signing_requests import requested_key

__all__ = ["Kind", "Request", "Requests"]


class Kind(enum.StrEnum):
    """Why a certificate is asked for."""

    ENROLMENT = "enrolment"
    RENEWAL = "renewal"
    AGGREGATOR = "aggregator"


@dataclass(frozen=True, slots=True)
class Request:
    """A certificate that is asked for.

    Args:
        node: the name it shall carry.
        kind: why.
        csr: the signing request, PEM.
        proof: by the key of the certificate before; empty if there is none.
        requested_at: UNIX seconds.
    """

    node: str
    kind: Kind
    csr: bytes
    proof: bytes
    requested_at: float

    def is_for(self, csr_pem: bytes) -> bool:
        """Whether another request is for the same key. Raises IdentityError."""
        return requested_key(self.csr, self.node) == requested_key(csr_pem, self.node)


class Requests:
    """The requests in a database. Every method raises MachineError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self) -> list[Request]:
        """All of them, by name."""
        rows = self._database.read(
            "SELECT node, kind, csr, proof, requested_at FROM requests ORDER BY node"
        )
        return [Request(node, Kind(kind), *rest) for node, kind, *rest in rows]

    def of(self, node: str) -> Request | None:
        """The request of a node; None: there is none."""
        return next((each for each in self.all() if each.node == node), None)

    def put(self, request: Request, cursor: sqlite3.Cursor | None = None) -> None:
        """Keep a request, unless one for the same key is there, in a transaction if one is open."""
        if cursor is None:
            kept = self.of(request.node)
            if kept is not None and kept.is_for(request.csr):
                return
            with self._database.transaction() as own:
                self.put(request, own)
            return
        cursor.execute(
            "INSERT OR REPLACE INTO requests VALUES (?, ?, ?, ?, ?)",
            (request.node, request.kind, request.csr, request.proof, request.requested_at),
        )

    def drop(self, node: str, cursor: sqlite3.Cursor | None = None) -> None:
        """Forget a node's request."""
        if cursor is None:
            with self._database.transaction() as own:
                self.drop(node, own)
            return
        cursor.execute("DELETE FROM requests WHERE node = ?", (node,))

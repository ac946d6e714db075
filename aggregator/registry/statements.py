"""The SQL of the registry's transactions: tokens, nodes, certificates.

Each function takes the cursor of a transaction that is open.
"""

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from edge_node.errors import IdentityError, RefusedError

__all__ = [
    "Denial",
    "EnrolledNode",
    "adopt",
    "certificates",
    "check_in_force",
    "check_name",
    "deny",
    "put",
    "use_token",
]

_NEW_TOKEN = "Ask the federation's operator for a new token (`aggregator token NODE`)"  # noqa: S105


@dataclass(frozen=True, slots=True)
class EnrolledNode:
    """A node and its newest certificate (DER); ``fingerprint`` is its SHA-256."""

    name: str
    certificate: bytes
    fingerprint: bytes
    enrolled_at: float


@dataclass(frozen=True, slots=True)
class Denial:
    """A denied certificate, the node that it was issued to, and why it is denied."""

    fingerprint: bytes
    node: str
    reason: str
    denied_at: float

    def error(self) -> RefusedError:
        """What its owner is told."""
        date = datetime.fromtimestamp(self.denied_at, UTC)
        return RefusedError(
            f"the certificate of {self.node} was denied",
            found=f"{date:%Y-%m-%d %H:%M} UTC: {self.reason}",
            remedy="If the node has enrolled again since, restart it. Otherwise ask the"
            f" federation's operator, who can allow it again (`aggregator allow {self.node}`) or"
            f" invite a new key (`aggregator token {self.node} --replace`)",
        )


def use_token(cursor: sqlite3.Cursor, digest: bytes, node: str, now: float) -> None:
    """Consume a token. Raises IdentityError if it isn't good, RefusedError as ``check_name``."""
    replaces = _check_token(cursor, digest, node, now)
    check_name(cursor, node, replaces)
    cursor.execute("UPDATE tokens SET used_at = ? WHERE hash = ?", (now, digest))


def put(cursor: sqlite3.Cursor, node: EnrolledNode, now: float) -> None:
    """Keep a node's first certificate, or one that voids its earlier ones."""
    reason = "another certificate was issued since, to a new key"
    deny(cursor, certificates(cursor, node.name, reason, now))
    cursor.execute("DELETE FROM nodes WHERE name = ?", (node.name,))
    cursor.execute(
        "INSERT INTO nodes VALUES (?, ?, ?, ?)",
        (node.name, node.certificate, node.fingerprint, node.enrolled_at),
    )


def certificates(cursor: sqlite3.Cursor, node: str, reason: str, now: float) -> list[Denial]:
    """A node's certificates, for the denylist."""
    rows = cursor.execute(
        "SELECT fingerprint FROM nodes WHERE name = ?1"
        " UNION SELECT fingerprint FROM renewals WHERE node = ?1",
        (node,),
    )
    return [Denial(fingerprint, node, reason, now) for (fingerprint,) in rows]


def deny(cursor: sqlite3.Cursor, denials: Iterable[Denial]) -> None:
    """Put certificates on the denylist; what was there before stays as it was."""
    cursor.executemany(
        "INSERT OR IGNORE INTO denials VALUES (?, ?, ?, ?)",
        [(each.fingerprint, each.node, each.reason, each.denied_at) for each in denials],
    )


def adopt(cursor: sqlite3.Cursor, fingerprints: Iterable[bytes]) -> None:
    """Put the renewed certificates among these in force."""
    renewed = cursor.execute("SELECT fingerprint, certificate, node FROM renewals").fetchall()
    named = set(fingerprints)
    adopted = [row for row in renewed if row[0] in named]
    cursor.executemany("UPDATE nodes SET fingerprint = ?, certificate = ? WHERE name = ?", adopted)
    cursor.executemany("DELETE FROM renewals WHERE fingerprint = ?", [(r[0],) for r in adopted])


def check_in_force(cursor: sqlite3.Cursor, node: str, fingerprint: bytes) -> None:
    """Check that a certificate is the one in force, and not denied. Raises RefusedError.

    Another program may have denied it, or another machine enrolled in its place, since the caller
    looked: what is renewed now would outlive that.
    """
    good = cursor.execute(
        "SELECT 1 FROM nodes WHERE name = ?1 AND fingerprint = ?2"
        " AND fingerprint NOT IN (SELECT fingerprint FROM denials)",
        (node, fingerprint),
    ).fetchone()
    if not good:
        raise RefusedError(
            f"the certificate of {node} was denied or replaced in the meantime",
            found=f"fingerprint {fingerprint.hex()[:16]}",
            remedy="Ask the federation's operator (`aggregator denied` lists what is denied)",
        )


def check_name(cursor: sqlite3.Cursor, node: str, replace: bool) -> None:
    """Check that a name is free, or taken if it is to be replaced. Raises RefusedError."""
    row = cursor.execute("SELECT 1 FROM nodes WHERE name = ?", (node,)).fetchone()
    if row and not replace:
        raise RefusedError(
            "a node of this name is enrolled already",
            where=node,
            expected="another name for another node",
            remedy=f"If it has lost its key: `aggregator token {node} --replace`",
        )
    if replace and not row:
        raise RefusedError(
            "no node of this name is enrolled, so there is nothing to replace",
            where=node,
            remedy="Check the name with `aggregator status`, or leave out --replace",
        )


def _check_token(cursor: sqlite3.Cursor, digest: bytes, node: str, now: float) -> bool:
    """Whether a good token replaces a certificate. Raises IdentityError if it isn't good."""
    row = cursor.execute(
        "SELECT node, expires_at, replaces, used_at FROM tokens WHERE hash = ?", (digest,)
    ).fetchone()
    problem, found = "", ""
    if row is None:
        problem = "the aggregator does not know this enrolment token"
    elif row[0] != node:
        problem, found = "the enrolment token is for another node", repr(node)
    elif row[3] is not None:
        problem = "the enrolment token was used already"
    elif now > row[1]:
        problem, found = "the enrolment token has expired", f"{now - row[1]:.0f} s too late"
    if problem:
        raise IdentityError(problem, where=f"node {node}", found=found, remedy=_NEW_TOKEN)
    return bool(row[2])

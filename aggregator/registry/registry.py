"""What the aggregator must not forget: enrolled nodes, open tokens, the newest plan.

Each change is one transaction and is on disk when it returns; heartbeats come in batches, one
transaction each. The running server is the only one that enrols and plans; `aggregator token` and
`status` may use the file at the same time. All times are UNIX seconds.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

import msgspec

from aggregator.registry.certificate_requests import (
    CertificateRequest,
    CertificateRequests,
    drop_request,
    put_renewal_request,
    put_request,
)
from aggregator.registry.database import PATIENCE, Database
from aggregator.registry.statements import (
    Denial,
    EnrolledNode,
    adopt,
    certificates,
    check_in_force,
    check_name,
    deny,
    put,
    use_token,
)
from edge_node.errors import RefusedError
from edge_node.federation.plan import Plan
from edge_node.federation.report import Report
from edge_node.network.wire.plan import parse_plan, plan_message
from edge_node.security.disclosure.departure import Departure
from tangentmesh.v1 import discovery_pb2

__all__ = ["Denial", "EnrolledNode", "Heartbeat", "Registry"]

_PLANS_KEPT = 100


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """What a node said last, and when."""

    node: str
    report: Report
    last_seen: float


class Registry:
    """Open it with ``open``; threads may share it. Whoever opens it closes it.

    Every method raises MachineError if the database can't be read or written.

    Attributes:
        database: where everything is.
        requests: certificate requests that an offline authority has yet to sign.
    """

    def __init__(self, database: Database) -> None:
        self.database = database
        self.requests = CertificateRequests(database)

    @classmethod
    def open(cls, path: Path | Literal[":memory:"], *, patience: float = PATIENCE) -> Self:
        """Open the database and create its tables if it is new. Raises MachineError.

        ``patience`` is for how many seconds another program may write before that is an error.
        """
        return cls(Database.open(path, patience=patience))

    def close(self) -> None:
        """Close the database."""
        self.database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def add_token(
        self, digest: bytes, node: str, *, expires_at: float, replace: bool = False
    ) -> None:
        """Let ``node`` enrol once. Earlier tokens of the node are void from now on.

        Args:
            digest: the secret's hash.
            node: the only name that the token is good for.
            expires_at: the last moment.
            replace: whether the node has a certificate that this one shall replace.

        Raises:
            RefusedError: the name is enrolled and not to be replaced, or the other way round.
        """
        with self.database.transaction() as cursor:
            check_name(cursor, node, replace)
            cursor.execute("DELETE FROM tokens WHERE node = ? AND used_at IS NULL", (node,))
            cursor.execute(
                "INSERT INTO tokens (hash, node, expires_at, replaces) VALUES (?, ?, ?, ?)",
                (digest, node, expires_at, replace),
            )

    def enrol(
        self, digest: bytes, node: str, *, now: float, issue: Callable[[], EnrolledNode]
    ) -> EnrolledNode:
        """Consume a token and remember the node, in the transaction that issues its certificate.

        Args:
            digest: the hash of the secret that came with the request.
            node: the name that came with it.
            now: the clock.
            issue: makes the certificate; if it raises, the token is not used up.

        Raises:
            IdentityError: the token is unknown, used, expired or for another node.
            RefusedError: the name was enrolled with another token in the meantime.
        """
        with self.database.transaction() as cursor:
            use_token(cursor, digest, node, now)
            enrolled = issue()
            put(cursor, enrolled, now)
        return enrolled

    def redeem_for(self, request: CertificateRequest, digest: bytes, *, now: float) -> None:
        """Consume a token, and keep the request for the offline authority.

        Raises:
            IdentityError, RefusedError: as ``enrol``.
        """
        with self.database.transaction() as cursor:
            use_token(cursor, digest, request.node, now)
            put_request(cursor, request)

    def redeemed(self, digest: bytes) -> str:
        """The node that has used a token; empty: none has."""
        rows = self.database.read(
            "SELECT node FROM tokens WHERE hash = ? AND used_at IS NOT NULL", digest
        )
        return str(rows[0][0]) if rows else ""

    def keep_enrolment(self, node: EnrolledNode, *, now: float) -> None:
        """Keep the first certificate that an offline authority has issued for a node."""
        with self.database.transaction() as cursor:
            put(cursor, node, now)
            drop_request(cursor, node.name)

    def nodes(self) -> list[EnrolledNode]:
        """All enrolled nodes, by name."""
        rows = self.database.read("SELECT * FROM nodes ORDER BY name")
        return [EnrolledNode(*row) for row in rows]

    def request_renewal(self, request: CertificateRequest, *, before: bytes) -> None:
        """Keep a request to renew for the offline authority, unless one for the same key is there.

        ``before`` is the fingerprint of the certificate that is renewed.

        Raises:
            RefusedError: it is not in force any more, or denied; or its node enrols anew.
        """
        with self.database.transaction() as cursor:
            check_in_force(cursor, request.node, before)
            put_renewal_request(cursor, request)

    def keep_renewal(self, renewed: EnrolledNode, *, before: bytes) -> None:
        """Keep a certificate that will replace the one in force; an earlier such one is void.

        ``before`` is the fingerprint of the certificate that is renewed. Raises RefusedError if it
        is not in force any more, or denied.
        """
        with self.database.transaction() as cursor:
            check_in_force(cursor, renewed.name, before)
            cursor.execute(
                "INSERT OR REPLACE INTO renewals VALUES (?, ?, ?)",
                (renewed.name, renewed.certificate, renewed.fingerprint),
            )

    def renewals(self) -> dict[str, EnrolledNode]:
        """Nodes that have a renewed certificate, by name, with that certificate."""
        rows = self.database.read(
            "SELECT node, r.certificate, r.fingerprint, enrolled_at"
            " FROM renewals r JOIN nodes ON node = name"
        )
        return {row[0]: EnrolledNode(*row) for row in rows}

    def adopt(self, fingerprints: Iterable[bytes]) -> None:
        """Put renewed certificates in force."""
        with self.database.transaction() as cursor:
            adopt(cursor, fingerprints)

    def remove(
        self, node: str, *, reason: str, now: float, departure: Departure | None = None
    ) -> list[Denial]:
        """Take a node out; its certificates are denied.

        Args:
            node: its name, which is free from now on.
            reason: is told to its owner, and kept for the record.
            now: the clock.
            departure: its consent, for the others; None: it gives none.

        Returns:
            Its certificates, now denied.

        Raises:
            RefusedError: no node of this name is enrolled.
        """
        with self.database.transaction() as cursor:
            if not (denials := certificates(cursor, node, reason, now)):
                raise RefusedError(
                    "no node of this name is enrolled",
                    where=node,
                    remedy="Check the name with `aggregator status`",
                )
            deny(cursor, denials)
            drop_request(cursor, node)
            cursor.execute("DELETE FROM nodes WHERE name = ?", (node,))
            if departure is not None:
                cursor.execute(
                    "INSERT OR REPLACE INTO departures VALUES (?, ?, ?, ?)",
                    (node, departure.certificate, departure.epoch, departure.signature),
                )
        return denials

    def departures(self) -> list[Departure]:
        """The consents of nodes that have left, by name."""
        rows = self.database.read("SELECT * FROM departures ORDER BY node")
        return [Departure(*row) for row in rows]

    def deny(self, denials: Iterable[Denial]) -> None:
        """Put certificates on the denylist; what was there before stays as it was."""
        with self.database.transaction() as cursor:
            deny(cursor, denials)

    def allow(self, fingerprints: Iterable[bytes]) -> None:
        """Take certificates off the denylist."""
        with self.database.transaction() as cursor:
            cursor.executemany(
                "DELETE FROM denials WHERE fingerprint = ?", [(each,) for each in fingerprints]
            )

    def denials(self) -> list[Denial]:
        """The denylist, by node and date."""
        rows = self.database.read(
            "SELECT fingerprint, node, reason, denied_at FROM denials ORDER BY node, denied_at"
        )
        return [Denial(*row) for row in rows]

    def record(self, heartbeats: Iterable[Heartbeat]) -> None:
        """Keep the newest heartbeat of each node; those of unknown nodes are dropped."""
        with self.database.transaction() as cursor:
            cursor.executemany(
                "INSERT INTO heartbeats SELECT name, ?2, ?3 FROM nodes WHERE name = ?1"
                " ON CONFLICT (node) DO UPDATE SET"
                " report = excluded.report, last_seen = excluded.last_seen",
                [(h.node, msgspec.msgpack.encode(h.report), h.last_seen) for h in heartbeats],
            )

    def heartbeats(self) -> dict[str, Heartbeat]:
        """The newest heartbeat of each node that was ever heard, by name."""
        rows = self.database.read("SELECT node, report, last_seen FROM heartbeats ORDER BY node")
        return {
            node: Heartbeat(node, msgspec.msgpack.decode(report, type=Report), last_seen)
            for node, report, last_seen in rows
        }

    def save_plan(self, plan: Plan) -> None:
        """Keep a plan, before any node gets it; renewed certificates that it names are adopted.

        Raises:
            ValueError: its epoch is not greater than every epoch before.
        """
        with self.database.transaction() as cursor:
            (newest,) = cursor.execute("SELECT coalesce(max(epoch), 0) FROM plans").fetchone()
            if plan.epoch <= newest:
                raise ValueError(f"epoch {plan.epoch} is not greater than {newest}")
            message = plan_message(plan).SerializeToString()
            cursor.execute("INSERT INTO plans VALUES (?, ?)", (plan.epoch, message))
            cursor.execute("DELETE FROM plans WHERE epoch <= ?", (plan.epoch - _PLANS_KEPT,))
            adopt(cursor, (member.fingerprint for member in plan.members))

    def latest_plan(self) -> Plan | None:
        """The newest plan; None: there was none yet."""
        rows = self.database.read("SELECT plan FROM plans ORDER BY epoch DESC LIMIT 1")
        return parse_plan(discovery_pb2.Plan.FromString(rows[0][0])) if rows else None

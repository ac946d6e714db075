"""The aggregator's embedded SQLite database: transactions, and versions of the tables.

Each change is one transaction and is on disk when it returns (write-ahead log, `synchronous =
FULL`). Threads may share a database, and other programs may use the file at the same time.
"""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, Self

from edge_node.errors import MachineError

__all__ = ["PATIENCE", "VERSIONS", "Database"]

VERSIONS = (
    """
CREATE TABLE nodes (
    name TEXT PRIMARY KEY, certificate BLOB NOT NULL, fingerprint BLOB NOT NULL,
    enrolled_at REAL NOT NULL
) STRICT;
CREATE TABLE tokens (
    hash BLOB PRIMARY KEY, node TEXT NOT NULL, expires_at REAL NOT NULL,
    replaces INTEGER NOT NULL, used_at REAL
) STRICT;
CREATE TABLE heartbeats (
    node TEXT PRIMARY KEY REFERENCES nodes (name) ON DELETE CASCADE,
    report BLOB NOT NULL, last_seen REAL NOT NULL
) STRICT;
CREATE TABLE plans (epoch INTEGER PRIMARY KEY, plan BLOB NOT NULL) STRICT;
""",
    """
CREATE TABLE renewals (
    node TEXT PRIMARY KEY REFERENCES nodes (name) ON DELETE CASCADE,
    certificate BLOB NOT NULL, fingerprint BLOB NOT NULL
) STRICT;
CREATE TABLE denials (
    fingerprint BLOB PRIMARY KEY, node TEXT NOT NULL, reason TEXT NOT NULL, denied_at REAL NOT NULL
) STRICT;
CREATE TABLE requests (
    node TEXT PRIMARY KEY, kind TEXT NOT NULL, csr BLOB NOT NULL, proof BLOB NOT NULL,
    requested_at REAL NOT NULL
) STRICT;
""",
    """
CREATE TABLE departures (
    node TEXT PRIMARY KEY, certificate BLOB NOT NULL, epoch INTEGER NOT NULL,
    signature BLOB NOT NULL
) STRICT;
""",
)
"""What each version adds to the one before; a version that was released is never changed."""

PATIENCE = 5.0  # seconds for which another program may write before it is an error
_REMEDIES = {
    sqlite3.SQLITE_BUSY: "End the program that keeps it locked",
    sqlite3.SQLITE_FULL: "Free some space on the disk",
    sqlite3.SQLITE_READONLY: "Make it writable for the user that runs this program",
}


class Database:
    """Open it with ``open``. Whoever opens it closes it.

    Every method raises MachineError if the database can't be read or written.
    """

    def __init__(self, connection: sqlite3.Connection, where: str) -> None:
        self._connection = connection
        self._where = where
        self._lock = threading.RLock()

    @classmethod
    def open(cls, path: Path | Literal[":memory:"], *, patience: float = PATIENCE) -> Self:
        """Open the database; its tables are made, or brought to the newest version.

        ``patience`` is for how many seconds another program may write before that is an error.
        """
        where = str(path)
        with _machine_errors(where):
            connection = sqlite3.connect(where, isolation_level=None, check_same_thread=False)
        database = cls(connection, where)
        try:
            database._prepare(patience)
        except BaseException:
            connection.close()
            raise
        return database

    def close(self) -> None:
        """Close the database."""
        with self._lock:
            self._connection.close()

    def read(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """All rows that a query finds."""
        with self._lock, _machine_errors(self._where):
            return self._connection.execute(query, values).fetchall()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Cursor]:
        """All of it or nothing; nobody else writes meanwhile."""
        with self._lock, _machine_errors(self._where):
            cursor = self._connection.cursor()
            cursor.execute("BEGIN IMMEDIATE")
            try:
                yield cursor
                cursor.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    cursor.execute("ROLLBACK")
                raise

    def _prepare(self, patience: float) -> None:
        with self._lock, _machine_errors(self._where):
            for pragma in (
                f"busy_timeout = {round(1000 * patience)}",
                "journal_mode = WAL",
                "synchronous = FULL",
                "foreign_keys = ON",
            ):
                self._connection.execute(f"PRAGMA {pragma}")
        with self.transaction() as cursor:
            (version,) = cursor.execute("PRAGMA user_version").fetchone()
            if version > len(VERSIONS):
                raise MachineError(
                    "the registry was written by another version of this program",
                    where=self._where,
                    expected=f"version {len(VERSIONS)} or an earlier one",
                    found=f"version {version}",
                    remedy="Run the program's newest version",
                )
            for script in VERSIONS[version:]:
                for statement in script.split(";"):
                    cursor.execute(statement)
            cursor.execute(f"PRAGMA user_version = {len(VERSIONS)}")


@contextmanager
def _machine_errors(where: str) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the rest says more than is needed
        raise MachineError(
            "the registry can't be read or written",
            where=where,
            found=str(error),
            remedy=_REMEDIES.get(code, "Check the disk, and that the directory is this user's"),
        ) from error

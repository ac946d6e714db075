"""Certificates that must not be believed any longer, though their dates and issuer are right.

The aggregator sends the list with its answers to heartbeats. The list is kept on disk, so that a
node that restarts while the aggregator is down goes on refusing. It counts for calls in progress,
too: they break off as soon as their peer is on it.
"""

import asyncio
import hashlib
import logging
from collections.abc import Coroutine, Iterable
from pathlib import Path
from typing import Any, TypeVar

from edge_node.errors import IdentityError
from edge_node.security.files import write_atomically

__all__ = ["Denylist"]

_log = logging.getLogger(__name__)
_DIGEST = 32  # bytes of a SHA-256
T = TypeVar("T")


class Denylist:
    """SHA-256 fingerprints of certificates, kept in a file of one hexadecimal line each.

    Args:
        path: the file; None: it is kept in memory only.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._denied = _read(path) if path and path.exists() else frozenset()
        self._changed = asyncio.Event()

    def __contains__(self, fingerprint: bytes) -> bool:
        return fingerprint in self._denied

    @property
    def digest(self) -> bytes:
        """SHA-256 of the list: two nodes with the same list have the same digest."""
        return hashlib.sha256(b"".join(sorted(self._denied))).digest()

    def replace(self, fingerprints: Iterable[bytes]) -> None:
        """Take another list.

        Raises:
            IdentityError: it is malformed; nothing has changed.
            MachineError: it can't be written to disk; it counts nevertheless.
        """
        denied = frozenset(fingerprints)
        if any(len(each) != _DIGEST for each in denied):
            raise IdentityError("not a denylist", expected=f"fingerprints of {_DIGEST} bytes")
        if denied == self._denied:
            return
        self._denied = denied  # counts at once, even if the disk can't be written
        self._changed.set()
        self._changed = asyncio.Event()
        if self._path is not None:
            lines = "".join(f"{each.hex()}\n" for each in sorted(denied))
            write_atomically(self._path, lines.encode())

    def check(self, name: str, fingerprint: bytes) -> None:
        """Check that a peer's certificate is not denied. Raises IdentityError."""
        if fingerprint in self._denied:
            raise IdentityError(
                "the certificate was denied by the federation's operator",
                where=f"certificate of {name}",
                found=f"fingerprint {fingerprint.hex()}",
                remedy=f"Its owner asks the operator why: `aggregator allow {name}` lifts it,"
                f" `aggregator token {name} --replace` lets it enrol with a new key",
            )

    async def while_allowed(self, name: str, fingerprint: bytes, work: Coroutine[Any, Any, T]) -> T:
        """Do ``work`` with a peer unless, or until, its certificate is denied.

        Raises:
            IdentityError: the certificate is denied; ``work`` was cancelled and has ended, or has
                not begun.
        """
        if fingerprint in self._denied:
            work.close()
        self.check(name, fingerprint)
        working = asyncio.ensure_future(work)
        denied = asyncio.ensure_future(self._denies(fingerprint))
        try:
            await asyncio.wait((working, denied), return_when=asyncio.FIRST_COMPLETED)
            if denied.done():
                self.check(name, fingerprint)
            return await working
        finally:
            for task in (working, denied):
                task.cancel()
            await asyncio.gather(working, denied, return_exceptions=True)

    async def _denies(self, fingerprint: bytes) -> None:
        while fingerprint not in self._denied:
            await self._changed.wait()


def _read(path: Path) -> frozenset[bytes]:
    try:
        return frozenset(bytes.fromhex(line) for line in path.read_text().split())
    except (OSError, ValueError) as error:
        _log.error("the denylist on disk is ignored until a new one comes: %s: %s", path, error)
        return frozenset()

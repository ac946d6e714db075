"""The identities of one member: the one in force, and the one that will replace it.

    key.pem, certificate.pem, ca.pem    in force
    request.pem                         a new key, while its certificate is asked for
    renewed.pem                         that key and its certificate, until it comes into force

A plan names certificates, so a renewed one waits until a plan names it; until then both are good.
Files are written atomically, and in such an order that the directory holds a working identity
whenever the process ends. A promotion that broke off is completed from ``renewed.pem``.
"""

import logging
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Self

from edge_node.errors import IdentityError
from edge_node.security.files import make_private_directory, read_private, remove, write_atomically
from edge_node.security.pki.identity import Identity, identity_of, load_identity, save_identity
from edge_node.security.pki.private_keys import generate_key

__all__ = ["Keyring", "request_key"]

_log = logging.getLogger(__name__)
_AUTHORITY, _RENEWED, _REQUEST = "ca.pem", "renewed.pem", "request.pem"
_CERTIFICATE = b"-----BEGIN CERTIFICATE-----"


class Keyring:
    """Open it with ``open``. One process changes it; ``refresh`` sees what another one renewed.

    Attributes:
        current: the identity in force.
        renewed: the one that will replace it; None: there is none.
    """

    def __init__(self, directory: Path, current: Identity, renewed: Identity | None = None) -> None:
        self._directory = directory
        self.current = current
        self.renewed = renewed
        self._seen = self._stamp()

    @classmethod
    def open(cls, directory: Path, *, remedy: str = "", now: datetime | None = None) -> Self:
        """Read a member's directory; arguments and errors are those of ``load_identity``."""
        settings = {"remedy": remedy} if remedy else {}
        ca_pem = b""
        with suppress(OSError):
            ca_pem = (directory / _AUTHORITY).read_bytes()
        renewed = _read_renewed(directory, ca_pem, now)
        try:
            return cls(directory, load_identity(directory, now=now, **settings), renewed)
        except IdentityError:
            if renewed is None:
                raise
        keyring = cls(directory, renewed, renewed)
        keyring.promote()
        return keyring

    @classmethod
    def begin(cls, directory: Path, identity: Identity) -> Self:
        """Write a member's first identity, or one that replaces all it had. Raises MachineError."""
        remove(directory / _RENEWED)
        remove(directory / _REQUEST)
        save_identity(directory, identity)
        return cls(directory, identity)

    @property
    def newest(self) -> Identity:
        """The renewed identity, or else the one in force."""
        return self.renewed or self.current

    def named(self, fingerprint: bytes) -> Identity:
        """The identity whose certificate has this fingerprint, or else the newest."""
        return self.current if self.current.fingerprint == fingerprint else self.newest

    def request_key(self) -> bytes:
        """The key to ask a certificate for; see the function ``request_key``."""
        return request_key(self._directory)

    def keep(self, identity: Identity) -> None:
        """Keep a renewed identity beside the one in force. Raises MachineError."""
        content = identity.key_pem.rstrip() + b"\n" + identity.certificate_pem
        write_atomically(self._directory / _RENEWED, content)
        remove(self._directory / _REQUEST)
        self.renewed, self._seen = identity, self._stamp()

    def promote(self) -> None:
        """Put the renewed identity in force, if there is one. Raises MachineError."""
        if self.renewed is None:
            return
        save_identity(self._directory, self.renewed)
        remove(self._directory / _RENEWED)
        self.current, self.renewed, self._seen = self.renewed, None, self._stamp()

    def trust(self, ca_pem: bytes) -> None:
        """Believe these authorities from now on, PEM. Raises MachineError."""
        write_atomically(self._directory / _AUTHORITY, ca_pem)
        self.current = replace(self.current, ca_pem=ca_pem)
        if self.renewed is not None:
            self.renewed = replace(self.renewed, ca_pem=ca_pem)

    def refresh(self) -> bool:
        """Look whether another process has renewed the certificate, and take what it has kept."""
        if (stamp := self._stamp()) == self._seen:
            return False
        self._seen = stamp
        self.renewed = _read_renewed(self._directory, self.current.ca_pem, None)
        return self.renewed is not None

    def _stamp(self) -> tuple[int, int] | None:
        try:
            found = (self._directory / _RENEWED).stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_ino


def request_key(directory: Path) -> bytes:
    """The key to ask a certificate for, PEM: on disk, and the same until it has one.

    Raises:
        IdentityError: the file can't be read, or is open to others.
        MachineError: it can't be written.
    """
    path = directory / _REQUEST
    if path.exists():
        return read_private(path, missing="")
    make_private_directory(directory)
    key = generate_key()
    write_atomically(path, key)
    return key


def _read_renewed(directory: Path, ca_pem: bytes, now: datetime | None) -> Identity | None:
    """The identity in ``renewed.pem``; None if there is none, or it can't be used."""
    path = directory / _RENEWED
    if not path.exists():
        return None
    try:
        key_pem, mark, rest = read_private(path, missing="").partition(_CERTIFICATE)
        return identity_of(key_pem, mark + rest, ca_pem, where=str(path), now=now)
    except IdentityError as error:
        _log.warning("a renewed certificate is not used: %s", error)
        return None

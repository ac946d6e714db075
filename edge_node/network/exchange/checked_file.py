"""Files that begin with the SHA-256 of the rest, and are replaced atomically.

A file that fails the check counts as absent. Cut to its first 32 bytes, it has no content any more,
but still tells whether other content is the same.
"""

import hashlib
import logging
import os
from contextlib import suppress
from pathlib import Path

from edge_node.security.files import write_atomically

__all__ = [
    "DIGEST_BYTES",
    "forget_content",
    "holds_other_content",
    "is_whole",
    "read_checked",
    "write_checked",
]

_log = logging.getLogger(__name__)
DIGEST_BYTES = 32  # of a SHA-256
_OF_NOTHING = hashlib.sha256().digest()


def write_checked(path: Path, content: bytes) -> None:
    """Replace the file. Raises MachineError."""
    write_atomically(path, hashlib.sha256(content).digest(), content)


def read_checked(path: Path) -> bytes | None:
    """A file's content; None: it is absent, its content was forgotten, or it is damaged."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        _log.warning("%s can't be read and is ignored: %s", path, error)
        return None
    if len(data) == DIGEST_BYTES and data != _OF_NOTHING:
        return None  # forgotten
    if hashlib.sha256(data[DIGEST_BYTES:]).digest() != data[:DIGEST_BYTES]:
        _log.warning("%s is corrupted and is ignored; the step will be asked for again", path)
        return None
    return data[DIGEST_BYTES:]


def is_whole(path: Path) -> bool:
    """Whether a file has the digest that it begins with, or is absent."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return hashlib.sha256(data[DIGEST_BYTES:]).digest() == data[:DIGEST_BYTES]


def forget_content(path: Path) -> None:
    """Leave the digest alone, where there is a file."""
    with suppress(FileNotFoundError):
        os.truncate(path, DIGEST_BYTES)


def holds_other_content(path: Path, content: bytes) -> bool:
    """Whether there is a file, and by its digest it was written with other content."""
    digest = hashlib.sha256(content).digest()
    return path.exists() and path.read_bytes()[:DIGEST_BYTES] != digest

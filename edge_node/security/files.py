"""Files that must be private, whole and on disk: keys, certificates, records, models.

A file is replaced atomically: a temporary file in the same directory is written, flushed to disk
and renamed over the old one. After a crash or a full disk the old file is still there, whole.
"""

import errno
import os
import secrets
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from edge_node.errors import IdentityError, MachineError

__all__ = [
    "append_durably",
    "make_private_directory",
    "read_private",
    "remove",
    "write_atomically",
]

_REMEDIES = {
    errno.EACCES: "Make it writable for the user that runs this program",
    errno.EPERM: "Make it writable for the user that runs this program",
    errno.EROFS: "Choose a directory on a writable file system",
    errno.ENOSPC: "Free some space on the disk",
    errno.EDQUOT: "Free some of this user's disk quota",
    errno.ENOTDIR: "Remove the file that stands where a directory is expected",
    errno.EEXIST: "Remove the file that stands where a directory is expected",
    errno.ENOENT: "Create the directory first",
    errno.EISDIR: "Remove the directory that stands where a file is expected",
}


def write_atomically(path: Path, *data: bytes, mode: int = 0o600) -> None:
    """Replace ``path`` by ``data``, wholly or not at all; on return it is on disk.

    Args:
        path: the file; its directory must exist.
        data: the file's whole content, in one piece or several.
        mode: its permissions, whatever the umask.

    Raises:
        MachineError: the directory can't be written, or the disk is full; ``path`` is as before.
    """
    with _machine_errors("the file can't be written", path):
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
        try:
            _write(temporary, data, mode)
            temporary.replace(path)
        except BaseException:
            with suppress(OSError):
                temporary.unlink()
            raise
        _flush_directory(path.parent)


def append_durably(path: Path, data: bytes, *, after: int) -> None:
    """Write ``data`` at position ``after`` of a private file, as its new end; then it is on disk.

    What stood there, the half of a line that a crash left, is overwritten.

    Raises:
        MachineError: the file can't be written, or the disk is full.
    """
    with _machine_errors("the file can't be written", path):
        new = not path.exists()
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.truncate(after)
            file.seek(after)
            file.write(data)
            file.flush()
            os.fsync(descriptor)
        if new:
            _flush_directory(path.parent)


def remove(path: Path) -> None:
    """Remove a file, if there is one. Raises MachineError."""
    with _machine_errors("the file can't be removed", path):
        path.unlink(missing_ok=True)


def make_private_directory(path: Path) -> None:
    """Make a directory that only its owner can enter (0700); an existing one is narrowed to that.

    Raises:
        MachineError: it can't be made, or belongs to somebody else.
    """
    with _machine_errors("the directory can't be made", path):
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        if stat.S_IMODE(path.stat().st_mode) != stat.S_IRWXU:
            path.chmod(stat.S_IRWXU)


def read_private(path: Path, *, missing: str) -> bytes:
    """Read a key file that only its owner may read.

    Args:
        path: the file.
        missing: what to do if the file is missing.

    Raises:
        IdentityError: it is missing, unreadable, or open to other users.
    """
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            content = file.read()
    except FileNotFoundError as error:
        raise IdentityError("the file is missing", where=str(path), remedy=missing) from error
    except OSError as error:
        raise IdentityError(
            "the file can't be read",
            where=str(path),
            found=error.strerror or str(error),
            remedy="Run the program as the user that owns the file",
        ) from error
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise IdentityError(
            "the private key is open to other users of this machine",
            where=str(path),
            expected="mode 0600",
            found=f"mode {mode:04o}",
            remedy=f"Run `chmod 600 {path}`; if others may have read it, enrol again",
        )
    return content


def _write(path: Path, data: Iterable[bytes], mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(descriptor, mode)
        file.writelines(data)
        file.flush()
        os.fsync(descriptor)


def _flush_directory(path: Path) -> None:
    """Put the rename itself on disk; without it a power cut could bring the old file back."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _machine_errors(problem: str, path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise MachineError(
            problem,
            where=str(path),
            found=error.strerror or str(error),
            remedy=_REMEDIES.get(error.errno or 0, "Check the path and the disk"),
        ) from error

"""One process at a time works in a directory: an aggregator's, or a node's.

The operating system holds the lock (flock) and releases it when the process ends, however it ends.
The file stays; its content, the process's number, is for people. Two nodes in one directory would
draw different noise for one sum, and send it under one mask.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edge_node.errors import MachineError

__all__ = ["locked"]


@contextmanager
def locked(path: Path, *, who: str) -> Iterator[None]:
    """Hold a directory's lock.

    Args:
        path: of the lock's file, in the directory.
        who: what works there, for people.

    Raises:
        MachineError: another process holds it, which is named; or the file can't be written.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise MachineError(
            "the file can't be written",
            where=str(path),
            found=error.strerror or str(error),
            remedy="Run the program as the user that owns the directory",
        ) from error
    with os.fdopen(descriptor, "r+b", buffering=0) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise MachineError(
                f"another {who} works in this directory",
                where=str(path.parent),
                found=f"process {file.read().decode(errors='replace').strip() or 'unknown'}",
                remedy="End that one first, or use another --dir",
            ) from error
        file.truncate(0)
        file.write(b"%d\n" % os.getpid())
        yield

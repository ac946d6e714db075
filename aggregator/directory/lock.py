"""One process at a time may create or run the aggregator of a directory.

The operating system holds the lock (flock) and releases it when the process ends, however it ends.
The file stays; its content, the process's number, is for people.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager

from aggregator.directory.layout import Directory
from edge_node.errors import MachineError

__all__ = ["locked"]


@contextmanager
def locked(directory: Directory) -> Iterator[None]:
    """Hold the directory's lock.

    Raises:
        MachineError: another process holds it, which is named; or the file can't be written.
    """
    try:
        descriptor = os.open(directory.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise MachineError(
            "the file can't be written",
            where=str(directory.lock),
            found=error.strerror or str(error),
            remedy="Run the program as the user that owns the directory",
        ) from error
    with os.fdopen(descriptor, "r+b", buffering=0) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise MachineError(
                "another aggregator works in this directory",
                where=str(directory.path),
                found=f"process {file.read().decode(errors='replace').strip() or 'unknown'}",
                remedy="End that one first, or use another --dir",
            ) from error
        file.truncate(0)
        file.write(b"%d\n" % os.getpid())
        yield

"""Where the local endpoint is: a Unix domain socket that only the node's own user can open."""

import hashlib
import tempfile
from pathlib import Path

__all__ = ["socket_path", "target"]

_LONGEST_PATH = 100  # bytes; the kernel's sockaddr_un holds 107


def socket_path(directory: Path) -> Path:
    """The socket of the node in ``directory``.

    It is ``local.sock`` there. The kernel allows a path of about a hundred bytes; where the
    directory's is longer, the socket is in a private folder for temporary files, whose name is
    derived from the directory's.
    """
    path = directory.resolve() / "local.sock"
    if len(str(path).encode()) <= _LONGEST_PATH:
        return path
    digest = hashlib.sha256(str(path).encode()).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"edge-node-{digest}" / "local.sock"


def target(directory: Path) -> str:
    """The endpoint as a gRPC target."""
    return f"unix:{socket_path(directory)}"

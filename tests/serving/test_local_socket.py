"""Queries stay on the device, and with the node's user: the socket is nobody else's to open."""

from pathlib import Path
from stat import S_IMODE

from edge_node.serving.endpoint import socket_path
from edge_node.serving.server import serve_local


def nothing() -> None:
    """No model, and nobody asks for the status."""


async def test_only_the_nodes_user_opens_the_socket(tmp_path: Path) -> None:
    """Mode 0600, in a directory of mode 0700, whatever the directory's mode was before."""
    directory = tmp_path / "node"
    directory.mkdir(mode=0o755)
    server = await serve_local(directory, nothing, nothing)
    try:
        socket = socket_path(directory)
        assert socket.is_socket()
        assert S_IMODE(socket.stat().st_mode) == 0o600
        assert S_IMODE(socket.parent.stat().st_mode) == 0o700
    finally:
        await server.stop(None)

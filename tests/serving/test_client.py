"""What a caller is told when the node of a directory doesn't answer."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_node.errors import NetworkError
from edge_node.serving import client
from edge_node.serving.endpoint import socket_path


@pytest.fixture
def _stopped(tmp_path: Path) -> Iterator[None]:
    """A process that listens, as the kernel does for one that is stopped, but never answers."""
    path = socket_path(tmp_path)
    path.parent.mkdir(exist_ok=True)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()
        yield


def test_no_process(tmp_path: Path) -> None:
    """The remedy is to start one."""
    with pytest.raises(NetworkError, match=r"no edge-node process answers.*edge-node run"):
        client.status(tmp_path, timeout=5.0)


@pytest.mark.usefixtures("_stopped")
def test_a_process_that_is_stopped(tmp_path: Path) -> None:
    """The message says so, instead of "Deadline Exceeded"; for how long, and what can be done."""
    for ask in (client.status, lambda *args, **options: client.predict(*args, [{}], **options)):
        with pytest.raises(NetworkError) as caught:
            ask(tmp_path, timeout=0.3)
        told = str(caught.value)
        assert "the edge-node process doesn't answer (expected an answer within 0.3 s)" in told
        assert "restart it" in told
        assert str(socket_path(tmp_path)) in told

"""The federation on one machine, whose processes end with it."""

import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from edge_node.config import Column, DataSpec, FederationSpec, Task
from edge_node.demo import federation as federation_module
from edge_node.demo.ending import EndingSignals
from edge_node.demo.federation import LocalFederation

SPEC = FederationSpec(
    name="f", data=DataSpec(task=Task.REGRESSION, target="y", columns=(Column(name="a"),))
)


@pytest.mark.parametrize("command", ["init", "run"])
def test_a_signal_while_a_process_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    """The process is known to its federation by then, and ends with it."""
    main = threading.main_thread().ident or 0
    started: list[subprocess.Popen[bytes]] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        monkeypatch.setattr(federation_module, "_free_ports", lambda count: [port] * count)

        class Signalled(subprocess.Popen[bytes]):
            """A stand-in for each command; the signal comes when it has just been started."""

            def __init__(self, arguments: list[str], **options: Any) -> None:
                program = "import time; time.sleep(60)" if "run" in arguments else "pass"
                super().__init__([sys.executable, "-c", program], **options)
                started.append(self)
                if command in arguments:
                    signal.pthread_kill(main, signal.SIGTERM)

        monkeypatch.setattr(subprocess, "Popen", Signalled)
        with (
            pytest.raises(SystemExit) as caught,
            EndingSignals() as signals,
            LocalFederation(tmp_path / "f", SPEC, {}) as federation,
            signals.heeded(),
        ):
            federation.start()
    assert caught.value.code == 128 + signal.SIGTERM
    assert started
    assert [process.poll() is not None for process in started] == [True] * len(started)

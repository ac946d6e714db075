"""A process that crashes leaves its memory nowhere."""

import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

PATTERN = Path("/proc/sys/kernel/core_pattern")
CRASH = """
import os, resource
from edge_node.security.process import forbid_core_dumps
_, most = resource.getrlimit(resource.RLIMIT_CORE)
resource.setrlimit(resource.RLIMIT_CORE, (most, most))
canary = b"Quetzalcoatlus-" + str(7 * 11 * 13).encode()
{defence}
print(resource.getrlimit(resource.RLIMIT_CORE), flush=True)
os.abort()
"""


def crash(directory: Path, defence: str) -> str:
    """What a process says that crashes with ``directory`` as its working directory."""
    program = [sys.executable, "-c", CRASH.format(defence=defence)]
    done = subprocess.run(program, capture_output=True, text=True, check=False, cwd=directory)
    assert done.returncode == -signal.SIGABRT, done.stderr
    return done.stdout


def test_a_crash_dumps_no_core(tmp_path: Path) -> None:
    """And asking twice does no harm."""
    said = crash(tmp_path, "forbid_core_dumps(); forbid_core_dumps()")
    assert said in {"(1, 1)\n", "(0, 0)\n"}
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(
    not PATTERN.exists() or PATTERN.read_text().startswith(("|", "/")),
    reason="this machine doesn't dump cores into the working directory",
)
@pytest.mark.skipif(
    resource.getrlimit(resource.RLIMIT_CORE)[1] == 0, reason="cores are forbidden already"
)
def test_without_that_the_core_holds_what_the_process_knew(tmp_path: Path) -> None:
    """The control."""
    crash(tmp_path, "")
    (core,) = tmp_path.iterdir()
    assert b"Quetzalcoatlus-1001" in core.read_bytes()

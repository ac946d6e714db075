"""CPU seconds of a federation against one process with all the rows.

The figure is user and system time of all node processes, from their start until the last of them
holds the posterior: imports, TLS, masks, disk and all. The limit is one process that runs the same
program on the pooled rows, imports included. Each process has one thread. Linux only.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.federations import regression_spec, write_rows
from benchmarks.result import result
from edge_node.demo.federation import LocalFederation, write_spec

__all__ = ["cpu_seconds", "measure_cpu"]

_DEADLINE = 1200.0
_POOLED = """
import resource, sys
from pathlib import Path
from threadpoolctl import threadpool_limits
from edge_node.config import load_spec
from edge_node.data.sources.source import open_source
from edge_node.program.simulation import simulate
spec = load_spec(Path(sys.argv[1]))
with threadpool_limits(1):
    simulate(spec, {"pooled": open_source(Path(sys.argv[2]), spec.data)})
used = resource.getrusage(resource.RUSAGE_SELF)
print(used.ru_utime + used.ru_stime)
"""


def measure_cpu(rows: int, landmarks: int, nodes: int) -> dict[str, Any]:
    """Seconds of processor time."""
    spec = regression_spec(landmarks, nodes)
    with tempfile.TemporaryDirectory() as folder:
        files, pooled = write_rows(Path(folder), rows, nodes)
        with LocalFederation(Path(folder) / "federation", spec, files, threads=1) as federation:
            federation.start()
            federation.wait_complete(deadline=_DEADLINE)
            used = [cpu_seconds(federation.processes[node].pid) for node in files]
        write_spec(spec, Path(folder) / "spec.toml")
        done = subprocess.run(
            [sys.executable, "-c", _POOLED, str(Path(folder) / "spec.toml"), str(pooled)],
            capture_output=True,
            text=True,
            check=True,
        )
    return result(
        "cpu", sum(used), float(done.stdout), "CPU s", rows=rows, landmarks=landmarks, nodes=nodes
    )


def cpu_seconds(pid: int) -> float:
    """User and system time so far, from /proc."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

"""What a federation in one process costs, against one node with all of its rows.

Each is learnt in a process of its own, through the estimators: a Gaussian sample, and a target that
three inputs decide. The figures are the CPU seconds of the fit, and what it adds to the largest
resident set. With the default ceiling a federation's sites tell less than one node knows, so it has
fewer landmarks; a high ceiling leaves it as many as its rows allow.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.result import result
from edge_node.errors import ConfigurationError

__all__ = ["measure_simulation"]

_LIMIT = 1.5  # times the CPU seconds of one node with all rows

_PROGRAM = """
import json, sys, time
from pathlib import Path
import numpy as np
from edge_node.estimators import TangentMeshRegressor

nodes, rows, inputs, told = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
random = np.random.default_rng(0)
X = random.normal(size=(rows, inputs))
y = np.sin(2 * X[:, 0]) + X[:, 1] * X[:, 2] + 0.1 * random.normal(size=rows)
sites = np.arange(rows) % nodes if nodes > 1 else None

def resident(kind):
    return int(Path("/proc/self/status").read_text().split(kind + ":")[1].split()[0]) / 1000

before, began = resident("VmRSS"), time.process_time()
fitted = TangentMeshRegressor(most_told=told).fit(X, y, sites=sites)
print(json.dumps({
    "nodes": nodes,
    "landmarks": fitted.model_.provenance.landmarks,
    "cpu_seconds": time.process_time() - began,
    "megabytes": resident("VmHWM") - before,
}))
"""


def measure_simulation(nodes: Sequence[int], rows: int, inputs: int, told: float) -> dict[str, Any]:
    """CPU seconds of the last of ``nodes``, against 1.5 times those of one; ``runs`` has all.

    Args:
        nodes: how many share the rows, each in turn; one node with all rows is measured first.
        rows: of all nodes.
        inputs: numbers of a row.
        told: the ceiling, numbers per cell.

    Raises:
        ConfigurationError: there is no /proc.
    """
    if not Path("/proc/self/status").exists():
        raise ConfigurationError("memory is measured on Linux only", expected="/proc/self/status")
    runs = [_measured(each, rows, inputs, told) for each in (1, *nodes)]
    pooled, *_, last = runs
    limit = _LIMIT * pooled["cpu_seconds"]
    settings = {"rows": rows, "inputs": inputs, "most_told": told}
    return result("simulation", last["cpu_seconds"], limit, "CPU s", **settings, runs=runs)


def _measured(nodes: int, rows: int, inputs: int, told: float) -> dict[str, Any]:
    command = [sys.executable, "-c", _PROGRAM, str(nodes), str(rows), str(inputs), str(told)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found

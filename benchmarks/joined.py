"""What a site's kernel graph takes: seconds and peak memory of a process that refines by it.

Random rows, of which others' are told as one message, and the site's are all kept. Then the site is
asked: some rows at once, and one by one. The figure is the process's largest resident set.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.result import result
from edge_node.errors import ConfigurationError

__all__ = ["measure_joined"]

_LIMIT = 2000.0  # megabytes

_PROGRAM = """
import json, sys, time
from pathlib import Path
import numpy as np
from edge_node.config import Activation, KernelKind
from edge_node.inference.features.landmarks import gaussian_landmarks, independent_landmarks
from edge_node.inference.features.nystrom import Features
from edge_node.inference.kernels.dense import DenseKernel
from edge_node.inference.regression.conditional import local_conditional
from edge_node.inference.regression.graph_refinement import refine_by_graph
from edge_node.inference.regression.posterior import Posterior
from edge_node.inference.regression.refinement import OwnRows

rows, landmarks, inputs, neighbours = map(int, sys.argv[1:])
rng = np.random.default_rng(0)

def drawn(count):
    X = rng.normal(size=(count, inputs))
    y = np.sin(2 * X[:, 0]) + X[:, 1] * X[:, 2] + np.cos(3 * X[:, 3]) + 0.1 * rng.normal(size=count)
    return X, y / 1.5

points = gaussian_landmarks(np.eye(inputs), landmarks, 0)
kernel = DenseKernel(KernelKind.NNGP, Activation.RELU, 1, 2.0, 0.0)
features = Features.build(kernel, points[independent_landmarks(kernel, points)])
own, asked = [drawn(rows)], drawn(2000)
parts = [local_conditional(each, features, [0.3])[0] for each in ([drawn(20_000)], own)]
total = parts[0] + parts[1]
posterior = Posterior.of(total.message, features, total.evidence(0.3))
began = time.perf_counter(), time.process_time()
refined = refine_by_graph(posterior, total, OwnRows.together(own, features), neighbours)
seconds, processor = time.perf_counter() - began[0], time.process_time() - began[1]
began = time.perf_counter()
refined.predict(asked[0][:1])
first = time.perf_counter() - began
began = time.perf_counter()
mean, variance, answered = refined.predict(asked[0])
batch = time.perf_counter() - began
plain, _ = posterior.predict(asked[0])
singles = []
nearest = refined._near(asked[0])[0][:, 0]
for i in np.resize(np.flatnonzero(refined._regions.of_row[nearest] == 0), 50):
    began = time.perf_counter()
    refined.predict(asked[0][i : i + 1])
    singles.append(time.perf_counter() - began)
status = Path("/proc/self/status").read_text()  # rusage would count the parent before exec
print(json.dumps({
    "peak": int(status.split("VmHWM:")[1].split()[0]) / 1000,
    "rows": rows, "landmarks": len(features.landmarks), "inputs": inputs, "neighbours": neighbours,
    "seconds": seconds, "processor_seconds": processor, "first_answer_seconds": first,
    "batch_seconds": batch, "one_row_p50_ms": 1000 * float(np.median(singles)),
    "answered": float(answered.mean()),
    "rmse": float(np.sqrt(np.nanmean((mean - asked[1]) ** 2))),
    "shared_rmse": float(np.sqrt(np.mean((plain - asked[1]) ** 2))),
}))
"""


def measure_joined(rows: int, landmarks: int, inputs: int, neighbours: int) -> dict[str, Any]:
    """Megabytes against 2,000, with seconds.

    Raises:
        ConfigurationError: there is no /proc.
    """
    if not Path("/proc/self/status").exists():
        raise ConfigurationError("memory is measured on Linux only", expected="/proc/self/status")
    numbers = map(str, (rows, landmarks, inputs, neighbours))
    command = [sys.executable, "-c", _PROGRAM, *numbers]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found = json.loads(done.stdout)
    return result("joined", found.pop("peak"), _LIMIT, "MB", **found)

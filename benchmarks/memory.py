"""Peak memory of a process that streams a large file into a node's statistics.

A Parquet file of random numbers is written group by group, and read by a process of its own: data
source, encoder, features, sums, as in a node. The figure is its largest resident set.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from benchmarks.result import result
from edge_node.errors import ConfigurationError

__all__ = ["measure_memory"]

_LIMIT = 400.0  # megabytes
_COLUMNS, _GROUP = 3, 100_000

_PROGRAM = """
import json, sys
from pathlib import Path
import numpy as np
from edge_node.config import Activation, Column, DataSpec, KernelKind, Task
from edge_node.data.encoding.encoder import EncodedRows, Encoder, NumericFeature
from edge_node.data.sources.source import open_source
from edge_node.inference.kernels.dense import DenseKernel
from edge_node.inference.features.nystrom import Features
from edge_node.inference.features.landmarks import gaussian_landmarks, independent_landmarks
from edge_node.inference.messages.statistics import local_statistics

path, landmarks, inputs = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
names = [f"x{i}" for i in range(inputs)]
data = DataSpec(task=Task.REGRESSION, target="y", columns=tuple(Column(name=n) for n in names))
numeric = tuple(NumericFeature(name, i, 0.0, 1.0, np.inf) for i, name in enumerate(names))
encoder = Encoder(numeric, (), (), 0.0, 1.0, 0, (), ())
kernel = DenseKernel(KernelKind.NTK, Activation.RELU, 1, 2.0, 0.0)
points = gaussian_landmarks(np.eye(inputs), landmarks, 0)
features = Features.build(kernel, points[independent_landmarks(kernel, points)])
(statistics,) = local_statistics(EncodedRows(open_source(path, data), encoder), [features])
status = Path("/proc/self/status").read_text()  # rusage would count the parent before exec
peak = int(status.split("VmHWM:")[1].split()[0]) / 1000
print(json.dumps({"rows": statistics.count, "landmarks": len(features.landmarks), "peak": peak}))
"""


def measure_memory(rows: int, landmarks: int) -> dict[str, Any]:
    """Megabytes against 400, with the seconds that the process took.

    Raises:
        ConfigurationError: there is no /proc.
    """
    if not Path("/proc/self/status").exists():
        raise ConfigurationError("memory is measured on Linux only", expected="/proc/self/status")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.parquet"
        _write(path, rows)
        size = path.stat().st_size
        began = time.perf_counter()
        command = [sys.executable, "-c", _PROGRAM, str(path), str(landmarks), str(_COLUMNS)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        seconds = time.perf_counter() - began
    found = json.loads(done.stdout)
    peak = found.pop("peak")
    return result("memory", peak, _LIMIT, "MB", **found, file_megabytes=size / 1e6, seconds=seconds)


def _write(path: Path, rows: int) -> None:
    """A row group at a time."""
    random, names = np.random.default_rng(0), [*(f"x{i}" for i in range(_COLUMNS)), "y"]
    schema = pa.schema([(name, pa.float64()) for name in names])
    with pyarrow.parquet.ParquetWriter(path, schema, compression="none") as writer:
        for start in range(0, rows, _GROUP):
            count = min(_GROUP, rows - start)
            numbers = random.normal(size=(len(names), count))
            writer.write_table(pa.table(list(numbers), schema=schema))

"""Memory doesn't grow with the number of rows."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

PROGRAM = """
import sys
from pathlib import Path
from edge_node.config import Column, DataSpec, Task
from edge_node.data.sums.given import given_by
from edge_node.data.sources.source import open_source
columns = tuple(Column(name=f"x{i}") for i in range(8))
data = DataSpec(task=Task.REGRESSION, target="y", columns=columns)
given_by(open_source(Path(sys.argv[1]), data), data, 5)
status = Path("/proc/self/status").read_text()  # rusage would count the parent before exec
print(int(status.split("VmHWM:")[1].split()[0]) // 1024)
"""


def peak_megabytes(path: Path, rows: int) -> int:
    """Of a process that streams a Parquet file of so many rows."""
    random = np.random.default_rng(0)
    columns = {f"x{i}": random.normal(size=rows) for i in range(8)}
    table = pa.table(columns | {"y": random.normal(size=rows)})
    pyarrow.parquet.write_table(table, path, row_group_size=100_000)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(path)], capture_output=True, text=True, check=True
    )
    return int(done.stdout)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc: Linux only")
def test_two_million_rows_need_little_more_memory_than_ten_thousand(tmp_path: Path) -> None:
    """They are 144 MB as numbers."""
    few = peak_megabytes(tmp_path / "few.parquet", 10_000)
    many = peak_megabytes(tmp_path / "many.parquet", 2_000_000)
    assert many - few < 110

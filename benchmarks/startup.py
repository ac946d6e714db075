"""From the shell to the first answer: a fresh `edge-node predict` on a small file.

The figure is the whole process: interpreter, imports, the model from disk, the file's check, the
answer. The limit is the time after which a person at a prompt notices the wait.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.models import save_model
from benchmarks.result import result

__all__ = ["measure_startup"]

_LIMIT = 1.5  # seconds
_NEW_ROWS = 10
_IMPORTS = "import edge_node.cli, edge_node.model.local"


def measure_startup(landmarks: int, repeats: int) -> dict[str, Any]:
    """The best of several repeats, in seconds; the files lie in the page cache."""
    with tempfile.TemporaryDirectory() as folder:
        rows = save_model(Path(folder), landmarks)
        lines = rows.read_text().splitlines()[: _NEW_ROWS + 1]
        new = Path(folder) / "new.csv"
        new.write_text("\n".join(lines) + "\n")
        commands = {
            "predict": ["-m", "edge_node", "predict", "--dir", folder, "--csv", str(new)],
            "imports": ["-c", _IMPORTS],
            "interpreter": ["-c", ""],
        }
        seconds = {name: _seconds(command, repeats) for name, command in commands.items()}
    return result(
        "startup",
        seconds["predict"],
        _LIMIT,
        "s",
        landmarks=landmarks,
        import_seconds=seconds["imports"],
        interpreter_seconds=seconds["interpreter"],
    )


def _seconds(arguments: list[str], repeats: int) -> float:
    """The best wall time of a process of this Python."""
    best = float("inf")
    for _ in range(repeats):
        began = time.perf_counter()
        subprocess.run([sys.executable, *arguments], capture_output=True, check=True)
        best = min(best, time.perf_counter() - began)
    return best

"""Runs a job in Flower's own Python, and reads its checkpoints as they come."""

import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TextIO

from benchmarks.fedavg.job import Checkpoint, Job
from edge_node.errors import ConfigurationError

__all__ = ["PYTHON", "check_python", "checkpoints"]

_ROOT = Path(__file__).parents[2]
PYTHON = _ROOT / ".venv-flower/bin/python"
_NEEDED = ("flwr", "ray", "xgboost")
_REMEDY = (
    "Make it, and name it by --python: python3 -m venv .venv-flower; "
    ".venv-flower/bin/pip install -r benchmarks/requirements-flower.txt"
)


def check_python(python: Path) -> None:
    """Raises ConfigurationError: there is no such program, or it has no Flower."""
    asks = "import sys; from importlib.util import find_spec as f; "
    asks += f"sys.exit(' '.join(n for n in {_NEEDED} if f(n) is None) or 0)"
    try:
        done = subprocess.run([python, "-c", asks], capture_output=True, text=True, check=False)
    except OSError as error:
        raise ConfigurationError(
            "Flower's Python can't be started",
            where=str(python),
            found=str(error.strerror),
            remedy=_REMEDY,
        ) from error
    if done.returncode:
        raise ConfigurationError(
            "this Python has no Flower",
            where=str(python),
            expected=", ".join(_NEEDED),
            found=f"without {done.stderr.strip()}",
            remedy=_REMEDY,
        )


def checkpoints(job: Job, python: Path) -> Iterator[Checkpoint]:
    """Run the job; yields each checkpoint when it is reached. Whoever stops reading ends the run.

    Raises ConfigurationError: Flower can't be run, or ended before the last checkpoint.
    """
    check_python(python)
    with TemporaryDirectory() as folder, (Path(folder) / "log").open("w+") as log:
        path = Path(folder) / "job.npz"
        job.write(path)
        with _started(python, (str(path), folder), log) as run:
            found = 0
            for line in run.stdout or ():
                if line.startswith(folder):
                    found += 1
                    yield Checkpoint.read(Path(line.strip()))
        if run.returncode or found < len(job.training.checkpoints):
            log.seek(0)
            raise ConfigurationError(
                "Flower ended before its last round",
                where=str(python),
                expected=f"{len(job.training.checkpoints)} checkpoints",
                found=f"{found}, and last: {log.read()[-1000:].strip()}",
            )


@contextmanager
def _started(python: Path, names: Sequence[str], log: TextIO) -> Iterator["subprocess.Popen[str]"]:
    """Flower's process, which has ended afterwards: by itself, or because its reader stopped."""
    with subprocess.Popen(
        [str(python), "-m", "benchmarks.fedavg.server", *names],
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
        cwd=_ROOT,
        env=_environment(),
    ) as process:
        try:
            yield process
        except BaseException:
            process.terminate()  # Ray's processes end with it
            raise


def _environment() -> dict[str, str]:
    """One thread for each site, this repository's code, and nothing told to Flower's makers."""
    return {
        **os.environ,
        "PYTHONPATH": str(_ROOT),
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "FLWR_TELEMETRY_ENABLED": "0",
        "RAY_DISABLE_IMPORT_WARNING": "1",
        "RAY_USAGE_STATS_ENABLED": "0",
    }

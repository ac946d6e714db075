"""A row of figures per case, size and method.

Each run is a process of its own with one thread. Its seconds are the processor's, from the factors
to the solution (assembling the matrix, where one is needed, is part of it), and its megabytes what
the peak of the resident set gains. Of the double loop's variances the median and the worst ratio to
exact ones are of eight variables. Residuals are computed here. A run ends without an answer at ten
minutes, or 12 GB.
"""

import json
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from benchmarks.figures import Row
from benchmarks.propagation.methods import METHODS, MOST, asked
from benchmarks.propagation.system import CASES, System, field
from edge_node.errors import ConfigurationError
from edge_node.inference.messages.guarantees.automatic import measured_error
from edge_node.inference.messages.propagation.solution import PropagationError

__all__ = ["measure_propagation", "measured"]

_MOST_SECONDS, _MOST_BYTES = 600, 12 * 10**9
_PROBED = 10_000  # variables, at most, where variances are compared with exact ones


def measure_propagation(
    sizes: Sequence[int],
    cases: Sequence[str] = tuple(CASES),
    methods: Sequence[str] = tuple(MOST),
    *,
    tell: Callable[[str], None] = lambda _: None,
) -> Iterator[Row]:
    """A row per case, size and method; a method is left out above its `MOST`, and an end without
    an answer has its cause.

    Raises:
        ConfigurationError: there is no /proc.
    """
    if not Path("/proc/self/clear_refs").exists():
        raise ConfigurationError("memory is measured on Linux only", expected="/proc/self")
    for n in sizes:
        for case in cases:
            tell(f"{case}, {n} variables")
            chosen = asked(case, n, methods)
            if not chosen:
                continue
            system = field(n, case)
            for method in chosen:
                about = {"case": case, "variables": n, "method": method}
                yield {**about, **measured(system, method)}


def measured(
    system: System, method: str, *, seconds: int = _MOST_SECONDS, size: int = _MOST_BYTES
) -> Row:
    """One run in a process of its own, which may take so many seconds and bytes."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "field.npz"
        np.savez(path, **vars(system))
        command = [sys.executable, "-m", __name__, str(path), method, str(seconds), str(size)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        late = done.returncode == -signal.SIGXCPU
        return {"cause": "too long" if late else f"exit code {done.returncode}"}
    found: Row = json.loads(done.stdout)
    return found


def _run(path: Path, method: str) -> Row:
    """Seconds, megabytes, steps and messages of a method."""
    with np.load(path) as arrays:
        system = System(**{name: arrays[name] for name in arrays})
    before = _megabytes("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    began = time.process_time()
    try:
        found = METHODS[method](system)
    except PropagationError as error:
        return {"cause": error.cause.value, "seconds": time.process_time() - began}
    except MemoryError:
        return {"cause": "too large", "seconds": time.process_time() - began}
    seconds, peak = time.process_time() - began, _megabytes("VmHWM")
    graph, solution = system.graph(), found.solution
    row: Row = {
        "seconds": seconds,
        "megabytes": peak - before,
        "residual": graph.residual(found.x[:, None, None]),
        "steps": found.steps,
        "messages": 0 if solution is None else solution.messages,
    }
    if solution is not None and method == "double loop" and graph.size <= _PROBED:
        compared = measured_error(graph, solution, tolerance=1e-6)
        row |= {"median_ratio": compared.median, "worst_ratio": compared.worst}
    return row


def _megabytes(field_name: str) -> float:
    status = Path("/proc/self/status").read_text()
    return int(status.split(f"{field_name}:")[1].split()[0]) / 1000


def _limit(seconds: int, size: int) -> None:
    """End this process after that many seconds more, and refuse it ``size`` bytes more."""
    seconds += int(time.process_time())
    size += int(1000**2 * _megabytes("VmSize"))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, resource.RLIM_INFINITY))
    resource.setrlimit(resource.RLIMIT_AS, (size, resource.RLIM_INFINITY))


if __name__ == "__main__":
    _limit(int(sys.argv[3]), int(sys.argv[4]))
    sys.stdout.write(json.dumps(_run(Path(sys.argv[1]), sys.argv[2])))

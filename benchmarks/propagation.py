"""Belief propagation against other ways to solve a sparse system, up to a million variables.

The system is a field's: a shaken grid of positions, a Matern-3/2 covariance, the kernel graph with
eight neighbours among those before in a random order, and noisy targets. So A = B' D^-1 B + I / s2
has some 30 entries a row, and as a factor graph one observation of nine variables a row. Variables
are numbered by place, so that those of a factor are close to each other in memory: at a million,
conjugate gradients take a fifth of the time that they take with numbers at random, and messages
two thirds. All methods get the same system. Two cases:

    weak      positions half a length apart: plain messages converge, although uncertified
    strong    .15 of a length apart: plain messages diverge

Each run is a process of its own with one thread. Its seconds are the processor's, from the factors
to the solution (assembling the matrix, where one is needed, is part of it), and its megabytes what
the peak of the resident set gains. Of the double loop's variances the median and the worst ratio to
exact ones are of eight variables. All run to a residual |A x - h| / |h| of 1e-8, recomputed here.
A run ends without an answer at ten minutes, or 12 GB.

Messages may be lost: 20 % of them, in a run of `Asynchronous` with everything sent in every tick. A
solver of the whole matrix has nothing to lose, nor has it an answer where no place has all of A.
"""

import json
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy.linalg
import scipy.sparse.linalg
from scipy import sparse
from scipy.spatial import KDTree

from benchmarks.figures import Row
from edge_node.arrays import Matrix, Vector
from edge_node.config import KernelKind
from edge_node.errors import ConfigurationError
from edge_node.inference.features.conditionals import Conditionals
from edge_node.inference.features.kernel_graph import KernelGraph
from edge_node.inference.kernels.stationary import StationaryKernel
from edge_node.inference.messages.propagation.asynchronous import Asynchronous
from edge_node.inference.messages.propagation.automatic import measured_error
from edge_node.inference.messages.propagation.double_loop import Outer, double_loop
from edge_node.inference.messages.propagation.factors import Observations
from edge_node.inference.messages.propagation.graph import FactorGraph
from edge_node.inference.messages.propagation.schedules import ResidualFirst, Synchronous
from edge_node.inference.messages.propagation.solution import PropagationError, Slots, Solution
from edge_node.inference.messages.propagation.solve import solve

__all__ = ["CASES", "MOST", "draw_propagation", "measure_propagation", "slopes"]

_NEIGHBOURS = 8
_TOLERANCE = 1e-8
_JITTER = 1e-8
_KERNEL = StationaryKernel(KernelKind.MATERN32, np.sqrt(0.5))  # of a length of one, in the plane
_MOST_SECONDS, _MOST_BYTES = 600, 12 * 10**9
_PROBED = 10_000  # variables, at most, where variances are compared with exact ones
CASES = {"weak": (0.5, 0.1), "strong": (0.15, 0.1)}
"""Each case's spacing in lengths of the covariance, and noise variance s2."""


@dataclass(frozen=True)
class _Field:
    """A system, as factors.

    Attributes:
        scope, design: each row's Vecchia factor, (n, k + 1): itself, and its neighbours or -1.
        spread: D (n,).
        own, shift: the likelihood's precision and shift of each row, (n,).
    """

    scope: Slots
    design: Matrix
    spread: Vector
    own: Vector
    shift: Vector

    def graph(self) -> FactorGraph:
        """As a factor graph."""
        n = len(self.own)
        design, noise = self.design[..., None, None], self.spread[:, None, None]
        family = Observations(self.scope, design, np.zeros((n, 1, 1)), noise)
        return FactorGraph(self.own[:, None, None], self.shift[:, None, None], (family,))

    def matrix(self) -> "sparse.csc_matrix[np.float64]":
        """As a sparse matrix."""
        n, filled = len(self.own), self.scope >= 0
        rows = np.broadcast_to(np.arange(n)[:, None], filled.shape)[filled]
        B = sparse.csr_matrix((self.design[filled], (rows, self.scope[filled])), shape=(n, n))
        return sparse.csc_matrix(B.T @ sparse.diags(1 / self.spread) @ B + sparse.diags(self.own))


def field(n: int, case: str, seed: int = 0) -> _Field:
    """A case with n positions, drawn with ``seed``."""
    spacing, noise = CASES[case]
    rng = np.random.default_rng(seed)
    places = _by_place(_shaken_grid(n, rng)) * spacing
    graph = KernelGraph.of(places, _NEIGHBOURS, slack=0.0)
    known = Conditionals.of(graph, lambda rows: _KERNEL.within(places[rows]), _JITTER)
    return _Field(
        scope=np.column_stack([np.arange(n), graph.neighbours]),
        design=np.column_stack([np.ones(n), -known.coefficients]),
        spread=known.variances,
        own=np.full(n, 1 / noise),
        shift=rng.standard_normal(n) / noise,
    )


def _shaken_grid(n: int, rng: np.random.Generator) -> Matrix:
    """Positions (n, 2) about one apart, in random order."""
    side = int(np.ceil(np.sqrt(n)))
    grid = np.stack(np.divmod(rng.permutation(side**2)[:n], side), axis=1)
    return np.asarray(grid + rng.uniform(-0.3, 0.3, size=(n, 2)))


def _by_place(X: Matrix) -> Matrix:
    """The rows in the order of a k-d tree's leaves: those that are near come near each other."""
    return X[KDTree(X).indices]


@dataclass(frozen=True)
class _Found:
    """A solution (n,), how many steps it took, and for belief propagation all that it says."""

    x: Vector
    steps: int
    solution: Solution | None = None


def _messages(solution: Solution) -> _Found:
    return _Found(solution.mean.ravel(), solution.steps, solution)


def _scheduled(schedule: Any) -> Callable[[_Field], _Found]:
    def run(system: _Field) -> _Found:
        found = solve(system.graph(), schedule, tolerance=_TOLERANCE, most_steps=20_000)
        return _messages(found)

    return run


def _double(outer: Outer) -> Callable[[_Field], _Found]:
    def run(system: _Field) -> _Found:
        return _messages(double_loop(system.graph(), outer, tolerance=_TOLERANCE))

    return run


def _gradients(system: _Field) -> _Found:
    A, steps = system.matrix(), list[None]()
    inverse = sparse.diags(1 / A.diagonal())
    x, failed = scipy.sparse.linalg.cg(
        A, system.shift, rtol=_TOLERANCE, M=inverse, callback=lambda _: steps.append(None)
    )
    return _Found(x * np.nan if failed else x, len(steps))


def _sparse_direct(system: _Field) -> _Found:
    """By minimum degrees. Where variables are numbered by place SuperLU takes three times as long,
    with the same fill-in: so they are shuffled first.
    """
    shuffled = np.random.default_rng(0).permutation(len(system.shift))
    factor = scipy.sparse.linalg.splu(
        system.matrix()[shuffled][:, shuffled],
        permc_spec="MMD_AT_PLUS_A",
        diag_pivot_thresh=0.0,  # no pivots off the diagonal: they would cost fill-in
        options={"SymmetricMode": True},
    )
    x = np.empty_like(system.shift)
    x[shuffled] = factor.solve(system.shift[shuffled])
    return _Found(x, 0)


def _dense(system: _Field) -> _Found:
    factor = scipy.linalg.cho_factor(system.matrix().toarray(), overwrite_a=True)
    return _Found(scipy.linalg.cho_solve(factor, system.shift), 0)


_METHODS: dict[str, Callable[[_Field], _Found]] = {
    "synchronous": _scheduled(Synchronous()),
    "residual first": _scheduled(ResidualFirst(share=0.25)),
    "nothing lost": _scheduled(Asynchronous(0, delivered=1.0)),
    "20 % lost": _scheduled(Asynchronous(0, delivered=1.0, lost=0.2)),
    "double loop": _double(Outer.CONJUGATE),
    "local double loop": _double(Outer.LOCAL),
    "conjugate gradients": _gradients,
    "sparse direct": _sparse_direct,
    "dense": _dense,
}

MOST = dict.fromkeys(_METHODS, 1_000_000) | {
    "residual first": 100_000,
    "local double loop": 10_000,
    "dense": 10_000,
}
"""The most variables that each method is asked for. Dense needs 8 n^2 bytes."""

_STRONG = ("synchronous", "double loop", "conjugate gradients", "sparse direct")
_STRONG_MOST = 100_000


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
            asked = [m for m in methods if n <= MOST[m] and _is_asked(case, m, n)]
            tell(f"{case}, {n} variables")
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "field.npz"
                if asked:
                    np.savez(path, **vars(field(n, case)))
                for method in asked:
                    yield {
                        "case": case,
                        "variables": n,
                        "method": method,
                        **_measured(path, method),
                    }


def _is_asked(case: str, method: str, n: int) -> bool:
    return case == "weak" or (method in _STRONG and n <= _STRONG_MOST)


def _measured(path: Path, method: str) -> Row:
    """One run in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.propagation", str(path), method]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        late = done.returncode == -signal.SIGXCPU
        return {"cause": "too long" if late else f"exit code {done.returncode}"}
    found: Row = json.loads(done.stdout)
    return found


def _run(path: Path, method: str) -> Row:
    """Seconds, megabytes, steps and messages of a method."""
    with np.load(path) as arrays:
        system = _Field(**{name: arrays[name] for name in arrays})
    before = _resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    began = time.process_time()
    try:
        found = _METHODS[method](system)
    except PropagationError as error:
        return {"cause": error.cause.value, "seconds": time.process_time() - began}
    except MemoryError:
        return {"cause": "too large", "seconds": time.process_time() - began}
    seconds, peak = time.process_time() - began, _resident("VmHWM")
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


def _resident(field_name: str) -> float:
    status = Path("/proc/self/status").read_text()
    return int(status.split(f"{field_name}:")[1].split()[0]) / 1000


def slopes(rows: Sequence[Row], least: int = 10_000) -> list[Row]:
    """How seconds and megabytes grow: the slope of their logarithm against that of the
    variables, for each case and method with two sizes or more from ``least``.
    """
    found = []
    for case, method in dict.fromkeys((row["case"], row["method"]) for row in rows):
        some = [
            row
            for row in rows
            if (row["case"], row["method"]) == (case, method)
            and int(row["variables"]) >= least
            and not row.get("cause")
        ]
        if len(some) > 1:
            n = np.log([float(row["variables"]) for row in some])
            fits = {
                name: float(
                    np.polyfit(n, np.log([max(float(row[name]), 1e-9) for row in some]), 1)[0]
                )
                for name in ("seconds", "megabytes")
            }
            found.append({"case": case, "method": method, **fits})
    return found


def draw_propagation(rows: Sequence[Row], path: Path) -> None:
    """Seconds against variables, one panel a case."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    cases = list(dict.fromkeys(row["case"] for row in rows))
    figure, panels = plt.subplots(1, len(cases), figsize=(9, 3.6), sharey=True, squeeze=False)
    for case, axes in zip(cases, panels[0], strict=True):
        for number, method in enumerate(_METHODS):
            some = [r for r in rows if (r["case"], r["method"]) == (case, method)]
            some = [row for row in some if not row.get("cause")]
            if some:
                n = [float(row["variables"]) for row in some]
                seconds = [float(row["seconds"]) for row in some]
                axes.loglog(n, seconds, ".-", color=f"C{number}", label=method)
        axes.set(title=f"{case} coupling", xlabel="variables", ylabel="seconds")
        axes.grid(alpha=0.3)
        axes.legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    plt.close(figure)


def _limit() -> None:
    """End this process where it takes too long, and refuse it memory beyond a size."""
    resource.setrlimit(resource.RLIMIT_CPU, (_MOST_SECONDS, resource.RLIM_INFINITY))
    resource.setrlimit(resource.RLIMIT_AS, (_MOST_BYTES, resource.RLIM_INFINITY))


if __name__ == "__main__":
    _limit()
    sys.stdout.write(json.dumps(_run(Path(sys.argv[1]), sys.argv[2])))

"""Belief propagation against other ways to solve a sparse system, up to a million variables.

The system is a field's: a shaken grid of positions in random order, a Matern-3/2 covariance,
Vecchia's approximation with eight neighbours among those before, and noisy targets. So
A = B' D^-1 B + I / s2 has some 30 entries a row, and as a factor graph one observation of nine
variables a row. Two cases:

    weak      positions half a length apart: plain messages converge, although uncertified
    strong    .15 of a length apart: plain messages diverge

Each run is a process of its own with one thread. Its seconds are the processor's, from the factors
to the solution (assembling the matrix, where one is needed, is part of it), and its megabytes what
the peak of the resident set gains. Of the double loop's variances the median and the worst ratio to
exact ones are of eight variables. All run to a residual |A x - h| / |h| of 1e-8, recomputed here.

Messages may be lost: 20 % of them, in a run of `Asynchronous` with everything sent in every tick. A
solver of the whole matrix has nothing to lose, nor has it an answer where no place has all of A.
"""

import json
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
from scipy.spatial import cKDTree

from benchmarks.figures import Row
from edge_node.arrays import Matrix, Vector
from edge_node.errors import ConfigurationError
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
    """A case with n positions."""
    spacing, noise = CASES[case]
    rng = np.random.default_rng(seed)
    side = int(np.ceil(np.sqrt(n)))
    grid = np.stack(np.divmod(rng.permutation(side**2)[:n], side), axis=1)
    X = (grid + rng.uniform(-0.3, 0.3, size=(n, 2))) * spacing
    near = _earlier(X)
    parts = [_conditional(X, near, slice(s, s + 20_000)) for s in range(0, n, 20_000)]
    b, spread = (np.concatenate(each) for each in zip(*parts, strict=True))
    scope = np.concatenate([np.arange(n)[:, None], near], axis=1)
    design = np.concatenate([np.ones((n, 1)), -b], axis=1)
    return _Field(scope, design, spread, np.full(n, 1 / noise), rng.standard_normal(n) / noise)


def _earlier(X: Matrix) -> Slots:
    """Neighbours (n, k) before each row, -1 where there are fewer: of the nearest 4 k among twice
    as many rows, those that come before.
    """
    n, near = len(X), np.full((len(X), _NEIGHBOURS), -1)
    start = 1
    while start < n:
        end = min(2 * start, n)
        rows = np.arange(start, end)[:, None]
        count = min(4 * _NEIGHBOURS + 1, end)
        found = cKDTree(X[:end]).query(X[start:end], k=count)[1].reshape(len(rows), count)
        first = np.argsort(found >= rows, axis=1, kind="stable")[:, :_NEIGHBOURS]
        found = np.take_along_axis(found, first, axis=1)
        near[start:end, : found.shape[1]] = np.where(found < rows, found, -1)
        start = end
    return near


def _conditional(X: Matrix, near: Slots, part: slice) -> tuple[Matrix, Vector]:
    """Coefficients (m, k) on the neighbours, and variances (m,) given them."""
    some, filled = X[near[part]], near[part] >= 0
    K = _matern(some[:, :, None], some[:, None]) * (filled[:, :, None] & filled[:, None])
    K += np.eye(_NEIGHBOURS) * np.where(filled, _JITTER, 1.0)[:, :, None]
    k = _matern(some, X[part][:, None]) * filled
    b = np.linalg.solve(K, k[..., None])[..., 0] * filled
    spread: Vector = 1.0 + _JITTER - (b * k).sum(axis=1)
    return np.asarray(b), spread


def _matern(A: Matrix, B: Matrix) -> Matrix:
    r = np.sqrt(3.0) * np.linalg.norm(A - B, axis=-1)
    return np.asarray((1.0 + r) * np.exp(-r))


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
    factor = scipy.sparse.linalg.splu(
        system.matrix(),
        permc_spec="MMD_AT_PLUS_A",
        diag_pivot_thresh=0.0,  # no pivots off the diagonal: they would cost fill-in
        options={"SymmetricMode": True},
    )
    return _Found(factor.solve(system.shift), 0)


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

MOST = dict.fromkeys(_METHODS, 100_000) | {
    "synchronous": 1_000_000,
    "double loop": 1_000_000,
    "local double loop": 10_000,
    "conjugate gradients": 1_000_000,
    "dense": 10_000,
}
"""The most variables that each method is asked for. Dense needs 8 n^2 bytes; of a sparse factor's
fill-in, 0.5 GB for 10^5 variables grow tenfold and more.
"""

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
        return {"cause": f"exit code {done.returncode}"}
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


if __name__ == "__main__":
    sys.stdout.write(json.dumps(_run(Path(sys.argv[1]), sys.argv[2])))

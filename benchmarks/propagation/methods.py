"""Ways to solve a system: by messages, by a matrix' products, by factors.

All run to a residual |A x - h| / |h| of 1e-8. Messages may be lost: 20 % of them, in a run of
`Asynchronous` with everything sent in every tick. A solver of the whole matrix has nothing to lose,
nor has it an answer where no place has all of A.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.linalg
import scipy.sparse.linalg
from scipy import sparse

from benchmarks.propagation.system import System
from edge_node.arrays import Vector
from edge_node.inference.messages.guarantees.double_loop import Outer, double_loop
from edge_node.inference.messages.propagation.asynchronous import Asynchronous
from edge_node.inference.messages.propagation.schedules import ResidualFirst, Synchronous
from edge_node.inference.messages.propagation.solution import Solution
from edge_node.inference.messages.propagation.solve import solve

__all__ = ["METHODS", "MOST", "Found", "asked"]

_TOLERANCE = 1e-8


@dataclass(frozen=True)
class Found:
    """A solution (n,), how many steps it took, and for belief propagation all that it says."""

    x: Vector
    steps: int
    solution: Solution | None = None


def _messages(solution: Solution) -> Found:
    return Found(solution.mean.ravel(), solution.steps, solution)


def _scheduled(schedule: Any) -> Callable[[System], Found]:
    def run(system: System) -> Found:
        found = solve(system.graph(), schedule, tolerance=_TOLERANCE, most_steps=20_000)
        return _messages(found)

    return run


def _double(outer: Outer) -> Callable[[System], Found]:
    def run(system: System) -> Found:
        return _messages(double_loop(system.graph(), outer, tolerance=_TOLERANCE))

    return run


def _gradients(system: System) -> Found:
    A, steps = system.matrix(), list[None]()
    inverse = sparse.diags(1 / A.diagonal())
    x, failed = scipy.sparse.linalg.cg(
        A, system.shift, rtol=_TOLERANCE, M=inverse, callback=lambda _: steps.append(None)
    )
    return Found(x * np.nan if failed else x, len(steps))


def _sparse_direct(system: System) -> Found:
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
    return Found(x, 0)


def _dense(system: System) -> Found:
    factor = scipy.linalg.cho_factor(system.matrix().toarray(), overwrite_a=True)
    return Found(scipy.linalg.cho_solve(factor, system.shift), 0)


METHODS: dict[str, Callable[[System], Found]] = {
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

MOST = dict.fromkeys(METHODS, 1_000_000) | {
    "residual first": 100_000,
    "local double loop": 10_000,
    "dense": 10_000,
}
"""The most variables that each method is asked for. Dense needs 8 n^2 bytes."""

_STRONG = ("synchronous", "double loop", "conjugate gradients", "sparse direct")
_STRONG_MOST = 100_000


def asked(case: str, n: int, methods: Sequence[str]) -> list[str]:
    """Those of ``methods`` that are asked for a case of n variables."""
    fitting = [method for method in methods if n <= MOST[method]]
    if case == "weak":
        return fitting
    return [method for method in fitting if method in _STRONG and n <= _STRONG_MOST]

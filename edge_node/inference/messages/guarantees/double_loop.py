"""Exact means of positive definite systems, whether or not plain messages converge.

The double loop of Johnson, Bickson & Dolev 2009 ("Fixing convergence of Gaussian belief
propagation") adds a loading Gamma to the diagonal until messages are certain to
converge on A + Gamma, and corrects for it outside:

    x <- x + (A + Gamma)^-1 (h - A x)

This converges for every positive definite A. The inner solver is belief propagation. Precisions of
A + Gamma are computed once; a correction costs ``inner_steps`` messages of shifts only
(`settled.Settled`), which need not solve the loaded system well: whatever they leave out, A x = h
is where the outer loop stands still.

    Loading. With W and v of `walks`, variable i's diagonal block is multiplied by
    max(1, (W v)_i / (theta v_i)). Then the loaded W has radius theta at most, and a step of
    messages leaves a share theta of the error. Rows that are dominated anyway get no loading.

    Outer.LOCAL      the loop as it stands. A variable needs what its neighbours send, no more, so
                     devices can run it. The error falls by the largest eigenvalue of
                     (A + Gamma)^-1 Gamma: steps grow like the condition number.
    Outer.CONJUGATE  conjugate gradients on A x = h, preconditioned by the same correction. Steps
                     grow like the root of the condition number. But each needs two sums over
                     all variables. The correction isn't symmetric, so the flexible rule of Polak &
                     Ribiere is taken (Notay 2000).

Both are kept: devices have neighbours only, and everybody else has sums. Measured on a field of ten
thousand variables (`python -m benchmarks propagation`, docs/results.md): 16 conjugate steps of one
message a slot, against 84 local ones of nine or more.

Who knows more of a graph than messages do may give an inner of his own (`Inner`), as a classifier's
graph does, whose rows have an order (`classification.sites.graph_prior`). Whatever it is, the outer
loop decides what is an answer.

A curvature p'A p <= 0 met on the way proves that A isn't positive definite, and ends the run by its
name. It isn't a test of A: a right-hand side that has nothing along such a p may be solved.
"""

from dataclasses import replace
from enum import Enum
from typing import Protocol, TypeAlias

import numpy as np

from edge_node.arrays import Matrix, Vector
from edge_node.errors import NumericalError
from edge_node.inference.messages.guarantees.settled import Settled, settle
from edge_node.inference.messages.guarantees.walks import diagonal, radius_bounds, walks
from edge_node.inference.messages.propagation.graph import FactorGraph
from edge_node.inference.messages.propagation.solution import (
    Cause,
    Mask,
    Method,
    PropagationError,
    Solution,
    Variances,
)
from edge_node.inference.messages.propagation.stacks import norms, positive

__all__ = ["Inner", "Outer", "double_loop", "loaded"]

_RATE = 0.8  # theta
_POWER_STEPS = 20
_CHECK = 50  # conjugate steps after which the residual is computed anew
_CONJUGATE_STEPS = 1  # of messages: more save outer steps, but cost more than they save
_LOCAL_STEPS = 9  # of messages: theta^10 = .1 of an error is left
_MOST_INNER = 500
_SETTLED, _SETTLING = 1e-10, 300  # of variances


class Inner(Protocol):
    """A linear function that is like A^-1."""

    def means(self, shift: Matrix, steps: int) -> Matrix:
        """From what is left of h (n, d, q) to a correction (n, d, q), in so many steps."""


class Outer(Enum):
    """How the outer loop corrects."""

    CONJUGATE = "conjugate"  # two global sums a step
    LOCAL = "local"  # neighbours only


def double_loop(
    graph: FactorGraph,
    outer: Outer = Outer.CONJUGATE,
    *,
    inner: Inner | None = None,
    tolerance: float = 1e-10,
    most_steps: int = 10_000,
) -> Solution:
    """The exact mean of any positive definite graph of couplings and observations, as far as
    rounding lets it: condition numbers from 10^8 on may be refused (NOT_CONVERGED).

    Its variances are those of plain messages on the graph itself where these settle, and otherwise
    those of the loaded graph, which are too small. They are labelled approximate in either case.

    Args:
        graph: A and h; columns are solved side by side.
        outer: how to correct.
        inner: what corrects; None: messages on the loaded graph.
        tolerance: of the residual |A x - h| / |h|, in every column.
        most_steps: of the outer loop.

    Raises:
        NumericalError: factors that have no share of A are among the families.
        PropagationError: A isn't positive definite (INDEFINITE), the steps are used up, or
            rounding keeps the residual from falling (NOT_CONVERGED).
    """
    settled = settle(loaded(graph)) if inner is None else None
    run = {Outer.CONJUGATE: _conjugate, Outer.LOCAL: _local}[outer]
    corrects = inner or settled
    assert corrects is not None  # noqa: S101 - one of both is there
    scale = norms(graph.total_shift)
    h = graph.total_shift / np.where(scale > 0, scale, 1.0)  # squares of tiny shifts are zero
    mean, steps, sent = run(graph, h, corrects, tolerance, most_steps)
    mean = mean * scale
    residual = graph.residual(mean)
    if not residual <= 2 * tolerance:
        raise PropagationError(
            Cause.NOT_CONVERGED,
            "the double loop has not converged",
            expected=f"a residual of {tolerance:.1e} or less",
            found=f"a residual of {residual:.1e} after {steps} outer steps",
            remedy="Allow more steps or a larger residual: the system may be too ill-conditioned",
        )
    covariance, settling = _covariance(graph, settled)
    sent += steps + settling + (settled.steps if settled else 0)
    return Solution(
        mean,
        covariance,
        Variances.APPROXIMATE,
        residual,
        steps,
        sent * graph.slots,
        Method.DOUBLE_LOOP,
    )


def loaded(graph: FactorGraph, rate: float = _RATE) -> FactorGraph:
    """A + Gamma, on which messages are certain to converge, by a share ``rate`` a step or faster.

    Raises:
        NumericalError: factors that have no share of A are among the families.
        PropagationError: a block of A's diagonal isn't positive definite (INDEFINITE).
    """
    absolute, blocks = walks(graph), diagonal(graph)
    if not positive(blocks):
        raise _indefinite("a variable's precision given all others")
    if absolute is None:
        raise NumericalError(
            "the double loop needs factors that have a share of A",
            where="belief propagation",
            expected="couplings and observations",
            found=", ".join(sorted({type(family).__name__ for family in graph.families})),
        )
    v = radius_bounds(absolute, steps=_POWER_STEPS).weights
    extra = np.maximum(absolute.apply(v) / (rate * v) - 1.0, 0.0)
    return replace(graph, precision=graph.precision + extra[:, None, None] * blocks)


_Run: TypeAlias = tuple[Matrix, int, int]
"""The mean (n, d, q), how many outer steps, and how many inner steps of all columns."""


def _local(
    graph: FactorGraph, h: Matrix, settled: Inner, tolerance: float, most_steps: int
) -> _Run:
    """Corrections as they come. Where an error rises, inner steps are doubled."""
    inner, total = _LOCAL_STEPS, 0
    x, r, step = np.zeros_like(h), h, 0
    while (error := _relative(r, h)).max() > tolerance and step < most_steps:
        correction = settled.means(r, inner)
        x = x + correction
        r, before = h - graph.apply(x), r
        _refuse_curvature(_dots(correction, before - r), error > tolerance)
        step, total = step + 1, total + inner
        if (_relative(r, h) > error).any() and inner < _MOST_INNER:
            inner *= 2
    return x, step, total


def _conjugate(
    graph: FactorGraph, h: Matrix, settled: Inner, tolerance: float, most_steps: int
) -> _Run:
    """Flexible conjugate gradients, column by column."""
    x, r = np.zeros_like(h), h
    z = p = settled.means(r, _CONJUGATE_STEPS)
    rz, step = _dots(r, z), 0
    while (active := _relative(r, h) > tolerance).any() and step < most_steps:
        Ap = graph.apply(p)
        curvature = _dots(p, Ap)
        _refuse_curvature(curvature, active)
        a = _ratio(_dots(p, r), curvature, active)
        x, step = x + a * p, step + 1
        before, r = r, r - a * Ap
        if step % _CHECK == 0 or not (_relative(r, h) > tolerance).any():
            r = h - graph.apply(x)
        z = settled.means(r, _CONJUGATE_STEPS)
        p = z + _ratio(_dots(z, r - before), rz, active) * p
        rz = _dots(r, z)
    return x, step, step * _CONJUGATE_STEPS


def _covariance(graph: FactorGraph, settled: Settled | None) -> tuple[Matrix, int]:
    """Of plain messages on the graph, if they settle; and how many steps this took, at most."""
    try:
        plain = settle(graph, tolerance=_SETTLED, most_steps=_SETTLING)
    except PropagationError:
        within = settled or settle(loaded(graph))
        return within.covariance, _SETTLING + (0 if settled else within.steps)
    return plain.covariance, plain.steps


def _dots(a: Matrix, b: Matrix) -> Vector:
    """Column by column, (q,)."""
    dots: Vector = np.einsum("ndq,ndq->q", a, b)
    return dots


def _ratio(top: Vector, bottom: Vector, where: Mask) -> Vector:
    return np.divide(top, bottom, out=np.zeros_like(top), where=where & (bottom != 0))


def _relative(r: Matrix, h: Matrix) -> Vector:
    """|r| / |h| (q,); a column of zeros has none."""
    return _ratio(np.sqrt(_dots(r, r)), np.sqrt(_dots(h, h)), np.ones(h.shape[2], dtype=bool))


def _refuse_curvature(curvature: Vector, active: Mask) -> None:
    """Raises PropagationError: p'A p <= 0."""
    if (active & ~(curvature > 0)).any():
        raise _indefinite("the curvature along a correction")


def _indefinite(what: str) -> PropagationError:
    return PropagationError(
        Cause.INDEFINITE,
        "the system is not positive definite",
        expected=f"{what} to be positive",
        remedy="Check the system, or add a precision to each variable",
    )

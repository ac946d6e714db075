"""Feedback messages: a few variables are taken out, so that messages on the rest are exact.

Liu, Chandrasekaran, Anandkumar & Willsky 2012 ("Feedback message passing for inference in Gaussian
graphical models"). Let F be some variables and T the rest, with A_TT the graph that
is left of A without F. Messages on T solve, with one extra column a feedback variable,

    A_TT x = h_T,      A_TT G = A_TF

and F is settled by a small dense system (Schur's complement):

    P_F = (A_FF - A_TF' G)^-1,    mu_F = P_F (h_F - A_TF' x)
    mu_T = x - G mu_F,            Var_i = Var_i^T + G_i P_F G_i'

Where T is a forest, all means and variances are exact. Where loops are left, the mean is exact
if messages on T converge, and variances are approximate, although better than without feedback.

`feedback_set` chooses greedily, as the paper does: what isn't on a loop is pruned, and
of the rest the variable with the largest sum of absolute partial correlations is taken.
"""

from dataclasses import replace

import numpy as np
from scipy import sparse

from edge_node.arrays import Matrix
from edge_node.errors import NumericalError
from edge_node.inference.messages.guarantees.walks import walks
from edge_node.inference.messages.propagation.factors import Couplings, Observations
from edge_node.inference.messages.propagation.graph import FactorGraph, bipartite
from edge_node.inference.messages.propagation.messages import Factors
from edge_node.inference.messages.propagation.solution import (
    Cause,
    Method,
    PropagationError,
    Slots,
    Solution,
)
from edge_node.inference.messages.propagation.solve import solve
from edge_node.inference.messages.propagation.stacks import positive, times, transposed

__all__ = ["feedback", "feedback_set", "units", "without"]

_ROUNDING = 1e-6  # of the residual: what is left of it, no further step makes smaller


def feedback(
    graph: FactorGraph,
    chosen: Slots | None = None,
    *,
    most: int = 50,
    tolerance: float = 1e-10,
    most_steps: int = 2000,
) -> Solution:
    """Means and variances with feedback variables.

    Args:
        graph: couplings and observations.
        chosen: the feedback variables (k,), not all; None: chosen greedily.
        most: feedback variables, if chosen here.
        tolerance: of the residual, as in `solve`.
        most_steps: on the rest, if it has loops.

    Raises:
        PropagationError: messages on the rest end without an answer, or what they leave for the
            feedback variables isn't positive definite (INDEFINITE).
    """
    F = feedback_set(graph, most) if chosen is None else np.unique(np.asarray(chosen, np.intp))
    (n, d, q), k = graph.total_shift.shape, len(F)
    if k == 0:
        return solve(graph, tolerance=tolerance, most_steps=most_steps)
    T = np.setdiff1d(np.arange(n), F)
    rest = without(graph, F)
    inner = solve(rest, tolerance=tolerance, most_steps=most_steps)
    x, G = inner.mean[..., :q], inner.mean[..., q:]
    columns = graph.apply(units(n, d, F))  # A_TF at T, A_FF at F
    A_FF, A_TF = columns[F].reshape(k * d, -1), columns[T].reshape(-1, k * d)
    h_F = graph.total_shift[F].reshape(k * d, q)
    P = _inverse(A_FF - A_TF.T @ G.reshape(-1, k * d))
    mu = P @ (h_F - A_TF.T @ x.reshape(-1, q))
    mean, covariance = np.empty((n, d, q)), np.empty((n, d, d))
    mean[F], mean[T] = mu.reshape(k, d, q), x - G @ mu
    covariance[F] = np.einsum("kikj->kij", P.reshape(k, d, k, d))
    covariance[T] = inner.covariance + G @ P @ transposed(G)
    residual = graph.residual(mean)
    if not residual <= max(tolerance, _ROUNDING):
        raise PropagationError(
            Cause.NOT_CONVERGED,
            "feedback variables leave an ill-conditioned rest",
            expected=f"a residual of {tolerance:.1e} or less",
            found=f"{residual:.1e}",
            remedy="Choose other feedback variables, or use the double loop",
        )
    return replace(
        inner,
        mean=mean,
        covariance=covariance,
        residual=residual,
        method=Method.FEEDBACK,
    )


def feedback_set(graph: FactorGraph, most: int) -> Slots:
    """At most so many variables without which fewer loops are left; none, if all are used up.

    A variable's score is the sum of its absolute partial correlations with those that are still on
    loops.
    """
    scopes = [family.scope for family in graph.families]
    upper = bipartite(graph.size, scopes)
    adjacency = sparse.csr_array(upper + upper.T)
    degrees = np.diff(adjacency.indptr)
    absolute, chosen = walks(graph), list[int]()
    _prune(adjacency, degrees, list(np.flatnonzero(degrees <= 1)))
    while (alive := degrees[: graph.size] > 0).any() and len(chosen) < most:
        scores = degrees[: graph.size] if absolute is None else absolute.apply(alive.astype(float))
        best = int(np.argmax(np.where(alive, scores, -1.0)))
        chosen.append(best)
        degrees[best] = 1
        _prune(adjacency, degrees, [best])
    return np.array(sorted(chosen), dtype=np.intp)


def _prune(adjacency: sparse.csr_array, degrees: Slots, leaves: list[int]) -> None:
    """Takes leaves away, and what becomes a leaf without them; ``degrees`` changes in place. 0: a
    node is gone.
    """
    starts, neighbours = adjacency.indptr, adjacency.indices
    while leaves:
        leaf = leaves.pop()
        if degrees[leaf] == 0:
            continue
        degrees[leaf] = 0
        for other in neighbours[starts[leaf] : starts[leaf + 1]]:
            if degrees[other] > 0:
                degrees[other] -= 1
                if degrees[other] == 1:
                    leaves.append(other)


def without(graph: FactorGraph, gone: Slots) -> FactorGraph:
    """What is left of a graph without some variables, and a column of h for each of them.

    Args:
        graph: couplings and observations; n variables, q columns.
        gone: the variables (k,).

    Returns:
        The graph of the n - k others: h as it is, in q columns, and their columns of A in k d.
    """
    n, d, q = graph.total_shift.shape
    apart = units(n, d, gone)
    kept = np.setdiff1d(np.arange(n), gone)
    number = np.full(n + 1, -1)  # an empty slot, the last, stays one
    number[kept] = np.arange(len(kept))
    own = np.broadcast_to(graph.shift, (n, d, q))
    shift = np.concatenate([own, np.zeros_like(apart)], axis=2)
    families = list[Factors]()
    for family in graph.families:
        if isinstance(family, Couplings):
            shift[..., q:] += family.apply(apart)
        families.append(_renumbered(family, number, apart, q))
    joined = tuple(family for family in families if family.scope.size)
    return FactorGraph(graph.precision[kept], shift[kept], joined)


def _renumbered(family: Factors, number: Slots, apart: Matrix, columns: int) -> Factors:
    """A family over the variables that are left; what it says of the others is in its target."""
    scope = number[family.scope]
    if isinstance(family, Couplings):
        both = np.flatnonzero((scope >= 0).all(axis=1))
        return replace(family.take(both), scope=scope[both])
    if isinstance(family, Observations):
        gone = ((scope < 0) & (family.scope >= 0))[..., None, None]
        known = times(np.where(gone, family.design, 0.0), apart[family.scope]).sum(axis=1)
        (F, _, p), target = family.design.shape[:3], family.target
        target = np.concatenate([np.broadcast_to(target, (F, p, columns)), known], axis=2)
        rest = replace(
            family, scope=scope, design=np.where(gone, 0.0, family.design), target=target
        )
        return rest.take(np.flatnonzero((scope >= 0).any(axis=1)))
    raise NumericalError(
        "feedback needs factors that have a share of A",
        where="belief propagation",
        expected="couplings and observations",
        found=type(family).__name__,
    )


def units(n: int, d: int, chosen: Slots) -> Matrix:
    """The unit vectors of the chosen variables, (n, d, k d)."""
    found = np.zeros((n, d, len(chosen), d))
    found[chosen, :, np.arange(len(chosen)), :] = np.eye(d)
    return found.reshape(n, d, -1)


def _inverse(A: Matrix) -> Matrix:
    """Of the feedback variables' precision. Raises PropagationError: it isn't positive definite."""
    if not positive(A[None]):
        raise PropagationError(
            Cause.INDEFINITE,
            "the system is not positive definite",
            expected="the feedback variables' precision to be",
            remedy="Check the system, or add a precision to each variable",
        )
    return np.asarray(np.linalg.inv(A), dtype=np.float64)

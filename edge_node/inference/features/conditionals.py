"""Each row's regression on its neighbours: what a kernel graph knows of a covariance.

With C the covariance of a row i and of its neighbours N,

    b_i = C_NN^-1 c_Ni,      D_i = C_ii - c_iN b_i

(Vecchia 1988; Katzfuss & Guinness 2021, eq. 3). With B = I - (b_ij), unit triangular in the graph's
order, B'D^-1 B is the precision of all rows, and the sum of log D_i the log determinant of their
covariance: positive definite whatever the neighbours. If they are all rows before, it is exact.

Both follow from one Cholesky factor with the row as the last one: its last row is (L^-1 c)', and
the square of its last entry is D. Thousands of small factors are computed at once.

A neighbour that says no more than those before it, such as a copy of one, gets a coefficient of
zero. A row of which nothing is left open keeps a variance of ``LEAST_OPEN`` of the largest one: a
covariance is a difference of numbers of that size, and is known no better.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Self, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from edge_node.arrays import Matrix, Vector
from edge_node.inference.features.kernel_graph import KernelGraph, Neighbours
from edge_node.inference.features.nystrom import Features
from edge_node.inference.numerics.distances import Indices, Stack

__all__ = [
    "LEAST_OPEN",
    "Conditionals",
    "Covariances",
    "regress",
    "regressions",
    "residual_covariances",
]

Covariances: TypeAlias = Callable[[Indices], Stack]
"""From some rows each of many times (g, m) to their covariances (g, m, m)."""

LEAST_OPEN = 1e-12
"""Share of a covariance's largest entry that rounding may leave of a row that is known."""

_NUMBERS_AT_ONCE = 1 << 20  # of covariances: 8 MB, and enough for JAX to pay


@dataclass(frozen=True)
class Conditionals:
    """Rows' regressions on their neighbours.

    Attributes:
        coefficients: b (n, k); zero where there is no neighbour.
        variances: D (n,), positive.
    """

    coefficients: Matrix
    variances: Vector

    @classmethod
    def of(cls, graph: KernelGraph, covariances: Covariances, noise: Vector | float = 0.0) -> Self:
        """Of all rows of a graph.

        Args:
            graph: n rows and their neighbours.
            covariances: C without noise, between rows by their numbers.
            noise: each row's (n,), what is added to C's diagonal; or one for all.
        """
        noises = np.broadcast_to(np.asarray(noise, dtype=np.float64), (len(graph.order),))
        rows = np.arange(len(graph.order))
        (found,) = regressions(covariances, rows, graph.neighbours, [noises])
        return cls(found.coefficients, found.variances)

    def matrix(self, neighbours: Neighbours | Indices, size: int) -> "csr_array[np.float64]":
        """The coefficients b_ij as a sparse matrix (n, size), of n rows whose ``neighbours`` (n, k)
        are among ``size`` ones. If those are the n rows themselves, B is the identity less this.
        """
        known = neighbours >= 0
        ends = np.concatenate([[0], np.cumsum(known.sum(axis=1))])
        parts = self.coefficients[known], neighbours[known], ends
        return csr_array(parts, shape=(len(known), size))


def regressions(
    covariances: Covariances,
    rows: Indices,
    neighbours: Neighbours | Indices,
    noises: Sequence[Vector],
) -> list[Conditionals]:
    """Some rows' regressions on their neighbours, for each of a few noises.

    Args:
        covariances: C without noise, between n rows by their numbers.
        rows: which of them (m,).
        neighbours: of each of these (m, k), among the n; -1 where there are fewer.
        noises: each what is added to C's diagonal (n,).
    """
    found = [Conditionals(np.zeros(neighbours.shape), np.empty(len(rows))) for _ in noises]
    for some in _parts(*neighbours.shape):
        known, own = neighbours[some] >= 0, rows[some, None]
        together = np.column_stack([np.where(known, neighbours[some], own), own])
        C, ends = covariances(together), np.arange(together.shape[1])
        for each, noise in zip(found, noises, strict=True):
            noisy = C.copy()
            noisy[:, ends, ends] += noise[together]
            part = regress(noisy, known)
            each.coefficients[some], each.variances[some] = part.coefficients, part.variances
    return found


def _parts(rows: int, neighbours: int) -> Iterator[slice]:
    step = max(1, _NUMBERS_AT_ONCE // (neighbours + 1) ** 2)
    return (slice(start, start + step) for start in range(0, rows, step))


def regress(covariances: Stack, known: NDArray[np.bool_]) -> Conditionals:
    """The regressions of g rows on k others each.

    Args:
        covariances: C (g, k + 1, k + 1), the row itself the last one, noise included; overwritten.
        known: (g, k), False for what is no neighbour: its covariances don't matter.
    """
    if not known.all():
        _set_apart(covariances, known)
    L = _factors(covariances)
    coefficients = _backwards(L[:, :-1, :-1], L[:, -1, :-1].copy())
    return Conditionals(np.where(known, coefficients, 0.0), np.square(L[:, -1, -1]))


def _backwards(L: Stack, right: Matrix) -> Matrix:
    """L'^-1 v for each of L (g, k, k), lower triangular, and v (g, k), which is overwritten."""
    for j in reversed(range(right.shape[1])):
        right[:, j] /= L[:, j, j]
        right[:, :j] -= right[:, j, None] * L[:, j, :j]
    return right


def _set_apart(covariances: Stack, known: NDArray[np.bool_]) -> None:
    """Make those that aren't ``known`` (g, k) independent of all others, as certain as the row."""
    which, place = np.nonzero(~known)
    own = covariances[which, -1, -1]
    covariances[which, place, :] = 0.0
    covariances[which, :, place] = 0.0
    covariances[which, place, place] = np.where(own > 0.0, own, 1.0)


def _factors(covariances: Stack) -> Stack:
    """Cholesky factors (g, m, m)."""
    least = _least(covariances)
    try:
        L = np.linalg.cholesky(covariances).astype(np.float64, copy=False)
    except np.linalg.LinAlgError:
        return _semidefinite(covariances, least)
    open_ = np.einsum("gii->gi", L) ** 2 > least
    if not open_.all():
        poor = ~open_.all(axis=1)
        L[poor] = _semidefinite(covariances[poor], least[poor])
    return L


def _least(covariances: Stack) -> Matrix:
    """What rounding may leave of a variance (g, 1)."""
    largest = np.einsum("gii->gi", covariances).max(axis=1, keepdims=True)
    least: Matrix = np.maximum(LEAST_OPEN * largest, np.finfo(np.float64).tiny)
    return least


def _semidefinite(covariances: Stack, least: Matrix) -> Stack:
    """The same where some rows follow from those before: these get a column of their own."""
    L = np.zeros_like(covariances)
    for j in range(L.shape[1]):
        left = covariances[:, j:, j] - np.einsum("gik,gk->gi", L[:, j:, :j], L[:, j, :j])
        known = left[:, 0] <= least[:, 0]
        pivot = np.sqrt(np.where(known, least[:, 0], left[:, 0]))
        L[:, j:, j] = np.where(known[:, None], 0.0, left / pivot[:, None])
        L[:, j, j] = pivot
    return L


def residual_covariances(features: Features, places: Matrix, Phi: Matrix) -> Covariances:
    """What landmarks leave of the kernel between rows, k(x, z) - phi(x)'phi(z).

    Args:
        features: phi.
        places: the rows (n, d), where the metric puts them.
        Phi: their features (n, r).
    """

    def between(rows: Indices) -> Stack:
        C = features.kernel.within(places[rows])
        step = max(1, _NUMBERS_AT_ONCE // max(1, rows.shape[1] * Phi.shape[1]))
        for some in (slice(start, start + step) for start in range(0, len(rows), step)):
            own = Phi[rows[some]]
            C[some] -= own @ own.transpose(0, 2, 1)
        return C

    return between

"""What a run sums, as functions of one row: the equations that an attacker solves.

Every total is a sum over rows of a known function of a row. With that function and its slopes, all
totals of a run are one system of equations in the cells of the rows that the attacker doesn't have.
A row is its encoded inputs x and its target y, side by side: (d + 1,).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular

from edge_node.arrays import Matrix, Vector
from edge_node.inference.features.nystrom import Features

__all__ = [
    "Equations",
    "Joined",
    "Moments",
    "Numeric",
    "OuterProducts",
    "RowSums",
    "Slopes",
    "feature_slopes",
    "whitened",
]

Slopes = NDArray[np.float64]
"""Of k numbers of each of n rows, with respect to the row's c cells: (n, k, c)."""

_STEP = 1e-5  # of differences: what rounding and curvature leave is near 1e-10
_KEPT = 1e-9  # directions of the equations with less of the largest deviation are rounding


class RowSums(Protocol):
    """A function of a row that is summed over rows."""

    def of(self, rows: Matrix) -> Matrix:
        """Its numbers (n, k) at rows (n, c)."""
        ...

    def slopes(self, rows: Matrix) -> Slopes:
        """Their slopes at rows (n, c)."""
        ...


@dataclass(frozen=True)
class Moments:
    """Every cell, and every product of two: means and covariance."""

    def of(self, rows: Matrix) -> Matrix:
        """The numbers, (n, c + c (c + 1) / 2)."""
        return np.hstack([rows, _triangle(rows)])

    def slopes(self, rows: Matrix) -> Slopes:
        """Their slopes."""
        each = np.broadcast_to(np.eye(rows.shape[1]), (len(rows), *2 * rows.shape[1:]))
        return np.concatenate([each, _triangle_slopes(rows, each)], axis=1)


@dataclass(frozen=True)
class OuterProducts:
    """w phi phi' and w phi y: what posteriors are made of, before it is summed.

    Attributes:
        features: phi, r of them.
        noises: s2, for the weights w = s2 / (u + s2) of the conditional messages, u = k(x, x) -
            phi'phi; infinite: all rows weigh 1.
    """

    features: Features
    noises: Sequence[float] = (np.inf,)

    def of(self, rows: Matrix) -> Matrix:
        """The numbers, (n, r (r + 1) / 2 + r) for each noise."""
        X, y = rows[:, :-1], rows[:, -1:]
        Phi, uncovered = self.features.covered(X)
        products = np.hstack([_triangle(Phi), Phi * y])
        return np.hstack([products / (1 + uncovered / s2)[:, None] for s2 in self.noises])

    def slopes(self, rows: Matrix) -> Slopes:
        """Their slopes."""
        X, y = rows[:, :-1], rows[:, -1:]
        Phi, uncovered = self.features.covered(X)
        inner = feature_slopes(self.features, X)
        products = np.hstack([_triangle(Phi), Phi * y])
        by_target = np.zeros_like(products)
        by_target[:, -Phi.shape[1] :] = Phi
        by_input = np.concatenate([_triangle_slopes(Phi, inner), inner * y[:, None]], axis=1)
        slopes = np.concatenate([by_input, by_target[:, :, None]], axis=2)
        change = -2 * np.einsum("nr,nrd->nd", Phi, inner) + _power_slopes(self.features, X)
        change = np.pad(change, ((0, 0), (0, 1)))  # u doesn't depend on the target
        found = []
        for s2 in self.noises:
            w = 1 / (1 + uncovered / s2)
            by_weight = (-np.square(w) / s2)[:, None] * change
            found.append(w[:, None, None] * slopes + products[:, :, None] * by_weight[:, None])
        return np.concatenate(found, axis=1)


@dataclass(frozen=True)
class Numeric:
    """Any function of rows; its slopes are taken from differences."""

    function: Callable[[Matrix], Matrix]

    def of(self, rows: Matrix) -> Matrix:
        """The numbers."""
        return self.function(rows)

    def slopes(self, rows: Matrix) -> Slopes:
        """Their slopes, to about ten digits."""
        steps = _STEP * np.eye(rows.shape[1])
        changes = [self.function(rows + step) - self.function(rows - step) for step in steps]
        return np.stack(changes, axis=2) / (2 * _STEP)


@dataclass(frozen=True)
class Joined:
    """The first ``numbers`` numbers of several sums over the same rows; all, if None."""

    parts: Sequence[RowSums]
    numbers: int | None = None

    def of(self, rows: Matrix) -> Matrix:
        """The numbers."""
        return np.hstack([part.of(rows) for part in self.parts])[:, : self.numbers]

    def slopes(self, rows: Matrix) -> Slopes:
        """Their slopes."""
        return np.concatenate([part.slopes(rows) for part in self.parts], 1)[:, : self.numbers]


@dataclass(frozen=True)
class Equations:
    """Sums over ``count`` rows, and their totals, in coordinates in which they vary alike.

    Attributes:
        sums: what was summed.
        total: (k,), the attacker's own rows subtracted.
        count: how many rows of others it is over.
        turn: (e, k): only e combinations of the numbers vary beyond rounding; those that vary
            most come first.
        sizes: (e,), how much they vary, relative to the first.
    """

    sums: RowSums
    total: Vector
    count: int
    turn: Matrix
    sizes: Vector

    def coarse(self, floor: float) -> "Equations":
        """The same, with combinations that vary by less than ``floor`` made light: a solver that
        begins with the others has fewer wrong minima to end in.
        """
        light = np.minimum(self.sizes / floor, 1.0)
        return replace(self, turn=light[:, None] * self.turn)

    def misfit(self, rows: Matrix) -> Vector:
        """By how much rows (n, c) miss the totals (e,)."""
        missed: Vector = self.turn @ (self.sums.of(rows).sum(axis=0) - self.total)
        return missed

    def slopes(self, rows: Matrix) -> Matrix:
        """The misfit's slopes (e, n c)."""
        slopes: Slopes = np.einsum("ek,nkc->enc", self.turn, self.sums.slopes(rows), optimize=True)
        return slopes.reshape(len(self.turn), -1)


def whitened(sums: RowSums, total: Vector, count: int, guesses: Matrix) -> Equations:
    """Equations whose combinations vary by one over rows that are like ``guesses`` (g, c)."""
    values = sums.of(guesses) - total / count
    scale = values.std(axis=0) + np.finfo(float).tiny
    _, sizes, directions = np.linalg.svd((values - values.mean(axis=0)) / scale, False)
    kept = sizes > _KEPT * sizes[0]
    turn = directions[kept] * np.sqrt(len(guesses)) / sizes[kept, None] / scale
    return Equations(sums, total, count, turn, sizes[kept] / sizes[0])


def feature_slopes(features: Features, X: Matrix) -> Slopes:
    """The slopes (n, r, d) of phi at X (n, d)."""
    weights = solve_triangular(features.cholesky, np.eye(len(features.landmarks)), lower=True).T
    slopes = features.kernel.gradient(features.place(X), features.landmarks, weights)
    slopes = slopes.transpose(1, 0, 2)
    return slopes if features.metric is None else slopes @ features.metric


def _power_slopes(features: Features, X: Matrix) -> Matrix:
    """The slopes (n, d) of k(x, x)."""
    steps = _STEP * np.eye(X.shape[1])
    power = features.prior_variance
    return np.stack([power(X + s) - power(X - s) for s in steps], axis=1) / (2 * _STEP)


def _triangle(V: Matrix) -> Matrix:
    """The triangle of v v' for each row v of V (n, k)."""
    i, j = np.triu_indices(V.shape[1])
    return V[:, i] * V[:, j]


def _triangle_slopes(V: Matrix, inner: Slopes) -> Slopes:
    """The slopes of ``_triangle``, from those of V."""
    i, j = np.triu_indices(V.shape[1])
    return inner[:, i] * V[:, j, None] + V[:, i, None] * inner[:, j]

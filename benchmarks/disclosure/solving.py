"""Rows from all totals at once: least squares over the cells of the rows.

The attack that needs no null space: totals are equations, cells are unknowns. Levenberg-Marquardt
from many starts, with what else an attacker knows: the totals' Gaussian (a prior that is let go,
stage by stage) and columns with two values (a penalty on all others).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from benchmarks.disclosure.rows import Victims
from benchmarks.disclosure.sums import Equations, RowSums
from edge_node.arrays import Matrix, Vector

__all__ = ["neighbourhood", "solve_rows"]

_STAGES = (
    (0.1, 0.1, 0.0),
    (0.03, 0.03, 0.03),
    (0.01, 0.01, 0.1),
    (1e-3, 0.0, 0.3),
    (1e-4, 0.0, 1.0),
    (1e-6, 0.0, 3.0),
    (1e-9, 0.0, 3.0),
)
"""One after the other: which equations are light, the weight of the prior, and that of the penalty
on values that a binary column doesn't have."""
_STEPS = 60  # of a stage, at most
_SETTLED = 1e-4  # a stage ends where a step gains less than this share
_EXACT = 1e-18  # a squared misfit that only rounding leaves
_STIFFEST = 1e9


@dataclass(frozen=True)
class _Problem:
    """Totals, and what else is known of the rows."""

    equations: Equations
    victims: Victims
    precision: Matrix

    @classmethod
    def of(cls, equations: Equations, victims: Victims) -> Self:
        """With the inverse of the victims' covariance, where it has one."""
        covariance = victims.covariance
        ridge = 1e-6 * np.trace(covariance) / len(covariance) * np.eye(len(covariance))
        return cls(equations, victims, np.linalg.inv(covariance + ridge))

    def cost(self, rows: Matrix, prior: float, penalty: float) -> float:
        """What is to be made small; infinite where it isn't finite."""
        misfit, centred = self.equations.misfit(rows), rows - self.victims.mean
        unlikely = np.einsum("nc,cd,nd->", centred, self.precision, centred)
        unlike = np.square(self._gaps(rows)[0]).sum()
        cost = misfit @ misfit + prior**2 * unlikely + penalty**2 * unlike
        return float(cost) if np.isfinite(cost) else np.inf

    def expansion(self, rows: Matrix, prior: float, penalty: float) -> tuple[Vector, Matrix]:
        """Half the cost's gradient (n c,), and its Gauss-Newton curvature (n c, n c)."""
        J = self.equations.slopes(rows)
        curvature = J.T @ J
        curvature += prior**2 * np.kron(np.eye(len(rows)), self.precision)
        gap, slope = self._gaps(rows)
        curvature[np.diag_indices_from(curvature)] += penalty**2 * np.square(slope).ravel()
        gradient = J.T @ self.equations.misfit(rows) + penalty**2 * (gap * slope).ravel()
        gradient += prior**2 * ((rows - self.victims.mean) @ self.precision).ravel()
        return gradient, curvature

    def _gaps(self, rows: Matrix) -> tuple[Matrix, Matrix]:
        """How far cells (n, c) of binary columns are from both values, and the slopes of that."""
        low, high = self.victims.levels
        binary = self.victims.binary
        gap = np.where(binary, (rows - low) * (rows - high), 0.0)
        return gap, np.where(binary, 2 * rows - low - high, 0.0)


def solve_rows(
    equations: Equations, victims: Victims, starts: Iterable[Matrix]
) -> Iterator[tuple[float, Matrix]]:
    """For each start (n, c): the squared misfit that is left, and the rows (n, c) that have it.

    Args:
        equations: the totals.
        victims: their Gaussian, and which columns have two values; not their rows.
        starts: where to begin.
    """
    for start in starts:
        rows = start
        for floor, prior, penalty in _STAGES:
            rows = _descend(_Problem.of(equations.coarse(floor), victims), rows, prior, penalty)
        misfit = equations.misfit(rows)
        yield float(misfit @ misfit), rows


def _descend(problem: _Problem, rows: Matrix, prior: float, penalty: float) -> Matrix:
    """Levenberg-Marquardt's steps until they gain little (Nocedal & Wright 2006, section 10.3)."""
    stiffness, cost = 1e-2, problem.cost(rows, prior, penalty)
    for _ in range(_STEPS):
        gradient, curvature = problem.expansion(rows, prior, penalty)
        diagonal = np.diag(curvature) + 1e-9 * curvature.trace() / len(curvature)
        while stiffness < _STIFFEST:
            factor = cho_factor(curvature + stiffness * np.diag(diagonal))
            tried = rows - cho_solve(factor, gradient).reshape(rows.shape)
            reached = problem.cost(tried, prior, penalty)
            if reached < cost:
                break
            stiffness *= 4
        else:
            break
        gain, rows, cost = 1 - reached / cost, tried, reached
        stiffness = max(0.3 * stiffness, 1e-9)
        if gain < _SETTLED or cost < _EXACT:
            break
    return rows


def neighbourhood(
    sums: RowSums, victims: Victims, rng: np.random.Generator, known: int = 0
) -> Matrix:
    """Candidates (n, c) of somebody who was handed the right neighbourhood of the rows.

    No attack, but a bound on what a search could reach. To first order the totals fix those
    combinations of cells that the sums' slopes span, and leave the others as uncertain as the
    Gaussian says. So the candidates are the rows with their component outside of the span drawn
    anew. Columns with two values are known, since these lie too far apart to be confused; so are
    the last ``known`` columns.
    """
    rows, columns = victims.rows, np.arange(victims.rows.shape[1])
    sought = ~victims.binary & (columns < len(columns) - known)
    across = victims.covariance[np.ix_(sought, ~sought)]
    given = np.linalg.pinv(victims.covariance[np.ix_(~sought, ~sought)])
    within = victims.covariance[np.ix_(sought, sought)] - across @ given @ across.T
    values, vectors = np.linalg.eigh(within)
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    slopes = sums.slopes(rows)[:, :, sought] @ root
    J = slopes.transpose(1, 0, 2).reshape(slopes.shape[1], -1)
    J /= np.linalg.norm(J, axis=1, keepdims=True) + np.finfo(float).tiny
    drawn = rng.standard_normal(J.shape[1])
    fixed, *_ = np.linalg.lstsq(J, J @ drawn, rcond=1e-10)
    candidates = rows.copy()
    candidates[:, sought] += (drawn - fixed).reshape(len(rows), -1) @ root.T
    return candidates

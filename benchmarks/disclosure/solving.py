"""Rows from all totals at once: least squares over the cells of the rows.

The attack that needs no null space: totals are equations, cells are unknowns. Levenberg-Marquardt
from many starts, with what else an attacker knows: the totals' Gaussian (a prior that is let go,
stage by stage), columns with two values (a penalty on all others), cells that it has from elsewhere.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve

from benchmarks.disclosure.rows import Victims
from benchmarks.disclosure.sums import Equations, RowSums
from edge_node.arrays import Matrix, Vector

__all__ = ["Knowledge", "neighbourhood", "solve_rows"]

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
class Knowledge:
    """What an attacker knows beside the totals.

    Attributes:
        victims: their Gaussian, and which columns have two values.
        cells: (n, c), cells that are known; nan for the others. None: none is known.
    """

    victims: Victims
    cells: Matrix | None = None
    precision: Matrix = field(init=False)

    def __post_init__(self) -> None:
        covariance = self.victims.covariance
        ridge = 1e-6 * np.trace(covariance) / len(covariance) * np.eye(len(covariance))
        object.__setattr__(self, "precision", np.linalg.inv(covariance + ridge))

    def free(self, count: int) -> NDArray[np.bool_]:
        """Which cells (count, c) are looked for."""
        if self.cells is None:
            return np.ones((count, len(self.precision)), dtype=bool)
        return np.isnan(self.cells)


def solve_rows(
    equations: Equations, knowledge: Knowledge, starts: Iterable[Matrix]
) -> Iterator[tuple[float, Matrix]]:
    """For each start (n, c): the squared misfit that is left, and the rows (n, c) that have it.

    Cells that are known are as in ``knowledge`` in every start.
    """
    for start in starts:
        rows = start.copy()
        for floor, prior, penalty in _STAGES:
            rows = _descend(equations.coarse(floor), knowledge, rows, prior, penalty)
        misfit = equations.misfit(rows)
        yield float(misfit @ misfit), rows


def _descend(
    equations: Equations, knowledge: Knowledge, rows: Matrix, prior: float, penalty: float
) -> Matrix:
    """Levenberg-Marquardt's steps until they gain little (Nocedal & Wright 2006, section 10.3)."""
    stiffness, free = 1e-2, knowledge.free(len(rows)).ravel()
    cost = _cost(equations, knowledge, rows, prior, penalty)
    for _ in range(_STEPS):
        gradient, curvature = _expansion(equations, knowledge, rows, prior, penalty)
        gradient, curvature = gradient[free], curvature[np.ix_(free, free)]
        diagonal = np.diag(curvature) + 1e-9 * curvature.trace() / len(curvature)
        while stiffness < _STIFFEST:
            step = np.zeros(rows.size)
            factor = cho_factor(curvature + stiffness * np.diag(diagonal))
            step[free] = -cho_solve(factor, gradient)
            tried = rows + step.reshape(rows.shape)
            reached = _cost(equations, knowledge, tried, prior, penalty)
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


def _cost(
    equations: Equations, knowledge: Knowledge, rows: Matrix, prior: float, penalty: float
) -> float:
    misfit, centred = equations.misfit(rows), rows - knowledge.victims.mean
    unlikely = np.einsum("nc,cd,nd->", centred, knowledge.precision, centred)
    unlike = np.square(_gaps(knowledge, rows)[0]).sum()
    cost = misfit @ misfit + prior**2 * unlikely + penalty**2 * unlike
    return float(cost) if np.isfinite(cost) else np.inf


def _expansion(
    equations: Equations, knowledge: Knowledge, rows: Matrix, prior: float, penalty: float
) -> tuple[Vector, Matrix]:
    """Half the cost's gradient (n c,), and its Gauss-Newton curvature (n c, n c)."""
    count = len(rows)
    J = equations.slopes(rows)
    curvature = J.T @ J
    curvature += prior**2 * np.kron(np.eye(count), knowledge.precision)
    gap, slope = _gaps(knowledge, rows)
    curvature[np.diag_indices_from(curvature)] += penalty**2 * np.square(slope).ravel()
    gradient = J.T @ equations.misfit(rows) + penalty**2 * (gap * slope).ravel()
    gradient += prior**2 * ((rows - knowledge.victims.mean) @ knowledge.precision).ravel()
    return gradient, curvature


def _gaps(knowledge: Knowledge, rows: Matrix) -> tuple[Matrix, Matrix]:
    """How far cells (n, c) of binary columns are from both values, and the slopes of that."""
    low, high = knowledge.victims.levels
    binary = knowledge.victims.binary
    gap = np.where(binary, (rows - low) * (rows - high), 0.0)
    return gap, np.where(binary, 2 * rows - low - high, 0.0)


def neighbourhood(sums: RowSums, victims: Victims, rng: np.random.Generator) -> Matrix:
    """Candidates (n, c) of somebody who was handed the right neighbourhood of the rows.

    No attack, but a bound on what a search could reach. To first order the totals fix those
    combinations of cells that the sums' slopes span, and leave the others as uncertain as the
    Gaussian says. So the candidates are the rows with their component outside of the span drawn
    anew. Binary columns are known: their two values lie too far apart to be confused.
    """
    rows, real = victims.rows, ~victims.binary
    given = victims.covariance[np.ix_(~real, ~real)]
    across = victims.covariance[np.ix_(real, ~real)]
    within = victims.covariance[np.ix_(real, real)] - across @ np.linalg.pinv(given) @ across.T
    values, vectors = np.linalg.eigh(within)
    root = vectors * np.sqrt(np.maximum(values, 1e-9))
    slopes = sums.slopes(rows)[:, :, real] @ root
    J = slopes.transpose(1, 0, 2).reshape(slopes.shape[1], -1)
    J /= np.linalg.norm(J, axis=1, keepdims=True) + np.finfo(float).tiny
    drawn = rng.standard_normal(J.shape[1])
    fixed, _, _, _ = np.linalg.lstsq(J, J @ drawn, rcond=1e-10)
    error = (drawn - fixed).reshape(len(rows), -1) @ root.T
    candidates = rows.copy()
    candidates[:, real] += error
    return candidates

"""How many rows the attacks find, against what is told: the curve of docs/threat-model.md.

Each point is a problem small enough for its attack to end: some rows of a real set, totals over
them such as a run sums (means and covariance, statistics under several kernels and noises), cut to
so many numbers. Guesses from the totals' Gaussian, as many as the attack has candidates, are the
baseline.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.disclosure.census import every_row, rows_of_census
from benchmarks.disclosure.directions import rows_in_span, rows_of_two_weightings
from benchmarks.disclosure.rows import SETS, Victims, found, victims_of
from benchmarks.disclosure.solving import neighbourhood, solve_rows
from benchmarks.disclosure.sums import Joined, Moments, OuterProducts, whitened
from benchmarks.figures import Row
from edge_node.arrays import Matrix
from edge_node.config import Activation, KernelKind
from edge_node.inference.features.nystrom import Features
from edge_node.inference.kernels.dense import DenseKernel

__all__ = ["PER_CELL", "PER_FEATURE", "feature_map", "measure_disclosure", "told"]

PER_CELL = (0.1, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0)
"""Numbers told per cell of others."""

PER_FEATURE = (0.25, 0.5, 0.75, 0.95, 1.0, 1.5, 3.0)
"""Rows per feature of a sum of outer products."""

_NOISES = (np.inf, 0.5, 0.1, 0.02, 0.004)
_DEPTHS = (2, 1, 3)
_ROWS_PER_FEATURE = 3  # of the totals that are solved
_LIKE = 3000  # rows drawn to see how numbers vary
_FEW = 24  # rows of a sum that is attacked by itself
_SEARCHES = 60
_YES_OR_NO = 11  # columns: 2048 possible rows

Columns = NDArray[np.intp]


def feature_map(victims: Victims, size: int, depth: int = 2, seed: int = 0) -> Features:
    """The NTK's features on Gaussian landmarks, as public as a run's."""
    kernel = DenseKernel(KernelKind.NTK, Activation.RELU, depth, 2.0, 0.0)
    landmarks = victims.relaxed(np.random.default_rng([seed, depth, size]), size)
    return Features.build(kernel, landmarks[:, :-1])


def told(victims: Victims, size: int, numbers: int) -> Joined:
    """What a run tells of rows, up to so many numbers: moments, then one statistic after another.

    Raises ValueError if there is not so much to tell.
    """
    columns = victims.rows.shape[1]
    parts: list[Moments | OuterProducts] = [Moments()]
    length = columns + columns * (columns + 1) // 2
    for seed in range(20):
        for depth in _DEPTHS:
            if length >= numbers:
                return Joined(parts, numbers)
            each = size * (size + 1) // 2 + size
            noises = _NOISES[: -(-(numbers - length) // each)]
            parts.append(OuterProducts(feature_map(victims, size, depth, seed), noises))
            length += len(noises) * each
    raise ValueError(f"fewer than {numbers} numbers can be told with {size} features")


def measure_disclosure(
    data: Path,
    *,
    sets: Sequence[str] = tuple(SETS),
    per_cell: Sequence[float] = PER_CELL,
    per_feature: Sequence[float] = PER_FEATURE,
    starts: int = 8,
    tell: Callable[[str], None] = lambda _: None,
) -> Iterator[Row]:
    """A row of figures for each attack and resolution.

    Args:
        data: the folder of data sets.
        sets: which to attack.
        per_cell: numbers told per cell.
        per_feature: rows per feature.
        starts: of each least-squares problem.
        tell: is told what is measured next.
    """
    for name in sets:
        victims = victims_of(SETS[name](data))
        for ratio in per_feature:
            for attack, measure in _LINEAR.items():
                tell(f"{name}, {attack}, {ratio:g} rows per feature")
                yield {"set": name, "attack": attack, **measure(victims, ratio)}
        for share in per_cell:
            for attack, measure_share in _JOINT.items():
                tell(f"{name}, {attack}, {share:g} numbers per cell")
                row = measure_share(victims, share, starts)
                if row is not None:
                    yield {"set": name, "attack": attack, **row}


def _null_space(victims: Victims, ratio: float) -> Row:
    """One sum."""
    few = victims.some(_FEW)
    features = feature_map(few, round(_FEW / ratio))
    Phi = features(few.rows[:, :-1])
    candidates = rows_in_span(Phi.T @ Phi, features, _points(few))
    return _inputs_row(few, candidates, features)


def _two_weightings(victims: Victims, ratio: float) -> Row:
    """Two sums of a search for the noise."""
    few = victims.some(_FEW)
    features = feature_map(few, round(_FEW / ratio))
    X = few.rows[:, :-1]
    Phi, uncovered = features.covered(X)
    first, second = ((Phi.T / (uncovered + noise)) @ Phi for noise in (0.5, 0.02))
    candidates = rows_of_two_weightings(first, second, features, _points(few)[:10])
    return _inputs_row(few, candidates, features)


def _points(victims: Victims) -> Matrix:
    return victims.relaxed(np.random.default_rng(1), _SEARCHES)[:, :-1]


def _inputs_row(victims: Victims, candidates: Matrix, features: Features) -> Row:
    X, size = victims.rows[:, :-1], len(features.landmarks)
    guesses = victims.guesses(np.random.default_rng(2), max(len(candidates), 1))[:, :-1]
    return {
        **_shape(victims, size, size * (size + 1) // 2),
        "found": int(found(X, candidates).sum()),
        "guessed": int(found(X, guesses).sum()),
    }


def _least_squares(
    victims: Victims, share: float, starts: int, *, count: int, columns: int
) -> Row | None:
    """All totals of a run together, of a few rows and columns; of all, the best start's rows."""
    few = victims.some(count, _spread(victims, columns))
    numbers, size = math.floor(share * few.rows.size), count // _ROWS_PER_FEATURE
    sums, rng = told(few, size, numbers), np.random.default_rng(3)
    total = sums.of(few.rows).sum(axis=0)
    equations = whitened(sums, total, count, few.guesses(rng, _LIKE))
    begin = (few.guesses(rng, count) for _ in range(starts))
    misfit, best = min(solve_rows(equations, few, begin), key=lambda each: each[0])
    return {**_joint_row(few, size, numbers, few.rows, best), "misfit": misfit}


def _bound(victims: Victims, share: float, _: int, *, count: int, known: float = 0.0) -> Row | None:
    """All columns, more rows: what a search that begins in the right place could reach."""
    if share > 1.0:
        return None  # nothing is left open
    rng, last = np.random.default_rng(5), victims.rows.shape[1] - 1
    few = victims.some(count, np.append(rng.permutation(last), last))
    numbers, size = math.floor(share * few.rows.size), count // _ROWS_PER_FEATURE
    candidates = neighbourhood(told(few, size, numbers), few, rng, round(known * last))
    return _joint_row(few, size, numbers, few.rows, candidates)


def _census(victims: Victims, share: float, _: int, *, count: int) -> Row | None:
    """Each column cut in two, as if all were questions of yes or no."""
    if share > 1.0:
        return None
    few = victims.cut(_YES_OR_NO).some(count)
    numbers, size = math.floor(share * few.rows.size), count // _ROWS_PER_FEATURE
    sums = told(few, size, numbers)
    universe, distinct = every_row(list(few.levels.T)), np.unique(few.rows, axis=0)
    candidates = rows_of_census(sums, sums.of(few.rows).sum(axis=0), count, universe)
    return _joint_row(few, size, numbers, distinct, candidates)


def _spread(victims: Victims, columns: int) -> Columns:
    """So many columns: two of many values, at most, if most others have two; the target, last."""
    real, binary = np.flatnonzero(~victims.binary), np.flatnonzero(victims.binary)
    if len(binary) < 3:
        last = victims.rows.shape[1] - 1
        return np.array([*np.linspace(0, last - 1, columns - 1).astype(int), last])
    return np.sort([*real[:2], *binary[-(columns - 2) :]])


def _joint_row(victims: Victims, size: int, numbers: int, rows: Matrix, candidates: Matrix) -> Row:
    guesses = victims.guesses(np.random.default_rng(4), len(candidates))
    return {
        **_shape(victims, size, numbers),
        "rows": len(rows),
        "found": int(found(rows, candidates).sum()),
        "guessed": int(found(rows, guesses).sum()),
    }


def _shape(victims: Victims, size: int, numbers: int) -> Row:
    count, columns = victims.rows.shape
    return {
        "rows": count,
        "columns": columns,
        "features": size,
        "rows_per_feature": count / size,
        "numbers": numbers,
        "per_cell": numbers / (count * columns),
        "per_real_cell": numbers / victims.real_cells,
    }


_LINEAR: dict[str, Callable[[Victims, float], Row]] = {
    "null space": _null_space,
    "two weightings": _two_weightings,
}

_JOINT: dict[str, Callable[[Victims, float, int], Row | None]] = {
    "least squares": partial(_least_squares, count=12, columns=6),
    "right neighbourhood": partial(_bound, count=60),
    "right neighbourhood, half of the columns known": partial(_bound, count=60, known=0.5),
    "census": partial(_census, count=60),
}

"""Rows to attack, guesses about them, and who counts as found."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.datasets import load
from benchmarks.hospitals import read_hospitals
from edge_node.arrays import Matrix

__all__ = ["NEAR", "SETS", "Victims", "found", "victims_of"]

NEAR = 0.1
"""A row is found where a candidate differs from it by less than this in every column, in standard
deviations."""

_WINSOR = 4.0  # standard deviations


@dataclass(frozen=True)
class Victims:
    """Rows of others, with what an attacker knows before any clever total.

    Attributes:
        rows: (n, c), standardised inputs and target.
        mean: (c,), of the federation's rows.
        covariance: (c, c), of the federation's rows.
        levels: (2, c): the two values of a column that has no others; nan for other columns.
    """

    rows: Matrix
    mean: NDArray[np.float64]
    covariance: Matrix
    levels: Matrix

    @property
    def binary(self) -> NDArray[np.bool_]:
        """Which columns (c,) have two values only."""
        known: NDArray[np.bool_] = ~np.isnan(self.levels[0])
        return known

    @property
    def real_cells(self) -> int:
        """Cells with more than two values: at least one a row."""
        return len(self.rows) * max(1, int((~self.binary).sum()))

    def guesses(self, rng: np.random.Generator, count: int) -> Matrix:
        """Rows (count, c) drawn from a Gaussian; in binary columns, from the two values."""
        drawn = self.relaxed(rng, count)
        low, high = self.levels
        middle = (low + high) / 2
        nearest = np.where(drawn > middle, high, low)
        return np.where(self.binary, nearest, drawn)

    def relaxed(self, rng: np.random.Generator, count: int) -> Matrix:
        """Rows (count, c) drawn from a Gaussian, whatever a column's values."""
        values, vectors = np.linalg.eigh(self.covariance)
        root = vectors * np.sqrt(np.maximum(values, 0.0))
        drawn: Matrix = self.mean + rng.standard_normal((count, len(root))) @ root.T
        return drawn

    def cut(self, columns: int) -> "Victims":
        """As many columns, at most, each cut in two at its mean: a table of yes and no."""
        chosen = self.some(len(self.rows), slice(-columns, None))
        yes = chosen.rows > chosen.rows.mean(axis=0)
        return victims_of(yes.astype(float))

    def some(self, count: int, columns: NDArray[np.intp] | slice = slice(None)) -> "Victims":
        """The first rows and some columns, known as before."""
        chosen = np.arange(self.rows.shape[1])[columns]
        return Victims(
            self.rows[:count, chosen],
            self.mean[chosen],
            self.covariance[np.ix_(chosen, chosen)],
            self.levels[:, chosen],
        )


def found(rows: Matrix, candidates: Matrix) -> NDArray[np.bool_]:
    """Which rows (n, c) have a candidate (k, c) within ``NEAR`` in every column: (n,)."""
    hit = np.zeros(len(rows), dtype=bool)
    for candidate in candidates:
        hit |= np.abs(rows - candidate).max(axis=1) < NEAR
    return hit


def victims_of(rows: Matrix, seed: int = 0) -> Victims:
    """Rows (n, c) in any units, standardised, winsorised, and in random order."""
    used = rows[:, rows.std(axis=0) > 0]
    standard = np.clip((used - used.mean(axis=0)) / used.std(axis=0), -_WINSOR, _WINSOR)
    shuffled = np.random.default_rng(seed).permutation(standard)
    levels = np.full((2, shuffled.shape[1]), np.nan)
    for column, values in enumerate(shuffled.T):
        if len(distinct := np.unique(values)) == 2:
            levels[:, column] = distinct
    covariance = np.cov(shuffled.T)
    return Victims(shuffled, shuffled.mean(axis=0), covariance, levels)


def _breast_cancer(_: Path) -> Matrix:
    from sklearn.datasets import load_breast_cancer

    data = load_breast_cancer()
    return np.column_stack([data.data, data.target])


def _hospitals(folder: Path) -> Matrix:
    batch, _, schema = read_hospitals(folder, indicator=False)
    categories = [c.categories for c in schema.columns if c.categories]
    labels = zip(batch.categorical.T, categories, strict=True)
    hot = [label == level for label, levels in labels for level in levels[1:]]
    return np.column_stack([batch.numeric, *hot, np.asarray(batch.target)]).astype(float)


def _concrete(folder: Path) -> Matrix:
    batch = load("concrete", folder).batch
    return np.column_stack([batch.numeric, np.asarray(batch.target)])


SETS: dict[str, Callable[[Path], Matrix]] = {
    "breast cancer": _breast_cancer,
    "hospitals": _hospitals,
    "concrete": _concrete,
}

"""Cross-validation over rows that nobody sees together.

A row's fold is a hash of its encoded inputs: the same wherever the row lies, and one for all its
duplicates. Sums over a fold's rows add up like all others. A model that was learnt without a fold
is scored on that fold's rows by two more numbers, which add up, too.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_node.arrays import Matrix, Rows, Vector
from edge_node.inference.features.nystrom import Features
from edge_node.inference.messages.evidence import Evidence
from edge_node.inference.numerics.hashing import row_hashes
from edge_node.inference.numerics.streaming import blocks

__all__ = [
    "FOLDS",
    "FoldRows",
    "Predictor",
    "best_score",
    "fold_counts",
    "fold_of",
    "local_scores",
]

FOLDS = 5


def fold_of(X: Matrix) -> NDArray[np.uint64]:
    """The fold (n,), 0 to FOLDS - 1, of each row of X (n, d)."""
    return row_hashes(X) % np.uint64(FOLDS)


def fold_counts(rows: Rows) -> Vector:
    """How many rows each fold has: (FOLDS,)."""
    counts = np.zeros(FOLDS)
    for X, _ in rows:
        counts += np.bincount(fold_of(X).astype(np.intp), minlength=FOLDS)
    return counts


@dataclass(frozen=True)
class FoldRows:
    """The rows of one fold, or all but those.

    Attributes:
        rows: chunks (X, y) of all.
        fold: 0 to FOLDS - 1.
        inside: True for the fold's own rows, False for all others.
    """

    rows: Rows
    fold: int
    inside: bool

    def __iter__(self) -> Iterator[tuple[Matrix, Vector]]:
        for X, y in self.rows:
            chosen = (fold_of(X) == self.fold) == self.inside
            yield X[chosen], y[chosen]


@dataclass(frozen=True)
class Predictor:
    """A regression posterior as far as scoring needs it: y ~ N(phi'mu, noise variance).

    Attributes:
        features: phi, r of them.
        mean: mu, (r,) or (r, q) for q targets.
        evidence: the noise and the amplitude.
    """

    features: Features
    mean: Matrix
    evidence: Evidence

    def log_density(self, X: Matrix, y: Matrix) -> Vector:
        """The log density (n,) of targets (n,) or (n, q) at X (n, d), in nats, up to a constant.

        The variance is that of the noise and of the residual process. The weights' variance, which
        is small where rows outnumber features, is left out.
        """
        Phi = self.features(X)
        uncovered = self.features.prior_variance(X) - np.square(Phi).sum(axis=1)
        errors = (y - Phi @ self.mean).reshape(len(X), -1)
        variance = self.evidence.amplitude * np.maximum(uncovered, 0.0)
        variance += self.evidence.noise_variance
        fit = np.square(errors).sum(axis=1) / variance
        density: Vector = -0.5 * (fit + errors.shape[1] * np.log(variance))
        return density


def local_scores(rows: Rows, reference: Predictor, others: Sequence[Predictor]) -> Vector:
    """How much better than ``reference`` each of k others predicts rows that none has seen.

    Returns:
        Shape (1 + 2 k,): n, then for each predictor the sum of its gains in log density over the
        reference, and the sum of their squares.
    """
    totals = np.zeros(1 + 2 * len(others))
    for X, y in blocks(rows):
        base = reference.log_density(X, y)
        gains = np.array([each.log_density(X, y) - base for each in others]).reshape(-1, len(X))
        sums = np.column_stack([gains.sum(axis=1), np.square(gains).sum(axis=1)])
        totals += np.concatenate([[len(X)], sums.ravel()])
    return totals


def best_score(totals: Vector) -> int | None:
    """The index of the best predictor, from the federation's sum of ``local_scores``.

    None where its mean gain over the reference doesn't exceed the gain's standard error.
    """
    count, sums = totals[0], totals[1:].reshape(-1, 2)
    if not (count > 1 and len(sums)):
        return None
    best = int(np.argmax(sums[:, 0]))
    mean, square = sums[best] / count
    error = np.sqrt(max(square - mean**2, 0.0) / (count - 1))
    return best if mean > error else None

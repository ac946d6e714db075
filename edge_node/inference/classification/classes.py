"""Class labels as numbers: offsets, contrasts and centred targets.

A softmax over C latents doesn't see what all latents have in common, so we model the C - 1
orthonormal contrasts only: with g (C - 1,) and the columns of Q (C, C - 1) orthonormal and
orthogonal to 1, the classes' logits are offsets + Q g. If the C latents were independent a priori
with variance a, so are the contrasts, and every probability is the same; but sums and Newton
systems are smaller by a factor (1 - 1/C)^2. Two classes: one latent.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.linalg import helmert

from edge_node.arrays import Matrix, Rows, Vector
from edge_node.errors import NumericalError

__all__ = ["LabelRows", "class_offsets", "contrast", "one_hot"]


def class_offsets(counts: Vector) -> Vector:
    """The fixed mean of the logits: log class proportions (C,).

    A class that no site gives rows of counts as half a row: it stays possible.

    Args:
        counts: rows per class (C,) in the whole federation.

    Raises:
        NumericalError: rows of fewer than two classes.
    """
    counts = np.asarray(counts, dtype=np.float64)
    if np.count_nonzero(counts > 0) < 2:
        raise NumericalError(
            "classification needs rows of at least two classes",
            found=f"rows of {np.count_nonzero(counts > 0)}",
            remedy="A site gives rows of a class only if it has `min_rows_per_category` of them;"
            " where all but one class are rarer, there is nothing to learn",
        )
    held = np.maximum(counts, 0.5)
    offsets: Vector = np.log(held / held.sum())
    return offsets


def contrast(classes: int) -> Matrix:
    """Q (C, C - 1): orthonormal columns orthogonal to 1 (Helmert). For C = 2: [-1, 1] / sqrt 2."""
    columns: Matrix = -helmert(classes).T
    return columns


def one_hot(y: Vector, classes: int) -> Matrix:
    """Indicators (n, C) of class indices y (n,). Raises NumericalError for any other number."""
    if wrong := sum(value not in range(classes) for value in np.unique(y)):
        raise NumericalError(
            "a target is not a class index",
            expected=f"an integer from 0 to {classes - 1}",
            found=f"{wrong} other values",  # not which: a node reports why it refuses
        )
    indicators: Matrix = np.eye(classes)[np.asarray(y).astype(np.int64)]
    return indicators


@dataclass(frozen=True)
class LabelRows:
    """Rows whose class indices became regression targets: (onehot(y) - proportions) Q.

    Attributes:
        rows: chunks (X, y (n,) class indices).
        offsets: log class proportions (C,).
    """

    rows: Rows
    offsets: Vector

    @property
    def outputs(self) -> int:
        """C - 1, the number of target columns."""
        return len(self.offsets) - 1

    def __iter__(self) -> Iterator[tuple[Matrix, Matrix]]:
        classes = len(self.offsets)
        Q, proportions = contrast(classes), np.exp(self.offsets)
        for X, y in self.rows:
            yield X, (one_hot(y, classes) - proportions) @ Q

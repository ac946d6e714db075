"""Class labels as numbers: offsets, contrasts, centred targets and averaged probabilities.

A softmax over C latents doesn't see what all latents have in common, so we model the C - 1
orthonormal contrasts only: with g (C - 1,) and the columns of Q (C, C - 1) orthonormal and
orthogonal to 1, the classes' logits are offsets + Q g. If the C latents were independent a priori
with variance a, so are the contrasts, and every probability is the same; but sums and Newton
systems are smaller by a factor (1 - 1/C)^2. Two classes: one latent.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import helmert
from scipy.special import ndtr, ndtri, softmax
from scipy.stats import qmc

from edge_node.errors import NumericalError
from edge_node.inference.arrays import Matrix, Rows, Vector

__all__ = ["LabelRows", "average_softmax", "class_offsets", "contrast", "one_hot"]

_MIXTURE_WEIGHTS = np.array(
    [
        0.003246343272134,
        0.051517477033972,
        0.195077912673858,
        0.315569823632818,
        0.274149576158423,
        0.131076880695470,
        0.027912418727972,
        0.001449567805354,
    ]
)
_MIXTURE_SLOPES = np.array(
    [
        1.365340806296348,
        1.059523971016916,
        0.830791313765644,
        0.650732166639391,
        0.508135425366489,
        0.396313345166341,
        0.308904252267995,
        0.238212616409306,
    ]
)
_POINTS_LOG2 = 9


def class_offsets(counts: Vector, classes: Sequence[str] = ()) -> Vector:
    """The fixed mean of the logits: log class proportions (C,).

    Args:
        counts: rows per class (C,) in the whole federation.
        classes: the labels, for the error message.

    Raises:
        NumericalError: fewer than two classes, or a class that no row has.
    """
    counts = np.asarray(counts, dtype=np.float64)
    if len(counts) < 2:
        raise NumericalError("classification needs at least two classes", found=str(len(counts)))
    absent = [str(classes[c] if classes else c) for c in np.flatnonzero(~(counts > 0))]
    if absent:
        raise NumericalError(
            "a class has no rows at any node",
            expected="at least one row of every class in the federation",
            found=f"none of class {', '.join(absent)}",
            remedy="Remove it from `data.classes` of the spec",
        )
    offsets: Vector = np.log(counts / counts.sum())
    return offsets


def contrast(classes: int) -> Matrix:
    """Q (C, C - 1): orthonormal columns orthogonal to 1 (Helmert). For C = 2: [-1, 1] / sqrt 2."""
    columns: Matrix = -helmert(classes).T
    return columns


def one_hot(y: Vector, classes: int) -> Matrix:
    """Indicators (n, C) of class indices y (n,). Raises NumericalError for any other number."""
    indices = np.asarray(y).astype(np.int64)
    if wrong := [value for value in np.unique(y) if value not in range(classes)]:
        raise NumericalError(
            "a target is not a class index",
            expected=f"an integer from 0 to {classes - 1}",
            found=", ".join(str(value) for value in wrong[:3]),
        )
    indicators: Matrix = np.eye(classes)[indices]
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


def average_softmax(logits: Matrix, covariance: Matrix) -> Matrix:
    """E softmax(logits + Q e) for e ~ N(0, covariance).

    Two classes: the logistic function as a mixture of eight normal distribution functions
    (Monahan & Stefanski 1992), accurate to 3e-9 whatever the variance. More: the mean over 512
    fixed quasi-random points (Sobol), accurate to about 1e-3; no random state, so that all nodes
    answer alike.

    Args:
        logits: their means (n, C).
        covariance: of the contrasts (n, C - 1, C - 1), positive semi-definite.

    Returns:
        Probabilities (n, C); each row sums to one.
    """
    if logits.shape[1] == 2:
        return _average_logistic(logits[:, 1] - logits[:, 0], 2.0 * covariance[:, 0, 0])
    classes = logits.shape[1]
    values, vectors = np.linalg.eigh(covariance)
    root = (vectors * np.sqrt(np.maximum(values, 0.0))[:, None, :]) @ vectors.transpose(0, 2, 1)
    spread = contrast(classes) @ root  # (n, C, C - 1)
    total = np.zeros_like(logits)
    for point in _normal_points(classes - 1):
        total += softmax(logits + spread @ point, axis=1)
    return total / total.sum(axis=1, keepdims=True)


def _average_logistic(mean: Vector, variance: Vector) -> Matrix:
    """E [1 - s(f), s(f)] (n, 2) for f ~ N(mean, variance), s the logistic function."""
    slopes = _MIXTURE_SLOPES / np.sqrt(1.0 + _MIXTURE_SLOPES**2 * variance[:, None])
    scaled = mean[:, None] * slopes
    pair = np.stack([ndtr(-scaled) @ _MIXTURE_WEIGHTS, ndtr(scaled) @ _MIXTURE_WEIGHTS], axis=1)
    probabilities: Matrix = pair / pair.sum(axis=1, keepdims=True)
    return probabilities


def _normal_points(dimension: int) -> Matrix:
    """Quasi-random standard normal points (2^9, dimension), always the same."""
    points = qmc.Sobol(dimension, scramble=False).random_base2(_POINTS_LOG2)
    normal: Matrix = ndtri(points + 0.5 / 2**_POINTS_LOG2)
    return normal

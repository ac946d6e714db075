"""A metric on the inputs, learnt from the posterior's own gradients.

A network of infinite width doesn't learn features. A finite one does, for a good part by stretching
the directions in which its function varies. With f the posterior's mean over the inputs x,

    M = sum over rows of grad f(x) grad f(x)'        (d, d),     T = M^1/2

up to a scale, and the kernel sees T x instead of x (Radhakrishnan et al. 2024, recursive feature
machines; M is the average gradient outer product). M adds over rows, whoever holds them.

Few rows don't determine d (d + 1) / 2 numbers. Then M's diagonal alone is a safer choice: one
number for each input.
"""

import enum
from collections.abc import Sequence
from math import lgamma

import numpy as np
from scipy.linalg import solve_triangular

from edge_node.arrays import Matrix, Rows, Vector, round_absolute
from edge_node.errors import NumericalError
from edge_node.inference.features.nystrom import Features
from edge_node.inference.numerics.streaming import blocks
from edge_node.inference.numerics.symmetric import SymmetricSum

__all__ = [
    "MetricKind",
    "gradient_outer_product",
    "kept_inputs",
    "metric_from",
    "metric_price",
    "place_exactly",
    "start_metric",
]

_LEAST = 1e-6
"""The least eigenvalue of T'T, of a mean of one: a direction without influence isn't forgotten."""

_BITS = 20
"""T is a multiple of 2^-20: a choice to six digits, the same however the gradients were summed."""


_DIAGONAL_SHRINKAGE = 0.25
"""How far a diagonal metric is shrunk towards the one before it. Without it, inputs are forgotten
too soon where rows are few (concrete, wine); with much more, a useful metric has little effect."""


class MetricKind(enum.Enum):
    """What of M a metric is made of."""

    FULL = enum.auto()
    DIAGONAL = enum.auto()

    def parameters(self, inputs: int) -> int:
        """How many numbers of M it is made of."""
        return inputs if self is MetricKind.DIAGONAL else inputs * (inputs + 1) // 2


def gradient_outer_product(rows: Rows, features: Features, weights: Matrix) -> Matrix:
    """M (d, d) of this node's rows, in one pass.

    Args:
        rows: chunks (X (n, d), y); the targets are ignored.
        features: phi, r of them; their metric, if they have one, is accounted for.
        weights: the mean of u, (r,) or (r, q): f(x) = weights' phi(x), q outputs.
    """
    columns = weights.reshape(len(weights), -1)
    A = solve_triangular(features.cholesky.T, columns, check_finite=False)
    size = features.landmarks.shape[1]
    total = SymmetricSum(size)
    for X, _ in blocks(rows):
        # Exactly: next to a landmark, a row's rounding would turn its direction to that landmark.
        placed = place_exactly(X, features.metric)
        gradients = features.kernel.gradient(placed, features.landmarks, A)
        total.add(gradients.reshape(-1, size))
    M, T = total.matrix(), features.metric
    return M if T is None else T.T @ M @ T


def start_metric(kept: Sequence[int], inputs: int) -> Matrix:
    """T (k, d), which leaves all inputs out but k, the ``kept`` ones of d = ``inputs``."""
    return np.eye(inputs)[list(kept)]


def kept_inputs(metric: Matrix | None, inputs: int) -> list[int]:
    """Which of d = ``inputs`` a metric T (k, d) doesn't leave out, ascending; None: all."""
    if metric is None:
        return list(range(inputs))
    return [int(j) for j in np.flatnonzero(metric.any(axis=0))]


def metric_price(kind: MetricKind | None, kept: int, inputs: int) -> float:
    """What a metric costs, in nats of evidence: it was chosen with the same rows.

    One for each number of M that it is made of (Akaike 1974), and log C(d, k) for k inputs out of
    d, as many ways as there are to choose them.

    Args:
        kind: what it was made of; None: of no gradients, all kept inputs weigh the same.
        kept: k.
        inputs: d.
    """
    choices = lgamma(inputs + 1) - lgamma(kept + 1) - lgamma(inputs - kept + 1)
    return choices + (0 if kind is None else kind.parameters(kept))


def metric_from(
    M: Matrix, kind: MetricKind = MetricKind.FULL, before: Vector | None = None
) -> Matrix:
    """T (d, d), symmetric: T'T is M to scale, tr T'T = d.

    Args:
        M: the federation's sum of gradient outer products (d, d).
        kind: FULL for all of M; DIAGONAL for its diagonal, shrunk a little towards ``before``.
        before: the diagonal of T'T (d,) of the metric under which M was summed; None: the
            identity's.

    Raises:
        NumericalError: M is not finite. (Where it is zero, T is the identity.)
    """
    if not np.isfinite(M).all():
        raise NumericalError("the sum of gradient outer products is not finite", where="metric")
    size, trace = len(M), float(np.trace(M))
    if not trace > 0:
        return np.eye(size)
    if kind is MetricKind.DIAGONAL:
        shares = np.diag(M) / trace * size
        least = np.ones(size) if before is None else before / before.sum() * size
        values = (1 - _DIAGONAL_SHRINKAGE) * shares + _DIAGONAL_SHRINKAGE * least
        return round_absolute(np.diag(np.sqrt(values)), _BITS)
    values, vectors = np.linalg.eigh(M / trace * size)
    values = np.maximum(values, _LEAST)
    root = (vectors * np.sqrt(values * (size / values.sum()))) @ vectors.T
    return round_absolute((root + root.T) / 2, _BITS)


def place_exactly(X: Matrix, metric: Matrix | None) -> Matrix:
    """X T' (n, d), each row by itself: the same bits however rows are chunked.

    A matrix product's rounding depends on its shape; where rows are compared (which landmark is
    nearest?) that could split them.
    """
    if metric is None:
        return X
    placed = np.zeros((len(X), len(metric)))
    for column, direction in zip(X.T, metric.T, strict=True):
        placed += column[:, None] * direction
    return placed

"""How good predictions are: accuracy of the mean, and honesty of the uncertainty."""

from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from edge_node.arrays import Matrix, Vector
from edge_node.errors import DataError

__all__ = [
    "accuracy",
    "class_scores",
    "coverage",
    "ece",
    "log_loss",
    "nll",
    "regression_scores",
    "rmse",
]

_SMALLEST = float(np.finfo(np.float64).tiny)


def regression_scores(
    y: Vector, mean: Vector, variance: Vector, half_width: Vector | None = None
) -> dict[str, float]:
    """``rmse``, ``nll`` and ``coverage95`` of predictions N(mean, variance) of y, (n,) each.

    ``half_width`` (n,) is half of the 95 % interval around the mean; None: a Gaussian's.
    """
    inside = None if half_width is None else np.abs(y - mean) <= half_width
    return {
        "rmse": rmse(y, mean),
        "nll": nll(y, mean, variance),
        "coverage95": coverage(y, mean, variance) if inside is None else float(inside.mean()),
    }


def class_scores(y: Vector, probabilities: Matrix) -> dict[str, float]:
    """``accuracy``, ``log_loss`` and ``ece`` of probabilities (n, C) of class indices y (n,)."""
    return {
        "accuracy": accuracy(y, probabilities),
        "log_loss": log_loss(y, probabilities),
        "ece": ece(y, probabilities),
    }


def rmse(y: Vector, mean: Vector) -> float:
    """Root mean squared error, in the targets' unit. y, mean (n,). Raises DataError."""
    _check_shapes(y=y, mean=mean)
    return float(np.sqrt(np.mean(np.square(y - mean))))


def nll(y: Vector, mean: Vector, variance: Vector) -> float:
    """Mean negative log density of y under N(mean, variance), in nats.

    The variance is that of an observation, noise included. Densities have units: standardised
    targets give another number than raw ones, by log of the scale. Raises DataError.
    """
    _check_shapes(y=y, mean=mean, variance=variance)
    _check_variance(variance)
    squares = np.square(y - mean) / variance
    return float(0.5 * np.mean(np.log(2 * np.pi * variance) + squares))


def coverage(y: Vector, mean: Vector, variance: Vector, level: float = 0.95) -> float:
    """The share of y (n,) within the central ``level`` interval of N(mean, variance).

    Calibrated predictions have a coverage near ``level``. Raises DataError.
    """
    _check_shapes(y=y, mean=mean, variance=variance)
    _check_variance(variance)
    if not 0 < level < 1:
        raise DataError("a level is a probability", expected="0 < level < 1", found=str(level))
    half_width = NormalDist().inv_cdf(0.5 + 0.5 * level) * np.sqrt(variance)
    return float(np.mean(np.abs(y - mean) <= half_width))


def accuracy(y: Vector, probabilities: Matrix) -> float:
    """The share of rows whose likeliest class, of probabilities (n, C), is y (n,).

    Raises:
        DataError: shapes or values don't fit.
    """
    labels = _check_classes(y, probabilities)
    return float(np.mean(probabilities.argmax(axis=1) == labels))


def log_loss(y: Vector, probabilities: Matrix) -> float:
    """Mean negative log probability of the true class, in nats; never infinite: a probability of
    zero counts as the smallest normal number (708 nats). Raises DataError.
    """
    labels = _check_classes(y, probabilities)
    chosen = probabilities[np.arange(len(labels)), labels]
    return float(-np.mean(np.log(np.maximum(chosen, _SMALLEST))))


def ece(y: Vector, probabilities: Matrix, bins: int = 15) -> float:
    """Expected calibration error of the top label (Naeini et al. 2015; Guo et al. 2017, eq. 3).

    Rows are sorted into ``bins`` equal-width bins (lower, upper] of their confidence, the largest
    probability; the result is the mean over rows of abs(accuracy - mean confidence) of their bin,
    between 0 and 1. Raises DataError.
    """
    labels = _check_classes(y, probabilities)
    confidence = probabilities.max(axis=1)
    correct = probabilities.argmax(axis=1) == labels
    bin_of = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    gaps = np.bincount(bin_of, weights=correct - confidence, minlength=bins)
    return float(np.abs(gaps).sum() / len(labels))


def _check_shapes(**arrays: Vector) -> None:
    """All (n,), the same n > 0, finite."""
    shapes = {name: np.shape(array) for name, array in arrays.items()}
    expected = next(iter(shapes.values()))
    found = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
    if len(expected) != 1 or expected[0] == 0 or len(set(shapes.values())) != 1:
        raise DataError("arrays differ in shape", expected="(n,) each, n > 0", found=found)
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise DataError("a value is not finite", where=name, expected="finite numbers")


def _check_variance(variance: Vector) -> None:
    if not (variance > 0).all():
        raise DataError(
            "a predictive variance is not positive",
            expected="the variance of an observation, noise included",
            found=str(float(np.min(variance))),
        )


def _check_classes(y: Vector, probabilities: Matrix) -> NDArray[np.intp]:
    """Labels y as indices (n,), given probabilities (n, C) that sum to one."""
    shape = np.shape(probabilities)
    if len(shape) != 2 or np.shape(y) != shape[:1] or shape[0] == 0:
        raise DataError(
            "labels and probabilities differ in shape",
            expected="y (n,) and probabilities (n, C), n > 0",
            found=f"y {np.shape(y)}, probabilities {shape}",
        )
    if not np.allclose(probabilities.sum(axis=1), 1.0, atol=1e-6) or (probabilities < 0).any():
        raise DataError("probabilities must be nonnegative and sum to one in each row")
    labels = np.asarray(y).astype(np.intp)
    if not (labels == y).all() or labels.min() < 0 or labels.max() >= shape[1]:
        raise DataError("a label is not a class index", expected=f"0 to {shape[1] - 1}", where="y")
    return labels

"""Scores of counts, of ordered classes, and of times to an event."""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from edge_node.arrays import Matrix, Vector
from edge_node.inference.evaluation.metrics import accuracy, log_loss, rmse

__all__ = [
    "concordance",
    "count_scores",
    "ordinal_scores",
    "poisson_deviance",
    "ranked_probability_score",
    "survival_scores",
]

_PAIRS = 1 << 22  # compared at a time
_QUANTILES = (0.0, 0.025, 0.5, 0.975, 1.0)
_FARTHEST = 8.0  # standard deviations


def count_scores(y: Vector, mean: Vector, lower: Vector, upper: Vector) -> dict[str, float]:
    """``poisson_deviance``, ``rmse`` and ``coverage95`` of counts y, (n,) each.

    Intervals between whole numbers cover at least as often as they say: where counts are small,
    one number more or less is a large step.
    """
    return {
        "poisson_deviance": poisson_deviance(y, mean),
        "rmse": rmse(y, mean),
        "coverage95": float(np.mean((lower <= y) & (y <= upper))),
    }


def ordinal_scores(y: Vector, probabilities: Matrix, label: Vector) -> dict[str, float]:
    """``accuracy`` of the median class, ``log_loss`` and ``rps``.

    Args:
        y: class indices (n,).
        probabilities: (n, C).
        label: the median class's index (n,).
    """
    chosen = np.eye(probabilities.shape[1])[label.astype(np.intp)]
    return {
        "accuracy": accuracy(y, chosen),
        "log_loss": log_loss(y, probabilities),
        "rps": ranked_probability_score(y, probabilities),
    }


def survival_scores(
    time: Vector, seen: NDArray[np.bool_], lower: Vector, median: Vector, upper: Vector
) -> dict[str, float]:
    """``concordance``, ``coverage95`` and ``calibration_error`` of times to an event, (n,) each.

    The calibration error is by how much the shares of events before and after the quantiles differ
    from what they should be: 0 is perfect, 1 the worst. A row that was lost from sight counts in
    parts, as its prediction spreads what comes after (D-calibration: Haider, Hoehn, Davis & Greiner
    2020, section 3.4). There, between the three quantiles, a prediction is taken to be log-normal.

    Args:
        time: of the event, or until which a row was seen.
        seen: whether the event was.
        lower: the 2.5 % quantile of each prediction.
        median: the median.
        upper: the 97.5 % quantile.
    """
    before = _probability_before(time, lower, median, upper)
    shares = [_share_within(before, seen, low, high) for low, high in pairwise(_QUANTILES)]
    return {
        "concordance": concordance(time, seen, median),
        "coverage95": shares[1] + shares[2],
        "calibration_error": float(0.5 * np.abs(shares - np.diff(_QUANTILES)).sum()),
    }


def poisson_deviance(y: Vector, mean: Vector) -> float:
    """Mean of 2 [y log(y / mean) - (y - mean)] of counts y (n,), for positive means (n,)."""
    log_ratio = np.log(np.where(y > 0, y, 1.0)) - np.log(mean)
    return float(2.0 * np.mean(np.where(y > 0, y * log_ratio, 0.0) - (y - mean)))


def ranked_probability_score(y: Vector, probabilities: Matrix) -> float:
    """Mean over rows, and over the C - 1 places between classes, of the squared error of the
    probability to be below (Epstein 1969); 0 is perfect, 1 the worst.

    Args:
        y: class indices (n,).
        probabilities: (n, C).
    """
    classes = probabilities.shape[1]
    below = np.cumsum(probabilities, axis=1)[:, :-1]
    truth = np.asarray(y)[:, None] <= np.arange(classes - 1)
    return float(np.mean(np.square(below - truth)))


def concordance(time: Vector, seen: NDArray[np.bool_], predicted: Vector) -> float:
    """Of the pairs of which it is known whose event came first: the share that is predicted so
    (Harrell, Lee & Mark 1996). Equal predictions count half; NaN without such pairs.

    Args:
        time: of the event, or until which a row was seen (n,).
        seen: whether the event was (n,).
        predicted: times (n,), or anything that grows with them.
    """
    right, pairs = 0.0, 0
    events = np.flatnonzero(seen)
    for rows in np.array_split(events, max(1, -(-len(events) * len(time) // _PAIRS))):
        own = time[rows, None]
        later = (time > own) | ((time == own) & ~seen)
        ahead = np.sign(predicted - predicted[rows, None])
        right += float((0.5 * (1.0 + ahead))[later].sum())
        pairs += int(later.sum())
    return right / pairs if pairs else float("nan")


def _share_within(before: Vector, seen: NDArray[np.bool_], low: float, high: float) -> float:
    """The share of rows whose event came between two quantiles of their predictions."""
    event = (low < before) & (before <= high)
    left = np.maximum(high - np.maximum(before, low), 0.0)
    censored = left / np.maximum(1.0 - before, np.finfo(float).tiny)
    return float(np.mean(np.where(seen, event, censored)))


def _probability_before(time: Vector, lower: Vector, median: Vector, upper: Vector) -> Vector:
    """P(event before ``time``) (n,), of a distribution with these quantiles."""
    from scipy.special import ndtr, ndtri  # a tenth of a second

    logs, reach = np.log(time / median), ndtri(0.975)
    below = np.maximum(np.log(median / lower), np.finfo(float).tiny)
    above = np.maximum(np.log(upper / median), np.finfo(float).tiny)
    deviations = reach * logs / np.where(logs < 0, below, above)
    probability: Vector = ndtr(np.clip(deviations, -_FARTHEST, _FARTHEST))
    return probability

"""What a model predicts of a batch of rows, by task."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from edge_node.arrays import Matrix, Vector

__all__ = [
    "ClassPredictions",
    "IntervalPredictions",
    "Predictions",
    "TimePredictions",
    "joined",
    "median_classes",
]


@dataclass(frozen=True)
class IntervalPredictions:
    """Regression and counts: arrays of shape (n,) in the target's unit.

    ``sd`` is that of a new observation (noise included), as large as held-out rows were found to
    ask for; ``lower`` and ``upper`` bound it with the probability asked for, by the same rows.
    """

    mean: Vector
    sd: Vector
    lower: Vector
    upper: Vector
    warnings: tuple[str, ...] = ()

    def rows(self) -> list[dict[str, Any]]:
        """A dictionary for each row."""
        columns = (self.mean.tolist(), self.sd.tolist(), self.lower.tolist(), self.upper.tolist())
        return [
            {"mean": mean, "sd": sd, "lower": lower, "upper": upper}
            for mean, sd, lower, upper in zip(*columns, strict=True)
        ]


@dataclass(frozen=True)
class ClassPredictions:
    """Classification: ``probabilities`` (n, C) in the order of ``classes``; rows sum to one.

    Where the order of the classes means something (``ordered``), a row's label is the median class.
    """

    classes: tuple[str, ...]
    probabilities: Matrix
    warnings: tuple[str, ...] = ()
    ordered: bool = False

    @property
    def labels(self) -> NDArray[np.intp]:
        """Each row's class (n,), as an index: the most probable one, or the median."""
        chosen = median_classes if self.ordered else _most_probable
        return chosen(self.probabilities)

    def rows(self) -> list[dict[str, Any]]:
        """A dictionary for each row."""
        return [
            {
                "label": self.classes[int(label)],
                "probabilities": dict(zip(self.classes, row.tolist(), strict=True)),
            }
            for label, row in zip(self.labels, self.probabilities, strict=True)
        ]


@dataclass(frozen=True)
class TimePredictions:
    """Survival: arrays of shape (n,) in the target's unit.

    Attributes:
        median: the time before which the event is as likely as not.
        lower: bounds the time of the event, together with ``upper``, with the probability asked
            for.
        upper: the other bound.
        times: at which survival is asked.
        survival: (n, len(times)), the probability that the event is later.
        warnings: about the rows.
    """

    median: Vector
    lower: Vector
    upper: Vector
    times: tuple[float, ...]
    survival: Matrix
    warnings: tuple[str, ...] = ()

    def rows(self) -> list[dict[str, Any]]:
        """A dictionary for each row."""
        names = ["median", "lower", "upper", *(f"survival_{time:g}" for time in self.times)]
        columns = np.column_stack([self.median, self.lower, self.upper, self.survival])
        return [dict(zip(names, row, strict=True)) for row in columns.tolist()]


Predictions: TypeAlias = IntervalPredictions | ClassPredictions | TimePredictions


def joined(parts: Sequence[Predictions]) -> Predictions:
    """The answers to batches of rows, in their order; each warning once."""
    warnings = tuple(dict.fromkeys(warning for part in parts for warning in part.warnings))
    if isinstance(parts[0], ClassPredictions):
        tables = [part.probabilities for part in parts if isinstance(part, ClassPredictions)]
        first = parts[0]
        return ClassPredictions(first.classes, np.concatenate(tables), warnings, first.ordered)
    if isinstance(parts[0], TimePredictions):
        timed = [part for part in parts if isinstance(part, TimePredictions)]
        return TimePredictions(
            median=np.concatenate([part.median for part in timed]),
            lower=np.concatenate([part.lower for part in timed]),
            upper=np.concatenate([part.upper for part in timed]),
            times=parts[0].times,
            survival=np.concatenate([part.survival for part in timed]),
            warnings=warnings,
        )
    intervals = [part for part in parts if isinstance(part, IntervalPredictions)]
    return IntervalPredictions(
        mean=np.concatenate([part.mean for part in intervals]),
        sd=np.concatenate([part.sd for part in intervals]),
        lower=np.concatenate([part.lower for part in intervals]),
        upper=np.concatenate([part.upper for part in intervals]),
        warnings=warnings,
    )


def median_classes(probabilities: Matrix) -> NDArray[np.intp]:
    """The first class (n,) up to which at least half the probability lies, of ordered ones."""
    cumulated = np.cumsum(probabilities, axis=1)
    medians: NDArray[np.intp] = np.argmax(cumulated >= 0.5 * cumulated[:, -1:], axis=1)
    return medians


def _most_probable(probabilities: Matrix) -> NDArray[np.intp]:
    """The class (n,) of the highest probability."""
    chosen: NDArray[np.intp] = np.argmax(probabilities, axis=1)
    return chosen

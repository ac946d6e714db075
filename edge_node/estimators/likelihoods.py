"""Estimators of counts, of ordered classes, and of times to an event with censoring."""

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import d2_tweedie_score
from sklearn.utils.validation import check_is_fitted, validate_data

from edge_node.arrays import Matrix, Vector
from edge_node.config import Task
from edge_node.data.sources.checks import LARGEST_COUNT
from edge_node.estimators.classifier import TangentMeshClassifier
from edge_node.estimators.errors import InputError
from edge_node.estimators.estimator import Estimator
from edge_node.estimators.regressor import TangentMeshRegressor
from edge_node.estimators.sources import Target
from edge_node.inference.evaluation.task_scores import concordance
from edge_node.model.predictions import IntervalPredictions, TimePredictions

__all__ = ["TangentMeshCountRegressor", "TangentMeshOrdinalClassifier", "TangentMeshSurvival"]


class TangentMeshCountRegressor(TangentMeshRegressor):
    """Counts under a negative binomial likelihood with a log link, federated or not.

    Poisson's is its limit; the dispersion is learnt. Parameters and attributes are those of
    `edge_node.estimators.TangentMeshRegressor`.
    """

    _task = Task.COUNT

    def fit(  # type: ignore[override] # counts have no intervals that a time could decide on
        self,
        X: Any,
        y: ArrayLike,
        sites: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """As `TangentMeshRegressor.fit`, for whole numbers y (n,), none of them negative.

        Raises:
            ValueError: y is not of this form; and as `TangentMeshRegressor.fit`.
        """
        target = validate_data(self, y=y, y_numeric=True).astype(np.float64)
        wrong = (target < 0) | (target > LARGEST_COUNT) | (target != np.rint(target))
        if wrong.any():
            row = int(np.argmax(wrong))
            raise InputError(
                "a target is not a count",
                where=f"y, row {row + 1}",
                expected=f"a whole number from 0 to {LARGEST_COUNT:,}",
                found=f"{target[row]:g}",
                remedy="Use TangentMeshRegressor for other numbers",
            )
        rows = self._counted(sample_weight, len(target))
        return self._learn(X, Target.named(y, target, rows), sites)

    def predict_interval(self, X: Any, level: float = 0.95) -> tuple[Vector, Vector]:
        """The least and the greatest count (n,) between which a new row's lies with a probability.

        Raises as `TangentMeshRegressor.predict`, and for a level that is no probability.
        """
        check_is_fitted(self)
        answers = self._answers(X, self.model_, level=level)
        if not isinstance(answers, IntervalPredictions):
            raise TypeError("a model of counts predicts intervals")
        return answers.lower, answers.upper

    def score(self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """D2, the share of the Poisson deviance of the mean that is explained; 1 is the best."""
        return float(d2_tweedie_score(y, self.predict(X), sample_weight=sample_weight, power=1))


class TangentMeshOrdinalClassifier(TangentMeshClassifier):
    """Ordered classes under a cumulative probit likelihood, federated or not.

    Thresholds between the classes are learnt. Parameters and attributes are those of
    `edge_node.estimators.TangentMeshClassifier`; ``classes_`` are in their order.
    """

    _task = Task.ORDINAL

    def fit(
        self,
        X: Any,
        y: ArrayLike,
        sites: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """As `TangentMeshClassifier.fit`, for three classes or more whose order is known.

        Args:
            X: (n, d) as for `TangentMeshRegressor.fit`.
            y: (n,) numbers, whose order counts, or an ordered categorical of pandas.
            sites: (n,) labels, one node in this process each; None: one node.
            sample_weight: (n,) how often each row counts, as for the regressor.

        Raises:
            ValueError: y is not of this form; and as `TangentMeshClassifier.fit`.
        """
        ordered = getattr(getattr(y, "dtype", None), "ordered", False)
        if not ordered:
            labels = validate_data(self, y=y)
            if labels.dtype.kind not in "biuf":
                raise InputError(
                    "the order of the classes is not known",
                    where="y",
                    expected="numbers, or an ordered categorical of pandas",
                    found=f"labels of type {labels.dtype}",
                )
            values = labels
        else:
            categorical: Any = getattr(y, "cat", y)
            values, labels = np.asarray(categorical.codes), np.asarray(categorical.categories)
            if values.min(initial=0) < 0:
                raise InputError("a target is missing", where="y")
        rows = self._counted(sample_weight, len(values))
        held = np.unique(values[rows])
        classes = labels[held] if ordered else held
        if len(classes) < 3:
            raise InputError(
                "an order needs at least three classes",
                where="y",
                expected="three or more",
                found=f"{len(classes)}",
                remedy="Use TangentMeshClassifier for two",
            )
        return self._fit_classes(
            X, y, classes, np.searchsorted(held, values), rows=rows, sites=sites
        )

    def predict(self, X: Any, *, site: object = None, which: str = "auto") -> NDArray[Any]:
        """The median class (n,) at X (n, d): as likely to be exceeded as not. Arguments and errors
        as of `predict_proba`.
        """
        return super().predict(X, site=site, which=which)


class TangentMeshSurvival(Estimator):
    """Times to an event, some of them censored: accelerated failure time, federated or not.

    Log-normal or Weibull (``distribution``). Other parameters, and attributes, are those of
    `edge_node.estimators.TangentMeshRegressor`.
    """

    _task = Task.SURVIVAL

    def fit(
        self,
        X: Any,
        y: ArrayLike,
        sites: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Learn from rows, each at the node that its site names.

        Args:
            X: (n, d) as for `TangentMeshRegressor.fit`.
            y: (n,) a structured array as scikit-survival's: a boolean field, whether the event was
                seen, and a field of positive times, of the event or until which a row was seen.
            sites: (n,) labels, one node in this process each; None: one node.
            sample_weight: (n,) how often each row counts, as for the regressor.

        Raises:
            ValueError: X or y is not of this form; and as for `TangentMeshRegressor.fit`.
        """
        time, seen = _times(y)
        rows = self._counted(sample_weight, len(time))
        if not seen[rows].any():
            raise InputError(
                "the event was seen in no row: there is nothing to learn",
                where="y",
                expected="a row or more in which it was, of those that count",
            )
        return self._learn(X, Target.named(y, np.where(seen, time, -time), rows), sites)

    def predict(self, X: Any) -> Vector:
        """The median time (n,) at X (n, d), in its own unit. Raises as `TangentMeshRegressor`."""
        return self._times_at(X).median

    def predict_interval(self, X: Any, level: float = 0.95) -> tuple[Vector, Vector]:
        """The times (n,) between which a new row's event lies with a probability."""
        answers = self._times_at(X, level=level)
        return answers.lower, answers.upper

    def predict_survival_function(self, X: Any, times: Sequence[float]) -> Matrix:
        """The probability (n, len(times)) that the event is later than each of the times."""
        return self._times_at(X, times=[float(time) for time in times]).survival

    def score(self, X: Any, y: ArrayLike) -> float:
        """Harrell's concordance: of the pairs that can be told apart, the share in right order."""
        time, seen = _times(y)
        return concordance(time, seen, self.predict(X))

    def _times_at(self, X: Any, **asked: Any) -> TimePredictions:
        check_is_fitted(self)
        answers = self._answers(X, self.model_, **asked)
        if not isinstance(answers, TimePredictions):
            raise TypeError("a model of times predicts times")
        return answers


def _times(y: ArrayLike) -> tuple[Vector, NDArray[np.bool_]]:
    """Times (n,) and whether the event was seen (n,). Raises InputError."""
    array = np.asarray(y)
    names = array.dtype.names or ()
    kinds = {name: array.dtype[name].kind for name in names}
    seen = [name for name in names if kinds[name] == "b"]
    time = [name for name in names if kinds[name] in "iuf"]
    if len(names) != 2 or len(seen) != 1 or len(time) != 1:
        raise InputError(
            "y doesn't say times and events",
            where="y",
            expected="a structured array of a boolean field (event) and a number (time)",
            found=f"type {array.dtype}",
            remedy='np.array([(True, 5.0)], dtype=[("event", bool), ("time", float)])',
        )
    times = array[time[0]].astype(np.float64)
    wrong = ~(np.isfinite(times) & (times > 0))
    if wrong.any():
        row = int(np.argmax(wrong))
        raise InputError(
            "a time is not positive",
            where=f"y, row {row + 1}",
            expected="a positive, finite number",
            found=f"{times[row]:g}",
        )
    return times, array[seen[0]]

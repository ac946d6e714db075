"""The classifier; `regressor` explains the parameters."""

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from edge_node.arrays import Matrix
from edge_node.config import Task
from edge_node.data.sources.schema import clean_label
from edge_node.estimators.errors import InputError
from edge_node.estimators.estimator import Estimator, posterior_of
from edge_node.estimators.sources import Target
from edge_node.model.model import Model
from edge_node.model.predictions import ClassPredictions, Predictions

__all__ = ["TangentMeshClassifier"]


class TangentMeshClassifier(ClassifierMixin, Estimator):  # type: ignore[misc] # without type hints
    """Gaussian-process classification under an infinitely wide network's kernel, federated or not.

    Parameters and attributes are those of `edge_node.estimators.TangentMeshRegressor`.

    Attributes:
        classes_: the labels, ascending. A model on disk knows them as text only.
    """

    _task = Task.CLASSIFICATION

    def fit(
        self,
        X: Any,
        y: ArrayLike,
        sites: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Learn from rows, each at the node that its site names.

        Args:
            X: (n, d) as for `edge_node.estimators.TangentMeshRegressor.fit`.
            y: (n,) labels of two classes or more: text, whole numbers, booleans, dates.
            sites: (n,) labels, one node in this process each; None: one node. A class may be
                absent at a site.
            sample_weight: (n,) how often each row counts, as for the regressor.

        Raises:
            ValueError: as for the regressor; or y has one class, or two with the same text.
        """
        labels = validate_data(self, y=y)
        check_classification_targets(labels)
        rows = self._counted(sample_weight, len(labels))
        classes = np.unique(labels[rows])
        if len(classes) == 1:
            raise InputError(
                "the target has one class: there is nothing to learn",
                where="y",
                expected="at least two classes",
                found=f"{classes[0]} in every row",
            )
        indices = np.searchsorted(classes, labels)  # of rows that count
        return self._fit_classes(X, y, classes, indices, rows=rows, sites=sites)

    def _fit_classes(
        self,
        X: Any,
        y: ArrayLike,
        classes: NDArray[Any],
        indices: NDArray[np.intp],
        *,
        rows: NDArray[np.intp],
        sites: ArrayLike | None,
    ) -> Self:
        """Fit to X and indices (n,) of classes (C,), of the ``rows`` that count; y has the name."""
        target = indices.astype(np.float64)
        kind = "" if classes.dtype == object else classes.dtype.str
        self._learn(X, Target.named(y, target, rows, classes=_names(classes), kind=kind), sites)
        self.classes_ = classes
        return self

    def predict_proba(self, X: Any, *, site: object = None, which: str = "auto") -> Matrix:
        """Class probabilities (n, C) at X (n, d), in the order of ``classes_``; rows sum to one.

        Args:
            X: rows as in `fit`.
            site: answer as this site's node would. None: as the only node, or the loaded one; with
                several sites, by the posterior that they share.
            which: the posterior: "global", which all nodes share; "site", refined with the rows of
                the node that answers; or "auto", the one that the site prefers.

        Raises:
            NotFittedError: neither fitted nor loaded.
            ValueError: X is not of the form that was learnt from; no such site or posterior; the
                node that answers has no posterior of its own.
        """
        check_is_fitted(self)
        answers = self._answers(X, self._at(site), posterior_of(which))
        return _of_classes(answers).probabilities

    def predict(self, X: Any, *, site: object = None, which: str = "auto") -> NDArray[Any]:
        """The most probable label (n,) at X (n, d). Arguments and errors as of `predict_proba`."""
        check_is_fitted(self)
        answers = self._answers(X, self._at(site), posterior_of(which))
        labels: NDArray[Any] = self.classes_[_of_classes(answers).labels]
        return labels

    def _keep(self, model: Model) -> None:
        super()._keep(model)
        self.classes_ = _labels(model)


def _of_classes(answers: Predictions) -> ClassPredictions:
    if not isinstance(answers, ClassPredictions):
        raise TypeError("a classifier's model predicts probabilities")
    return answers


def _labels(model: Model) -> NDArray[Any]:
    """A model's classes, of the type that an estimator was given; a daemon's are text."""
    texts = np.array(model.data.classes)
    kind = np.dtype(model.notes.labels if model.notes and model.notes.labels else texts.dtype)
    return texts == clean_label(True) if kind == np.bool_ else texts.astype(kind)


def _names(classes: NDArray[Any]) -> tuple[str, ...]:
    """Each class as text, as a daemon's file would have it. Raises InputError for equal texts.

    Dates become text first: as Python's objects those of nanoseconds are whole numbers.
    """
    labels = (classes.astype(str) if classes.dtype.kind == "M" else classes).tolist()
    names = [
        clean_label(each) if isinstance(each, str | float | int) else str(each) for each in labels
    ]
    for label, name in zip(labels, names, strict=True):
        if not name or names.count(name) > 1:
            raise InputError(
                "a class can't be told from others by its text",
                where="y",
                expected="texts that are not empty, and differ in more than outer space",
                found=repr(label),
            )
    return tuple(name for name in names if name)

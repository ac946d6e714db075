"""Peers that are given all training rows in one place, and the site as an input where it is one.

    gp         scikit-learn's exact Gaussian process, by marginal likelihood, on 1,500 rows at most:
               Matern-3/2, a length per input and noise; for classes RBF with one length
    boosting   scikit-learn's HistGradientBoosting
    xgboost    XGBoost
    forest     scikit-learn's random forest
    logistic   logistic regression (classes)

All as they come, with one thread. Trees have a mean only. Their density is a Gaussian whose sd is
that of residuals of rows held out in three folds, and their interval holds 95 % of these residuals,
so that NLL and coverage of all can be compared.
"""

import warnings
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import Any

import numpy as np

from benchmarks.accuracy.answers import Answers, Intervals, Probabilities
from benchmarks.accuracy.cases import Case
from edge_node.arrays import Matrix, Vector
from edge_node.config import Task
from edge_node.data.sources.source import Batch

__all__ = ["PEERS", "answer_peer", "missing"]

_GP_ROWS = 1500  # the likelihood costs n^3, some fifty times
_FOLDS = 3


def missing(peer: str) -> str:
    """Why a peer can't be asked; empty: it can."""
    absent = peer == "xgboost" and find_spec("xgboost") is None
    return "xgboost is not installed (xgboost-cpu is in the group of tests)" if absent else ""


def answer_peer(peer: str, case: Case) -> Answers | None:
    """A peer's answers for the test rows; None: it has none for this task."""
    y = case.train.target
    assert y is not None  # noqa: S101 - training rows have targets
    classes = case.problem.data.task is Task.CLASSIFICATION
    make = PEERS[peer]
    model = make(classes)
    if model is None:
        return None
    X, X_test = _inputs(case.train, case.test)
    if peer == "gp" and len(y) > _GP_ROWS:
        chosen = np.random.default_rng(0).choice(len(y), _GP_ROWS, replace=False)
        X, y = X[chosen], y[chosen]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # long lengths; few rows of a class
        if classes:
            return _classified(model, X, y, X_test, len(case.problem.data.classes))
        if peer == "gp":
            return _process(model, X, y, X_test)
        return _with_residuals(model, X, y, X_test)


def _inputs(train: Batch, test: Batch) -> tuple[Matrix, Matrix]:
    """Numbers as they are, NaN where missing, beside one-hot categories."""
    from sklearn.preprocessing import OneHotEncoder

    if not train.categorical.shape[1]:
        return train.numeric, test.numeric
    encoder = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    labels = encoder.fit_transform(train.categorical), encoder.transform(test.categorical)
    numbers = train.numeric, test.numeric
    first, second = (np.column_stack(pair) for pair in zip(numbers, labels, strict=True))
    return first, second


def _classified(model: Any, X: Matrix, y: Vector, X_test: Matrix, classes: int) -> Answers:
    """Peers number the classes that they see; others have no probability."""
    seen, numbers = np.unique(y.astype(int), return_inverse=True)
    probabilities = np.zeros((len(X_test), classes))
    probabilities[:, seen] = model.fit(X, numbers).predict_proba(X_test)
    return Probabilities(probabilities)


def _process(model: Any, X: Matrix, y: Vector, X_test: Matrix) -> Answers:
    center, unit = y.mean(), y.std()
    mean, sd = model.fit(X, (y - center) / unit).predict(X_test, return_std=True)
    return Intervals(center + unit * mean, unit * sd, 1.96 * unit * sd)


def _with_residuals(model: Any, X: Matrix, y: Vector, X_test: Matrix) -> Answers:
    from sklearn.model_selection import KFold, cross_val_predict

    folds = KFold(_FOLDS, shuffle=True, random_state=0)
    residuals = np.abs(y - cross_val_predict(model, X, y, cv=folds))
    mean = model.fit(X, y).predict(X_test).astype(np.float64)
    sd, half_width = np.sqrt(np.mean(residuals**2)), np.quantile(residuals, 0.95, method="higher")
    return Intervals(mean, np.full_like(mean, sd), np.full_like(mean, half_width))


def _scaled(model: Any) -> Any:
    """After gaps are filled with the mean, and each input standardised."""
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(SimpleImputer(), StandardScaler(), model)


def _gp(classes: bool) -> Any:
    from sklearn.gaussian_process import GaussianProcessClassifier
    from sklearn.gaussian_process.kernels import RBF, ConstantKernel

    if classes:
        return _scaled(GaussianProcessClassifier(ConstantKernel() * RBF(3.0), random_state=0))
    return _scaled(_lengths_per_input())


def _lengths_per_input() -> Any:
    """Its number of lengths is known when it is fitted."""
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

    class ARD(GaussianProcessRegressor):  # type: ignore[misc]
        def fit(self, X: Matrix, y: Vector) -> Any:
            lengths = np.full(X.shape[1], np.sqrt(X.shape[1]))
            self.kernel = ConstantKernel() * Matern(lengths, nu=1.5) + WhiteKernel(0.1)
            return super().fit(X, y)

    return ARD(random_state=0)


def _boosting(classes: bool) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    kind = HistGradientBoostingClassifier if classes else HistGradientBoostingRegressor
    return kind(random_state=0)


def _xgboost(classes: bool) -> Any:
    from xgboost import XGBClassifier, XGBRegressor

    return (XGBClassifier if classes else XGBRegressor)(random_state=0, n_jobs=1)


def _forest(classes: bool) -> Any:
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

    kind = RandomForestClassifier if classes else RandomForestRegressor
    return _scaled(kind(random_state=0, n_jobs=1))


def _logistic(classes: bool) -> Any:
    from sklearn.linear_model import LogisticRegression

    return _scaled(LogisticRegression(max_iter=1000)) if classes else None


PEERS: Mapping[str, Callable[[bool], Any]] = {
    "gp": _gp,
    "boosting": _boosting,
    "xgboost": _xgboost,
    "forest": _forest,
    "logistic": _logistic,
}

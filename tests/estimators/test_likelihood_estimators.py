"""Estimators of counts, of ordered classes, and of times to an event."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from edge_node.errors import DataError
from edge_node.estimators import (
    TangentMeshCountRegressor,
    TangentMeshOrdinalClassifier,
    TangentMeshRegressor,
    TangentMeshSurvival,
)

SMALL: dict[str, Any] = {
    "landmarks": 15,
    "depths": (1,),
    "biases": (1.0,),
    "landmark_kinds": ("gaussian",),
    "metric_repetitions": 0,
}
RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(200, 3))
SIGNAL = X[:, 0] - 0.5 * X[:, 1]
COUNTS = RANDOM.poisson(np.exp(1 + 0.6 * SIGNAL))
GRADES = np.digitize(SIGNAL + 0.7 * RANDOM.normal(size=200), [-1.0, 0.2, 1.3])
EVENT = np.exp(1 + 0.6 * SIGNAL) * RANDOM.exponential(size=200) ** 0.5
LOST = RANDOM.exponential(8.0, 200)
TIMES = np.array(
    list(zip(EVENT <= LOST, np.minimum(EVENT, LOST), strict=True)),
    dtype=[("event", bool), ("time", float)],
)
CASES = [
    (TangentMeshCountRegressor, COUNTS, 0.3),
    (TangentMeshOrdinalClassifier, GRADES, 0.5),
    (TangentMeshSurvival, TIMES, 0.7),
]


@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
@pytest.mark.parametrize(("estimator", "y", "least"), CASES)
def test_it_fits_scores_saves_and_loads(estimator: Any, y: Any, least: float, tmp_path) -> None:
    """Deviance explained, accuracy, concordance; with sites, and the same from disk."""
    fitted = estimator(**SMALL).fit(X, y, sites=np.arange(200) % 2)
    assert set(fitted.sites_) == {"0", "1"}
    assert fitted.score(X, y) > least
    fitted.save(tmp_path / "model.npz")
    loaded = estimator.load(tmp_path / "model.npz")
    answers = loaded.predict(X)
    assert answers.tolist() == fitted.predict(X).astype(answers.dtype).tolist()
    with pytest.raises(DataError, match="another task"):
        TangentMeshRegressor.load(tmp_path / "model.npz")


@pytest.mark.parametrize(("estimator", "y", "least"), CASES)
def test_it_works_in_pipelines(estimator: Any, y: Any, least: float) -> None:
    """Cloned, behind a scaler, cross-validated."""
    pipeline = make_pipeline(StandardScaler(), clone(estimator(**SMALL)))
    assert cross_val_score(pipeline, X, y, cv=2).mean() > least - 0.1


def test_counts_have_means_deviations_and_whole_bounds() -> None:
    """Wider for a higher level."""
    fitted = TangentMeshCountRegressor(**SMALL).fit(X, COUNTS)
    mean, sd = fitted.predict(X, return_std=True)
    assert (mean > 0).all()
    assert (sd >= np.sqrt(mean)).all()
    lower, upper = fitted.predict_interval(X, level=0.8)
    wider = fitted.predict_interval(X, level=0.99)
    assert (wider[0] <= lower).all()
    assert (wider[1] >= upper).all()
    assert (wider[1] > upper).any()
    inside = (lower <= COUNTS) & (upper >= COUNTS)
    assert 0.8 <= inside.mean() < 0.97


@pytest.mark.parametrize("wrong", [-1.0, 0.5, 2e9])
def test_what_is_no_count_is_refused(wrong: float) -> None:
    """With its row."""
    y = COUNTS.astype(float)
    y[3] = wrong
    with pytest.raises(ValueError, match=r"row 4.*whole number"):
        TangentMeshCountRegressor(**SMALL).fit(X, y)


def test_ordered_classes_keep_their_order() -> None:
    """Numbers ascend; an ordered categorical is in its own order; text has none."""
    names = np.array(["none", "some", "more", "most"])
    ordered = pd.Series(pd.Categorical(names[GRADES], categories=names, ordered=True))
    fitted = TangentMeshOrdinalClassifier(**SMALL).fit(X, ordered)
    assert fitted.classes_.tolist() == names.tolist()
    numbers = TangentMeshOrdinalClassifier(**SMALL).fit(X, GRADES)
    np.testing.assert_allclose(fitted.predict_proba(X), numbers.predict_proba(X))
    below = np.cumsum(fitted.predict_proba(X), axis=1)
    assert fitted.predict(X).tolist() == names[(below < 0.5).sum(axis=1)].tolist()
    with pytest.raises(ValueError, match="order of the classes is not known"):
        TangentMeshOrdinalClassifier(**SMALL).fit(X, names[GRADES])
    with pytest.raises(ValueError, match="at least three classes"):
        TangentMeshOrdinalClassifier(**SMALL).fit(X, GRADES > 1)


def test_times_have_medians_bounds_and_survival() -> None:
    """Half is left at the median; a named distribution is taken."""
    fitted = TangentMeshSurvival(**SMALL, distribution="lognormal").fit(X, TIMES)
    assert fitted.model_.posterior.likelihood.distribution == "lognormal"
    median = fitted.predict(X)
    lower, upper = fitted.predict_interval(X)
    assert ((lower < median) & (median < upper)).all()
    left = fitted.predict_survival_function(X, [median[0], 2 * median[0]])
    assert left[0, 0] == pytest.approx(0.5, abs=1e-6)
    assert (left[:, 0] > left[:, 1]).all()


def test_an_event_must_count() -> None:
    """One of weight zero takes no part, and without any the function has no bound."""
    seen = np.arange(len(TIMES)) == 0
    y = np.array(list(zip(seen, TIMES["time"], strict=True)), dtype=TIMES.dtype)
    with pytest.raises(ValueError, match="seen in no row"):
        TangentMeshSurvival(**SMALL).fit(X, y, sample_weight=~seen)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (np.arange(1.0, 201.0), "a structured array"),
        (np.array([(True, -1.0)] * 200, dtype=[("e", bool), ("t", float)]), "row 1.*positive"),
        (np.array([(False, 1.0)] * 200, dtype=[("e", bool), ("t", float)]), "seen in no row"),
        (np.array([(1, 1.0)] * 200, dtype=[("e", int), ("t", float)]), "a structured array"),
    ],
)
def test_what_says_no_times_is_refused(y: Any, message: str) -> None:
    """By what is expected."""
    with pytest.raises(ValueError, match=message):
        TangentMeshSurvival(**SMALL).fit(X, y)

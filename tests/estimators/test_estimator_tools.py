"""The estimators inside scikit-learn's tools: pipelines, searches, calibration, importances."""

import pickle
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor, make_column_selector
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.ensemble import BaggingRegressor, VotingClassifier
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.feature_selection import SelectFromModel
from sklearn.inspection import permutation_importance
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.utils.class_weight import compute_sample_weight

from edge_node.estimators import ParameterError, TangentMeshClassifier, TangentMeshRegressor

pandas = pytest.importorskip("pandas")

SMALL: dict[str, Any] = {
    "landmarks": 12,
    "depths": (1,),
    "biases": (1.0,),
    "site_refinement": "none",
}
QUICK = SMALL | {"metric_repetitions": 1, "newton_steps": 4}
X, y = load_diabetes(return_X_y=True, as_frame=True)
TUMOURS, MALIGNANT = load_breast_cancer(return_X_y=True)


def wards(rows: int = 150) -> tuple[Any, np.ndarray]:
    """A pandas frame as `HistGradientBoosting` takes it: numbers, categories, gaps."""
    random = np.random.default_rng(0)
    x, ward = random.normal(size=rows), random.choice(["north", "south", "west"], rows)
    frame = pandas.DataFrame(
        {
            "x": np.where(random.random(rows) < 0.1, np.nan, x),
            "age": random.integers(20, 90, rows),
            "ward": pandas.Categorical(ward),
            "smokes": random.random(rows) < 0.5,
        }
    )
    return frame, x + 2.0 * (ward == "south") + 0.1 * random.normal(size=rows)


def test_a_grid_search_and_its_error() -> None:
    """A parameter that is wrong is named when the grid is fitted."""
    grid = GridSearchCV(TangentMeshRegressor(**SMALL), {"metric_repetitions": [0, 1]}, cv=2)
    assert grid.fit(X, y).best_score_ > 0.3
    wrong = GridSearchCV(
        TangentMeshRegressor(**SMALL), {"depths": [(0,)]}, cv=2, error_score="raise"
    )
    with pytest.raises(ParameterError, match="'depths' parameter"):
        wrong.fit(X, y)


def test_cross_validate() -> None:
    """With several scores, and the estimators that were fitted."""
    found = cross_validate(
        TangentMeshClassifier(**QUICK),
        TUMOURS,
        MALIGNANT,
        cv=2,
        scoring=["accuracy", "neg_log_loss", "roc_auc"],
        return_estimator=True,
    )
    assert found["test_accuracy"].min() > 0.9
    assert found["test_roc_auc"].min() > 0.95
    assert len(found["estimator"][0].feature_importances_) == TUMOURS.shape[1]


def test_permutation_importance_agrees_with_the_metric() -> None:
    """The column that it finds most important is among the metric's first."""
    frame, target = wards()
    fitted = TangentMeshRegressor(**QUICK | {"landmarks": 60}).fit(frame, target)
    found = permutation_importance(fitted, frame, target, n_repeats=2, random_state=0)
    first = set(np.argsort(found.importances_mean)[-2:])
    assert first == {0, 2}
    assert set(np.argsort(fitted.feature_importances_)[-2:]) == first


def test_calibration_passes_weights_on() -> None:
    """Balanced weights, which are fractions."""
    weights = compute_sample_weight("balanced", MALIGNANT)
    calibrated = CalibratedClassifierCV(TangentMeshClassifier(**QUICK), cv=2)
    calibrated.fit(TUMOURS, MALIGNANT, sample_weight=weights)
    assert calibrated.score(TUMOURS, MALIGNANT) > 0.9


def test_categories_need_no_encoder() -> None:
    """As for `HistGradientBoosting`: pandas' columns as they are, in a pipeline of frames."""
    frame, target = wards()
    plain = TangentMeshRegressor(**QUICK | {"landmarks": 60}).fit(frame, target)
    assert plain.score(frame, target) > 0.8
    scaled = ColumnTransformer(
        [("numbers", StandardScaler(), make_column_selector(dtype_include="number"))],
        remainder="passthrough",
        verbose_feature_names_out=False,
    ).set_output(transform="pandas")
    piped = make_pipeline(scaled, TangentMeshRegressor(**QUICK | {"landmarks": 60}))
    assert piped.fit(frame, target).score(frame, target) > 0.8
    assert piped[-1].feature_names_in_.tolist() == ["x", "age", "ward", "smokes"]
    kinds = {column.name: column.kind for column in piped[-1].model_.data.columns}
    assert kinds["ward"] == kinds["smokes"] == "categorical"


def test_sparse_steps_feed_it() -> None:
    """One-hot columns and words, which come out sparse."""
    frame, target = wards()
    encoded = make_pipeline(OneHotEncoder(), TangentMeshRegressor(**QUICK))
    assert encoded.fit(frame[["ward"]], target).score(frame[["ward"]], target) > 0.3
    texts = [("good fine " if each else "bad sad ") * 2 + "day" for each in MALIGNANT[:80]]
    words = make_pipeline(CountVectorizer(), TangentMeshClassifier(**QUICK))
    with pytest.warns(UserWarning, match="is constant in all rows and is not used"):
        words.fit(texts, MALIGNANT[:80])
    assert words.score(texts, MALIGNANT[:80]) == 1.0


def test_ensembles_and_selection() -> None:
    """Bagging, voting, a transformed target, and selection by the importances."""
    quick = TangentMeshRegressor(**QUICK)
    assert BaggingRegressor(quick, n_estimators=2, random_state=0).fit(X, y).score(X, y) > 0.3
    assert TransformedTargetRegressor(quick, func=np.log, inverse_func=np.exp).fit(X, y).score(
        X, y
    ) > 0.3  # fmt: skip
    chosen = SelectFromModel(quick, max_features=4, threshold=-np.inf).fit(X, y)
    assert chosen.get_support().sum() == 4
    voters = [
        ("mesh", TangentMeshClassifier(**QUICK)),
        ("linear", LogisticRegression(max_iter=10_000)),
    ]
    voting = VotingClassifier(voters, voting="soft")
    scaled = StandardScaler().fit_transform(TUMOURS)
    assert voting.fit(scaled, MALIGNANT).score(scaled, MALIGNANT) > 0.95


def test_clones_and_pickles() -> None:
    """A clone has the parameters and nothing else; a pickle answers the same."""
    frame, target = wards()
    fitted = TangentMeshRegressor(**QUICK).fit(frame, target, sites=np.arange(len(target)) % 2)
    fresh = clone(fitted)
    assert fresh.get_params() == fitted.get_params()
    assert not hasattr(fresh, "model_")
    again = pickle.loads(pickle.dumps(fitted))  # noqa: S301 - its own
    for site in (None, 0, 1):
        np.testing.assert_array_equal(
            again.predict(frame, site=site), fitted.predict(frame, site=site)
        )
    assert again.feature_importances_.sum() == pytest.approx(1.0)

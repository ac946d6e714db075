"""Classes of few rows: left out of what sites share, with a warning, and known where they are."""

from typing import Any

import numpy as np
import pytest

from edge_node.errors import CohortRefusedError
from edge_node.estimators import TangentMeshClassifier
from tests.estimators.test_estimators import SMALL


def rows(rare: int, columns: int = 3, common: int = 200) -> tuple[Any, Any, Any]:
    """Two common classes at four sites, and one of which the first site alone has some rows."""
    X = np.random.default_rng(0).normal(size=(common + rare, columns))
    y = np.where(X[:, 0] > 0, "a", "b").astype(object)
    y[common:] = "c"
    X[common:, 0] = 6.0 + 0.1 * X[common:, 0]
    sites = np.arange(len(y)) % 4
    sites[common:] = 0
    return X, y, sites


def test_a_class_of_few_rows_is_left_out_with_a_warning() -> None:
    """The others are learnt as without it; it stays in ``classes_``, hardly probable."""
    X, y, sites = rows(4)
    with pytest.warns(UserWarning, match="no site has enough rows of class 'c'"):
        fitted = TangentMeshClassifier(**SMALL).fit(X, y, sites=sites)
    assert fitted.classes_.tolist() == ["a", "b", "c"]
    probabilities = fitted.predict_proba(X)
    assert probabilities.shape == (204, 3)
    assert probabilities[:, 2].max() < 0.05
    assert fitted.score(X[:200], y[:200]) > 0.9


def test_a_site_knows_its_own_rare_class() -> None:
    """Though it told nobody of its rows; another site doesn't."""
    X, y, sites = rows(4)
    with pytest.warns(UserWarning, match="no site has enough rows of class 'c'"):
        fitted = TangentMeshClassifier(**SMALL).fit(X, y, sites=sites)
    assert (fitted.predict(X[200:], site=0) == "c").all()
    assert not (fitted.predict(X[200:], site=1) == "c").any()
    assert fitted.predict_proba(X[200:], site=0)[:, 2].min() > 0.6


def test_a_class_that_bounds_the_run_is_named_with_the_way_out() -> None:
    """Six rows of one open column tell of three features at most. Left out, they bound nothing."""
    X, y, sites = rows(6, columns=1, common=600)
    with pytest.raises(ValueError, match=r"class has too few rows.*`min_rows_per_category`") as no:
        TangentMeshClassifier(**SMALL).fit(X, y, sites=sites)
    assert isinstance(no.value, CohortRefusedError)
    with pytest.warns(UserWarning, match="no site has enough rows of class 'c'"):
        TangentMeshClassifier(**SMALL, min_rows_per_category=7).fit(X, y, sites=sites)


def test_one_class_that_is_not_rare_is_not_enough() -> None:
    """The error names the setting, and is a ValueError."""
    X, y, sites = rows(4)
    keep = y != "b"
    with pytest.raises(ValueError, match=r"at least two classes.*`min_rows_per_category`"):
        TangentMeshClassifier(**SMALL).fit(X[keep], y[keep], sites=sites[keep])

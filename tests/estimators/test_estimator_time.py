"""`fit(time=...)`: intervals for rows later than all that are known."""

import numpy as np
import pytest

from edge_node.estimators import InputError, TangentMeshRegressor
from edge_node.estimators.sources import latest_first
from tests.program.test_calibrated import ROWS, walk

SETTINGS = {
    "kernels": ("ntk",),
    "landmarks": 25,
    "depths": (1,),
    "biases": (1.0,),
    "metric_repetitions": 0,
}
PARTS = [walk(seed)[0] for seed in range(3)]
X = np.concatenate([part.numeric for part in PARTS])
Y = np.concatenate([part.target for part in PARTS])
SITES = np.repeat(["a", "b", "c"], ROWS)
DAYS = X[:, 0]
SHUFFLED = np.random.default_rng(0).permutation(len(Y))


def widths(rows: np.ndarray, **fit: object) -> np.ndarray:
    """Standard deviations at site a, learnt from rows in a certain order."""
    model = TangentMeshRegressor(**SETTINGS, most_told=50.0)
    model.fit(X[rows], Y[rows], sites=SITES[rows], **fit)
    return model.predict(X[:40], return_std=True, site="a")[1]


@pytest.mark.parametrize("unit", [None, "datetime64[D]", "datetime64[s]"])
def test_the_order_of_rows_is_that_of_their_times(unit: str | None) -> None:
    """Whatever their order in X: numbers or dates."""
    times = DAYS if unit is None else DAYS.astype(np.int64).astype(unit)
    ordered, shuffled = (widths(rows, time=times[rows]) for rows in (np.arange(len(Y)), SHUFFLED))
    np.testing.assert_allclose(shuffled, ordered, rtol=1e-3)
    assert (ordered > 1.2 * widths(SHUFFLED)).all(), "without times they are narrower"


def test_far_dates_keep_their_order() -> None:
    """In their own unit: the year 3000 is beyond nanoseconds."""
    times = np.array(["1900", "3000", "2020"], dtype="datetime64[Y]")
    assert latest_first(np.arange(3), times, 3).tolist() == [1, 2, 0]


def test_a_drift_that_all_sites_share_is_not_seen() -> None:
    """A limit: others' later rows tell what comes next, so intervals after the end don't cover."""
    random = np.random.default_rng(0)
    days = np.arange(600) / 600
    X, sites = np.column_stack([random.normal(size=600), days]), np.arange(600) % 4
    y = X[:, 0] + 3.0 * np.sin(8.0 * days) + 0.1 * random.normal(size=600)
    known = days < 0.75
    model = TangentMeshRegressor(**SETTINGS, most_told=50.0)
    model.fit(X[known], y[known], sites=sites[known], time=days[known])
    mean, sd = model.predict(X[~known], return_std=True)
    assert (np.abs(y[~known] - mean) < 1.96 * sd).mean() < 0.5


def test_the_spec_names_a_time() -> None:
    """No column of X, nor the target."""
    model = TangentMeshRegressor(**SETTINGS).fit(X, Y, time=DAYS)
    data = model.spec_.data
    assert data.time
    assert data.time not in (data.target, *(column.name for column in data.columns))
    assert not TangentMeshRegressor(**SETTINGS).fit(X, Y).spec_.data.time


@pytest.mark.parametrize(
    ("time", "complaint"),
    [
        (DAYS[:-1], "an entry for each row"),
        (np.where(DAYS == 3, np.nan, DAYS), "a row has no time"),
        (DAYS.astype(str), "numbers or NumPy's dates"),
        (np.where(DAYS == 3, np.datetime64("NaT"), np.datetime64("2024-01-01")), "has no time"),
    ],
)
def test_what_is_no_time_is_refused(time: np.ndarray, complaint: str) -> None:
    """By its row, or its form."""
    with pytest.raises(InputError, match=complaint):
        TangentMeshRegressor(**SETTINGS).fit(X, Y, time=time)

"""Sparse rows, rows with weights, and models that come back from disk as they were."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from scipy import sparse
from sklearn.datasets import load_breast_cancer, load_diabetes

from edge_node.data.sources.source import Batch
from edge_node.estimators import InputError, TangentMeshClassifier, TangentMeshRegressor
from edge_node.estimators import sources as module
from edge_node.estimators.sources import MOST_COLUMNS, counted_rows, sources_of

SMALL: dict[str, Any] = {"landmarks": 15, "depths": (1,), "biases": (1.0,), "site_block_rows": 50}
X, y = load_diabetes(return_X_y=True)
TUMOURS, MALIGNANT = load_breast_cancer(return_X_y=True)


def counts(seed: int = 0, rows: int = 90) -> tuple[Any, np.ndarray]:
    """A sparse table of counts, of which two columns matter."""
    random = np.random.default_rng(seed)
    dense = random.poisson(0.3, size=(rows, 12)).astype(float)
    return dense, dense[:, 0] - 2.0 * dense[:, 1] + 0.1 * random.normal(size=rows)


@pytest.mark.parametrize("kind", ["csr_array", "csc_array", "coo_array", "csr_matrix"])
@pytest.mark.parametrize("sites", [None, np.arange(90) % 2], ids=["one node", "two sites"])
def test_sparse_rows_are_the_dense_ones(
    kind: str, sites: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In every format, at one node or at several; in parts, too, to rounding."""
    dense, target = counts()
    packed = getattr(sparse, kind)(dense)
    settings = SMALL | {"most_told": 50.0}
    expected = TangentMeshRegressor(**settings).fit(dense, target, sites=sites)
    found = TangentMeshRegressor(**settings).fit(packed, target, sites=sites)
    np.testing.assert_array_equal(found.predict(packed), expected.predict(dense))
    monkeypatch.setattr(module, "_BATCH_CELLS", 7 * dense.shape[1])
    parts = TangentMeshRegressor(**settings).fit(packed, target, sites=sites)
    np.testing.assert_allclose(parts.predict(packed), expected.predict(dense), rtol=1e-6)


def test_sparse_rows_become_dense_a_part_at_a_time() -> None:
    """Never all of them: a batch holds at most 64 MB."""
    wide = sparse.random_array((4500, 2000), density=1e-3, format="csr", rng=0)
    batch = Batch(wide, np.empty((4500, 0), dtype=object), np.zeros(4500))  # type: ignore[arg-type]
    parts = list(sources_of(batch, None)["here"].batches())
    assert sum(map(len, parts)) == 4500
    assert max(part.numeric.nbytes for part in parts) <= 64 << 20
    np.testing.assert_array_equal(parts[1].numeric, wide[4194:].toarray())


def test_sparse_rows_of_too_many_columns_are_refused() -> None:
    """With what to do; as many as are taken are."""
    wide = sparse.csr_array((90, MOST_COLUMNS + 1))
    with pytest.raises(InputError, match=f"at most {MOST_COLUMNS}.*TruncatedSVD"):
        TangentMeshRegressor().fit(wide, np.arange(90.0))


def test_a_number_too_large_is_found_in_sparse_rows() -> None:
    """By column and row, as in dense ones."""
    dense, target = counts()
    dense[6, 3] = 1e130
    with pytest.raises(InputError, match="column 'x3', row 7"):
        TangentMeshRegressor().fit(sparse.csr_array(dense), target)


@pytest.mark.parametrize("sites", [None, np.arange(len(y)) % 3], ids=["one node", "three sites"])
def test_a_regressions_weights_are_repeated_rows(sites: Any) -> None:
    """A weight of three is three rows, one of zero is none: in the posterior and the evidence."""
    weights = np.random.default_rng(0).integers(0, 4, len(y))
    again = np.repeat(np.arange(len(y)), weights)
    weighted = TangentMeshRegressor(**SMALL).fit(X, y, sites=sites, sample_weight=weights)
    repeated = TangentMeshRegressor(**SMALL).fit(
        X[again], y[again], sites=None if sites is None else sites[again]
    )
    assert weighted.model_.provenance.log_evidence == pytest.approx(
        repeated.model_.provenance.log_evidence, rel=1e-9
    )
    for ours, theirs in zip(weighted.predict(X, True), repeated.predict(X, True), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9)
    plain = TangentMeshRegressor(**SMALL).fit(X, y, sites=sites)
    assert np.abs(plain.predict(X) - weighted.predict(X)).max() > 1.0


def test_a_classifications_weights_are_repeated_rows() -> None:
    """And a class of which no row counts is none of the classes."""
    names = np.where(MALIGNANT == 1, "yes", "no").astype(object)
    names[:5] = "unknown"
    weights = np.random.default_rng(0).integers(1, 3, len(names)) * (names != "unknown")
    again = np.repeat(np.arange(len(names)), weights)
    weighted = TangentMeshClassifier(**SMALL).fit(TUMOURS, names, sample_weight=weights)
    repeated = TangentMeshClassifier(**SMALL).fit(TUMOURS[again], names[again])
    assert weighted.classes_.tolist() == ["no", "yes"]
    np.testing.assert_allclose(
        weighted.predict_proba(TUMOURS), repeated.predict_proba(TUMOURS), rtol=1e-9
    )


def test_weights_raise_no_ceiling() -> None:
    """What sites may tell counts distinct rows."""
    sites = np.arange(len(y)) % 3
    ceilings = {
        weight: TangentMeshRegressor(**SMALL)
        .fit(X, y, sites=sites, sample_weight=weight)
        .model_.provenance.bill.rows
        for weight in (1, 2)
    }
    assert ceilings[1] == ceilings[2] > 0


def test_other_weights_are_rounded_up_or_down() -> None:
    """Each within one of its weight, the sum kept, whole ones exactly; right on average."""
    weights = np.random.default_rng(0).gamma(1.0, size=200)
    weights[:50] = np.arange(50) % 4
    times = [np.bincount(counted_rows(weights, 200, seed=i), minlength=200) for i in range(300)]
    assert np.abs(times - weights).max() < 1.0
    np.testing.assert_array_equal(times[0][:50], weights[:50])
    assert all(abs(each.sum() - weights.sum()) <= 1.0 for each in times)
    np.testing.assert_allclose(np.mean(times, axis=0), weights, atol=0.15)
    assert (times[0] != times[1]).any()


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (np.where(np.arange(len(y)) == 4, -1.0, 1.0), "row 5: a weight is negative"),
        (np.where(np.arange(len(y)) == 4, np.nan, 1.0), "row 5: a weight is negative or not"),
        (np.ones(3), rf"shape \({len(y)},\), found \(3,\)"),
        (np.zeros(len(y)), "every weight is zero"),
        (np.full(len(y), 1e-3), "Scale the weights"),
        (np.full(len(y), 1e9), "Scale the weights"),
        ("heavy", "weights are numbers"),
    ],
    ids=["negative", "missing", "length", "zero", "small", "large", "text"],
)
def test_weights_that_make_no_sense_are_refused(weights: Any, message: str) -> None:
    """By row where there is one."""
    with pytest.raises(InputError, match=message):
        TangentMeshRegressor(**SMALL).fit(X, y, sample_weight=weights)


@pytest.mark.parametrize(
    "labels",
    [[3, 7], [False, True], ["no", "yes"], [1.0, 2.0], np.array(["2020", "2021"], "M8[D]")],
    ids=["int", "bool", "str", "float", "date"],
)
def test_what_was_fitted_comes_back(labels: Any, tmp_path: Path) -> None:
    """Parameters, classes of their type, and columns without names where there were none."""
    named = np.array(labels)[MALIGNANT]
    settings = SMALL | {"most_told": 0.4, "min_rows_per_category": 4, "activations": ["erf"]}
    fitted = TangentMeshClassifier(**settings).fit(TUMOURS, named, sites=np.arange(569) % 2)
    fitted.save(tmp_path / "model.npz")
    loaded = TangentMeshClassifier.load(tmp_path / "model.npz")
    assert loaded.classes_.dtype == fitted.classes_.dtype
    np.testing.assert_array_equal(loaded.predict(TUMOURS), fitted.predict(TUMOURS))
    assert loaded.get_params() == fitted.get_params() | {"activations": ("erf",)}
    assert not hasattr(loaded, "feature_names_in_")
    np.testing.assert_array_equal(loaded.feature_importances_, fitted.feature_importances_)


def test_names_come_back(tmp_path: Path) -> None:
    """Of a data frame, in any of whose columns' names there may be an "x0"."""
    table = pa.table({"x0": X[:, 2], "x1": X[:, 8]})
    fitted = TangentMeshRegressor(**SMALL).fit(table, y)
    fitted.save(tmp_path / "model.npz")
    loaded = TangentMeshRegressor.load(tmp_path / "model.npz")
    assert loaded.feature_names_in_.tolist() == ["x0", "x1"]
    np.testing.assert_array_equal(loaded.predict(table), fitted.predict(table))


def test_importances_are_the_columns_shares() -> None:
    """They add up to one; a category's inputs count together; what doesn't matter is low."""
    random = np.random.default_rng(0)
    noise, x, ward = (
        random.normal(size=300),
        random.normal(size=300),
        random.choice(list("abc"), 300),
    )
    gap = random.random(300) < 0.1
    table = pa.table(
        {"ward": ward, "noise": noise, "one": np.ones(300), "x": pa.array(x, mask=gap)}
    )
    with pytest.warns(UserWarning, match="'one'"):
        fitted = TangentMeshRegressor(landmarks=60).fit(table, np.sin(2 * x) + (ward == "b"))
    shares = dict(zip(table.column_names, fitted.feature_importances_, strict=True))
    assert sum(shares.values()) == pytest.approx(1.0)
    assert shares["one"] == 0.0
    assert min(shares["x"], shares["ward"]) > 3 * shares["noise"]
    plain = TangentMeshRegressor(**SMALL, metric_repetitions=0).fit(X, y)
    np.testing.assert_allclose(plain.feature_importances_, 0.1)

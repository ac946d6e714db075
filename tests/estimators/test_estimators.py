"""The scikit-learn estimators: its conventions, and that they run the daemons' program."""

import asyncio
import inspect
import pickle
import re
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest
import sklearn
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.utils.estimator_checks import parametrize_with_checks
from threadpoolctl import threadpool_info, threadpool_limits

from edge_node.config import ColumnKind, ModelSpec, Which
from edge_node.config.paths import NodePaths
from edge_node.data.sources.source import Batch, MemorySource, open_source
from edge_node.errors import ConfigurationError, DataError
from edge_node.estimators import TangentMeshClassifier, TangentMeshRegressor, estimator
from edge_node.estimators.errors import InputError
from edge_node.estimators.sources import sources_of
from edge_node.estimators.tables import rows_of, rows_of_numbers, table_of
from edge_node.model.model import Model
from edge_node.model.predictions import ClassPredictions
from edge_node.program.simulation import completed, simulate, simulate_pooled

SMALL: dict[str, Any] = {
    "landmarks": 15,
    "depths": (1,),
    "biases": (1.0,),
    "landmark_kinds": ("gaussian",),
    "metric_repetitions": 0,
    "site_block_rows": 50,
}
REGRESSION = load_diabetes(return_X_y=True)
CLASSIFICATION = load_breast_cancer(return_X_y=True)
SITES = np.array(["oslo", "bern", "pisa"])


@pytest.mark.filterwarnings(
    "ignore:(the model explains no more|class .* is predicted for none)"
)  # of noise
@parametrize_with_checks(
    [
        TangentMeshRegressor(**SMALL),
        TangentMeshClassifier(**SMALL, newton_steps=4),
    ]
)
def test_scikit_learns_conventions(estimator: Any, check: Any) -> None:
    """Every check that scikit-learn has for an estimator of its kind; none is expected to fail."""
    check(estimator)


@pytest.mark.parametrize("estimator", [TangentMeshRegressor, TangentMeshClassifier])
def test_parameters_are_the_specs(estimator: type) -> None:
    """Each field of the spec's model is a parameter with the spec's default: two lists, one law.

    But for the hash of a file that nodes have, and an estimator hasn't.
    """
    parameters = inspect.signature(estimator).parameters
    fields = {field.name: field.default for field in msgspec.structs.fields(ModelSpec)}
    del fields["public_landmarks_sha256"]
    assert set(parameters) - set(fields) == {
        "min_rows_per_category",
        "most_told",
        "threads",
        "verbose",
    }
    assert {name: parameters[name].default for name in fields} == fields


def learn(spec: Any, source: Any) -> Model:
    """The program at one node."""
    return simulate(spec, {"pooled": source})["pooled"]


def batch_of(fitted: TangentMeshRegressor, X: Any) -> Batch:
    """An array's or a data frame's rows, in the columns of a fitted model."""
    columns = fitted.model_.data.columns
    if isinstance(X, np.ndarray):
        return rows_of_numbers(X, columns)
    return rows_of(table_of(X, [column.name for column in columns]), columns)


def test_the_program_gives_the_same_model() -> None:
    """The estimator adds nothing to the program, and takes nothing away."""
    X, y = REGRESSION
    fitted = TangentMeshRegressor(**SMALL).fit(X, y)
    batch = batch_of(fitted, X)
    pooled = learn(fitted.spec_, MemorySource((replace(batch, target=y),)))
    expected = pooled.predict(batch)
    mean, sd = fitted.predict(X, return_std=True)
    np.testing.assert_array_equal(mean, expected.mean)
    np.testing.assert_array_equal(sd, expected.sd)


def test_sites_change_nothing_but_the_parts() -> None:
    """However rows are spread over sites, what they share is what one machine learns from all rows
    and their parts; these are close to those of one machine.
    """
    X, y = REGRESSION
    sites = np.random.default_rng(0).choice(SITES, len(y))
    alone, spread = (TangentMeshRegressor(**SMALL).fit(X, y, sites=s) for s in (None, sites))
    batch = replace(batch_of(spread, X), target=y)
    pooled = simulate_pooled(spread.spec_, sources_of(batch, sites)).predict(
        batch, which=Which.GLOBAL
    )
    mean, sd = spread.predict(X, True)
    np.testing.assert_allclose(mean, pooled.mean, rtol=1e-8)
    np.testing.assert_allclose(sd, pooled.sd, rtol=1e-8)
    expected = alone.predict(X, which="global")
    assert 0 < np.abs(mean - expected).max() < 0.5 * y.std()
    assert spread.model_.provenance.cohort == tuple(sorted(SITES))
    assert alone.model_.provenance.cohort == ("here",)


def test_a_site_answers_as_its_node_would() -> None:
    """With its own rows on top of what all share; every other site's are unknown to it."""
    X, y = REGRESSION
    sites = np.arange(len(y)) % 3
    fitted = TangentMeshRegressor(**SMALL).fit(X, y, sites=sites)
    batch = replace(batch_of(fitted, X), target=y)
    sources = sources_of(batch, sites)
    models = simulate(fitted.spec_, sources)
    for site in range(3):
        for which in Which:
            mean, sd = fitted.predict(X, True, site=site, which=which)
            expected = models[str(site)].predict(batch, which=which)
            np.testing.assert_array_equal(mean, expected.mean)
            np.testing.assert_array_equal(sd, expected.sd)
    refined = [fitted.predict(X, site=site, which="site") for site in range(3)]
    assert np.abs(refined[0] - refined[1]).max() > 1e-3
    with pytest.raises(ValueError, match=r"no such site.*'0' or '1' or '2', found 'bern'"):
        fitted.predict(X, site="bern")
    with pytest.raises(ValueError, match=r"no such posterior.*auto or global or site.*'best'"):
        fitted.predict(X, which="best")
    with pytest.raises(DataError, match="no posterior of its own"):
        fitted.predict(X, which="site")


def test_a_shared_model_on_disk_holds_no_rows(tmp_path: Path) -> None:
    """What was learnt at several sites is saved without any site's own part."""
    X, y = REGRESSION
    fitted = TangentMeshRegressor(**SMALL).fit(X, y, sites=np.arange(len(y)) % 2)
    fitted.save(tmp_path / "model.npz")
    assert [path.name for path in tmp_path.iterdir()] == ["model.npz"]
    loaded = TangentMeshRegressor.load(tmp_path / "model.npz")
    np.testing.assert_array_equal(loaded.predict(X), fitted.predict(X))
    TangentMeshRegressor(**SMALL).fit(X, y).save(tmp_path / "own.npz")
    assert TangentMeshRegressor.load(tmp_path / "own.npz").model_.refinement is not None


def test_sites_change_nothing_for_a_classifier() -> None:
    """Not even where a site holds one class only."""
    X, y = CLASSIFICATION
    sites = np.where(y == 1, "benign only", np.arange(len(y)) % 2)
    spread = TangentMeshClassifier(**SMALL).fit(X, y, sites=sites)
    batch = replace(batch_of(spread, X), target=y.astype(float))
    found = simulate_pooled(spread.spec_, sources_of(batch, sites))
    found = found.predict(batch, which=Which.GLOBAL)
    assert isinstance(found, ClassPredictions)
    np.testing.assert_allclose(spread.predict_proba(X), found.probabilities, atol=1e-8)
    assert spread.score(X, y) > 0.9


@pytest.mark.filterwarnings("ignore:(the model explains no more|class .* is predicted for none)")
def test_a_site_answers_for_its_own_classes() -> None:
    """Where two sites have opposite labels, each is right about its own rows, and what they share
    about neither.
    """
    X = np.random.default_rng(0).normal(size=(240, 3))
    sites = np.arange(240) % 2
    y = np.where((X[:, 0] > 0) == (sites == 1), "up", "down")
    fitted = TangentMeshClassifier(**SMALL).fit(X, y, sites=sites)
    assert (fitted.predict(X) == y).mean() < 0.7
    for site in range(2):
        own = sites == site
        assert (fitted.predict(X[own], site=site) == y[own]).mean() > 0.9
        shared = fitted.predict_proba(X, site=site, which="global")
        np.testing.assert_array_equal(shared, fitted.predict_proba(X))
    with pytest.raises(ValueError, match=r"no such site.*found 'bern'"):
        fitted.predict(X, site="bern")


def test_many_rows_are_parts_of_a_source() -> None:
    """A site with more rows than a batch holds passes them on in several."""
    random = np.random.default_rng(1)
    X = random.normal(size=(20_000, 2))
    y = np.sin(X[:, 0]) + 0.1 * random.normal(size=len(X))
    shared = SMALL | {"site_refinement": "none"}
    fitted = TangentMeshRegressor(**shared).fit(X, y, sites=np.arange(len(X)) % 2)
    assert fitted.model_.provenance.rows == 20_000
    assert fitted.score(X, y) > 0.8


@pytest.mark.parametrize(
    "labels",
    [
        np.array([3, 7]),
        np.array([False, True]),
        np.array(["no", "yes"]),
        np.array([1.0, 2.0]),
        np.array(["2020-01-02", "2021-01-02"], dtype="datetime64[D]"),
        np.array(["2020-01-02", "2021-01-02"], dtype="datetime64[ns]"),
    ],
    ids=lambda labels: labels.dtype.name,
)
def test_classes_keep_their_type(labels: np.ndarray, tmp_path: Path) -> None:
    """What was given as an integer or a boolean is answered as one, also by a model on disk."""
    X, y = CLASSIFICATION
    named = labels[y]
    fitted = TangentMeshClassifier(**SMALL).fit(X, named)
    np.testing.assert_array_equal(fitted.classes_, np.unique(named))
    assert fitted.predict(X).dtype == named.dtype
    np.testing.assert_allclose(fitted.predict_proba(X).sum(axis=1), 1.0)
    fitted.save(tmp_path / "model.npz")
    loaded = TangentMeshClassifier.load(tmp_path / "model.npz")
    np.testing.assert_array_equal(loaded.predict(X), fitted.predict(X))
    assert pickle.loads(pickle.dumps(fitted)).score(X, named) == fitted.score(X, named)  # noqa: S301 - its own


@pytest.mark.parametrize("labels", [["no", " no"], ["", "yes"]])
def test_classes_that_are_one_text_are_refused(labels: list[str]) -> None:
    """A daemon's file couldn't tell them apart; there is no spec to be corrected."""
    X, y = CLASSIFICATION
    assert TangentMeshClassifier(**SMALL).fit(X, np.array(["no", "yes"])[y])
    with pytest.raises(InputError, match=r"^y: a class can't be told from others"):
        TangentMeshClassifier(**SMALL).fit(X, np.array(labels)[y])


def frame(rows: int = 90, seed: int = 0) -> tuple[pa.Table, np.ndarray]:
    """Numbers, text, booleans and a category, each with missing cells; and a target."""
    random = np.random.default_rng(seed)
    x, count = random.normal(size=rows), random.integers(0, 9, rows)
    ward, smokes = random.choice(["a", "b", "ç"], rows), random.random(rows) < 0.5
    y = x + (ward == "b") - smokes + 0.1 * random.normal(size=rows)
    gaps = random.random((rows, 4)) < 0.1
    table = {
        "x": pa.array(x, mask=gaps[:, 0]),
        "count": pa.array(count, mask=gaps[:, 1]),
        "ward": pa.array(ward, mask=gaps[:, 2]),
        "smokes": pa.array(smokes, mask=gaps[:, 3]),
        "grade": pa.array((count > 4).astype(int)).dictionary_encode(),
    }
    return pa.table(table), y


def test_a_data_frame_is_read_as_a_daemon_reads_a_file(tmp_path: Path) -> None:
    """The same cells as a frame and as a CSV file: the same encoder, the same answers."""
    table, y = frame()
    fitted = TangentMeshRegressor(**SMALL).fit(table, y)
    kinds = {column.name: column.kind for column in fitted.model_.data.columns}
    assert [name for name, kind in kinds.items() if kind is ColumnKind.CATEGORICAL] == [
        "ward", "smokes", "grade",
    ]  # fmt: skip
    plain = table.set_column(4, "grade", table["grade"].cast(pa.int64()))
    pyarrow.csv.write_csv(plain.append_column("y", pa.array(y)), tmp_path / "rows.csv")
    read = learn(fitted.spec_, open_source(tmp_path / "rows.csv", fitted.model_.data))
    assert read.encoder == fitted.model_.encoder
    mean, sd = fitted.predict(table, return_std=True)
    expected = read.predict(batch_of(fitted, table))
    np.testing.assert_allclose(mean, expected.mean, rtol=1e-8)
    np.testing.assert_allclose(sd, expected.sd, rtol=1e-8)


def test_pandas_round_trip(tmp_path: Path) -> None:
    """With an index, which is no column: the same answers as from Arrow, and from disk."""
    import pandas

    table, y = frame()
    data = table.to_pandas()
    assert data["grade"].dtype == "category"
    data.index = pandas.Index(np.arange(len(y))[::-1], name="x")
    fitted = TangentMeshRegressor(**SMALL).fit(
        data, pandas.Series(y, index=data.index, name="dose")
    )
    expected = TangentMeshRegressor(**SMALL).fit(table, y).predict(table)
    np.testing.assert_array_equal(fitted.predict(data), expected)
    assert fitted.feature_names_in_.tolist() == data.columns.tolist()
    assert fitted.model_.data.target == "dose"
    fitted.save(tmp_path / "model.npz")
    loaded = TangentMeshRegressor.load(tmp_path / "model.npz")
    np.testing.assert_array_equal(
        loaded.predict(data.sample(frac=1, random_state=0).loc[data.index]), expected
    )
    with pytest.raises(ValueError, match="order"):
        loaded.predict(data[data.columns[::-1]])


def test_an_unseen_category_is_told() -> None:
    """It is treated as none of the known ones, which the caller should know."""
    table, y = frame()
    fitted = TangentMeshRegressor(**SMALL).fit(table, y)
    other = table.set_column(2, "ward", pa.array(["z"] * len(table)))
    with pytest.warns(UserWarning, match="column 'ward': 90 rows with an unseen category"):
        fitted.predict(other)


async def test_a_loop_may_be_running() -> None:
    """As in a notebook, whose cells run inside one."""
    X, y = REGRESSION
    inside = TangentMeshRegressor(**SMALL).fit(X, y).predict(X)
    outside = await asyncio.to_thread(lambda: TangentMeshRegressor(**SMALL).fit(X, y).predict(X))
    np.testing.assert_array_equal(inside, outside)


@contextmanager
def interruptible() -> Iterator[None]:
    """Within it Ctrl-C raises KeyboardInterrupt, even where the tests' own shell ignores it.

    A shell starts a background job with SIGINT ignored, and Python then leaves it so.
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


async def test_an_interrupt_ends_the_work() -> None:
    """As a notebook's "interrupt the kernel": nothing is left running behind the cell."""
    ended = []

    async def forever() -> None:
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    with interruptible(), pytest.raises(KeyboardInterrupt):
        completed(forever())
    assert ended


def test_one_node_alone_can_be_interrupted() -> None:
    """It never waits for another node, and yet Ctrl-C at a terminal ends it at the next step."""
    fitted = TangentMeshRegressor(**SMALL).fit(*REGRESSION)
    batch = replace(batch_of(fitted, REGRESSION[0]), target=REGRESSION[1])
    steps = []

    def report(step: str, *_: float | None) -> None:
        steps.append(step)
        signal.raise_signal(signal.SIGINT)

    with interruptible(), pytest.raises(KeyboardInterrupt):
        simulate(fitted.spec_, {"alone": MemorySource((batch,))}, report=report)
    assert steps == ["counts"]


def test_a_daemons_model_loads(tmp_path: Path) -> None:
    """From a node's directory; frames with its columns' names, or arrays in their order."""
    table, y = frame()
    classes = np.where(y > 0, "high", "low")
    spec = TangentMeshClassifier(**SMALL).fit(table, classes).spec_
    plain = table.set_column(4, "grade", table["grade"].cast(pa.int64()))
    pyarrow.csv.write_csv(plain.append_column("y", pa.array(classes)), tmp_path / "rows.csv")
    paths = NodePaths(tmp_path / "node")
    paths.state.mkdir(parents=True)
    learn(spec, open_source(tmp_path / "rows.csv", spec.data)).save(paths.model)
    loaded = TangentMeshClassifier.load(paths.root)
    assert loaded.classes_.tolist() == ["high", "low"]
    assert loaded.n_features_in_ == 5
    expected = loaded.predict_proba(table)
    assert loaded.score(table, classes) > 0.8
    cells = np.array([plain[name].to_pylist() for name in plain.column_names], dtype=object).T
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        found = loaded.predict_proba(cells)
    np.testing.assert_array_equal(found, expected)
    with pytest.raises(DataError, match=r"another task.*expected regression, found classification"):
        TangentMeshRegressor.load(paths.model)


def test_nothing_is_done_before_fit() -> None:
    """No parameter is looked at by a constructor, and nothing is answered."""
    estimator = TangentMeshRegressor(depths="wrong", landmarks=None)
    assert clone(estimator).get_params()["depths"] == "wrong"
    with pytest.raises(NotFittedError):
        estimator.predict(REGRESSION[0])
    with pytest.raises(NotFittedError):
        estimator.save("nowhere")


def test_it_works_with_scikit_learns_tools() -> None:
    """A grid of NumPy numbers; sites that are routed through cross-validation."""
    X, y = REGRESSION
    shared = TangentMeshRegressor(**SMALL | {"site_refinement": "none"})
    grid = GridSearchCV(shared, {"landmarks": np.array([4, 20]), "depths": [(1,), [2]]}, cv=2)
    assert grid.fit(X, y).best_score_ > 0.3
    sites = np.arange(len(y)) % 3
    with sklearn.config_context(enable_metadata_routing=True):
        estimator = clone(shared).set_fit_request(sites=True)
        scores = cross_val_score(estimator, X, y, cv=2, params={"sites": sites})
    np.testing.assert_allclose(
        scores, cross_val_score(shared, X, y, cv=2), atol=0.05
    )  # parts differ


def test_progress_is_shown_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    """One line a step, once, however many nodes take it; and nothing unless it is asked for.

    As soon as the run is planned, each line says of how many steps, and how long they may take.
    """
    X, y = REGRESSION
    TangentMeshRegressor(**SMALL).fit(X, y)
    assert capsys.readouterr() == ("", "")
    TangentMeshRegressor(**SMALL, verbose=True).fit(X, y, sites=np.arange(len(y)) % 3)
    out, err = capsys.readouterr()
    assert out == ""
    lines = err.splitlines()
    start = r"\[TangentMeshRegressor\] +\d+\.\d s  "
    assert len(re.findall(rf"^{start}counts \(1 step done\)$", err, re.M)) == 1
    assert re.search(r" steps, about \d+ s left\)$", lines[-2])
    done, planned = map(int, re.findall(r"(\d+) of at most (\d+) steps", lines[-1])[0])
    assert done == len(lines) <= planned


BAD = {
    "a constant target": (
        lambda X, y: (X, np.full(len(y), 3.25), None),
        "constant.*one value in every row",
    ),
    "constant inputs": (lambda X, y: (np.ones_like(X), y, None), "every input is constant"),
    "one row": (lambda X, y: (X[:1], y[:1], None), "1 sample"),
    "one row in a frame": (lambda X, y: (pa.table({"a": [1.0]}), y[:1], None), "at least 2"),
    "infinity": (lambda X, y: (np.where(X > 0.1, np.inf, X), y, None), "infinity"),
    "infinity in a frame": (
        lambda X, y: (pa.table({"a": [1.0, np.inf]}), y[:2], None),
        "column 'a', row 2.*not a finite number",
    ),
    "a list in a frame": (
        lambda X, y: (pa.table({"a": [[1.0], [2.0]]}), y[:2], None),
        "column 'a'.*neither of numbers nor of labels.*list",
    ),
    "sites of another length": (lambda X, y: (X, y, ["a", "b"]), r"sites.*\(442,\).*\(2,\)"),
    "a row without a site": (
        lambda X, y: (X, y, [*("a",) * 441, None]),
        "sites, row 442: a row has no site",
    ),
    "targets of another length": (lambda X, y: (X, y[:-1], None), "inconsistent"),
}


@pytest.mark.parametrize(("make", "message"), BAD.values(), ids=BAD)
def test_what_can_not_be_learnt_from_is_named(make: Any, message: str) -> None:
    """By column and row where there is one."""
    X, y, sites = make(*REGRESSION)
    with pytest.raises((ValueError, DataError), match=message):
        TangentMeshRegressor(**SMALL).fit(X, y, sites=sites)


def test_what_can_not_be_answered_is_named() -> None:
    """Text where the schema has numbers."""
    table, y = frame()
    fitted = TangentMeshRegressor(**SMALL).fit(table, y)
    with pytest.raises(ValueError, match="text in a numeric column"):
        fitted.predict(table.set_column(0, "x", pa.array(["?"] * len(table))))


@pytest.mark.parametrize(
    "wrong", [{"kernels": ("linear",)}, {"depths": (0,)}, {"landmarks": 1.5}, {"activations": ()}]
)
def test_a_wrong_parameter_is_named(wrong: dict[str, Any]) -> None:
    """When it is used, as scikit-learn has it."""
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        TangentMeshRegressor(**(SMALL | wrong)).fit(*REGRESSION)


def test_the_readmes_example_runs() -> None:
    """It is at most ten lines, and it says what it prints."""
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    (example,) = re.findall(r"^```python\n(.*?)^```", readme, re.M | re.S)
    assert len(example.splitlines()) <= 10
    found: dict[str, Any] = {}
    exec(example, found)  # noqa: S102 - the project's own text
    assert found["mean"].shape == found["sd"].shape == found["y_test"].shape
    assert found["mesh"].score(found["X_test"], found["y_test"]) > 0.3


@pytest.mark.parametrize(("threads", "expected"), [(None, 1), (2, 2)])
def test_few_rows_are_learnt_with_one_thread_unless_more_are_asked_for(
    threads: int | None, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While fitting only: the process's libraries are as they were afterwards."""
    X, y = REGRESSION
    seen = set[int]()

    def watched(*args: Any, **settings: Any) -> Any:
        seen.update(each["num_threads"] for each in threadpool_info() if each["user_api"] == "blas")
        return simulate(*args, **settings)

    monkeypatch.setattr(estimator, "simulate", watched)
    with threadpool_limits(2, user_api="blas"):
        before = threadpool_info()
        TangentMeshRegressor(**SMALL, threads=threads).fit(X, y)
        assert threadpool_info() == before
    assert seen == {expected}

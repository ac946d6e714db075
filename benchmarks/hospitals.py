"""Four hospitals' heart disease (FLamby's Fed-Heart-Disease; Ogier du Terrail et al. 2022).

Three columns that most hospitals lack are dropped, then incomplete rows; each hospital's rows are
split 66 to 34, stratified where both labels have more than two rows. Sites are as different as real
ones are: in Zurich and Basel no cholesterol was measured, and all but a few patients are ill.
``pooled`` is one machine with all rows and the federation's parts (`simulate_pooled`).
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.accuracy import learn, learn_alone
from benchmarks.datasets import take
from benchmarks.figures import Row
from edge_node.config import Column, ColumnKind, DataSpec, FederationSpec, ModelSpec, Task, Which
from edge_node.data.sources.source import Batch, MemorySource
from edge_node.demo.data.csv_file import load_csv
from edge_node.inference.evaluation import metrics
from edge_node.model.model import Model
from edge_node.model.predictions import ClassPredictions
from edge_node.program.simulation import simulate_pooled

__all__ = ["SEED", "measure_hospitals", "read_hospitals", "split_hospital"]

_CATEGORIES = {"chest_pain_type": ("2", "3", "4"), "resting_ecg": ("1", "2")}  # the first dropped
SEED = 43

Indices = NDArray[np.intp]


def measure_hospitals(
    data: Path, model: ModelSpec, *, indicator: bool, most_told: float = 0.5
) -> list[Row]:
    """Figures on the pooled test rows, and the accuracy's mean over hospitals, per way.

    Args:
        data: the folder of data sets.
        model: the federation's.
        indicator: whether the hospital is an input.
        most_told: numbers per cell.

    Raises:
        TangentMeshError: among others, where the hospitals' rows may tell too little.
    """
    batch, sites, schema = read_hospitals(data, indicator=indicator)
    names = list(dict.fromkeys(sites))
    splits = [split_hospital(np.flatnonzero(sites == name), batch, SEED) for name in names]
    train = np.concatenate([own for own, _ in splits])
    tests = [take(batch, own) for _, own in splits]
    spec = FederationSpec(name="hospitals", data=schema, model=model, most_told=most_told)
    parts = {name: take(batch, own) for name, (own, _) in zip(names, splits, strict=True)}
    models = learn(spec, parts)
    at_sites = [_answer(*each) for each in zip(models.values(), tests, strict=True)]
    federated = next(iter(models.values()))
    sources = {name: MemorySource((part,)) for name, part in parts.items()}
    pooled = simulate_pooled(spec, sources)
    rows = [
        {
            "way": "federated",
            **_figures([_answer(federated, test, Which.GLOBAL) for test in tests], tests),
            "sums": federated.provenance.sums,
            "kernel": federated.provenance.kernel,
            "landmarks": federated.provenance.landmarks,
            "landmark_kind": str(federated.provenance.landmark_kind),
        },
        {"way": "site", **_figures(at_sites, tests)},
        {"way": "pooled", **_figures([_answer(pooled, t, Which.GLOBAL) for t in tests], tests)},
    ]
    own = [_alone(spec, part, test) for part, test in zip(parts.values(), tests, strict=True)]
    rows.append({"way": "alone", **_figures(own, tests)})
    logistic = _logistic(federated, take(batch, train), tests)
    return [*rows, {"way": "pooled logistic regression", **_figures(logistic, tests)}]


def read_hospitals(data: Path, *, indicator: bool) -> tuple[Batch, NDArray[np.object_], DataSpec]:
    """Complete rows, the hospital (n,) of each, and their schema; ``indicator`` as above."""
    dataset = load_csv(
        data / "heart_disease_four_hospitals.csv.gz",
        "heart_disease",
        site_column="site",
        task=Task.CLASSIFICATION,
        ignore=("st_slope", "n_major_vessels", "thal_scan", "diagnosis_num"),
    )
    table = dataset.table.drop_null()
    sites = np.array(table["site"].to_pylist(), dtype=object)
    y = np.array(table["heart_disease"].to_pylist(), dtype=np.float64)
    labels = [np.array(table[name].to_pylist()).astype(int).astype(str) for name in _CATEGORIES]
    numbers = [c.name for c in dataset.data.columns if c.name not in _CATEGORIES]
    numeric = np.column_stack([table[name].to_numpy() for name in numbers]).astype(np.float64)
    columns = [Column(name=name) for name in numbers]
    columns += [
        Column(name=name, kind=ColumnKind.CATEGORICAL, categories=levels)
        for name, levels in _CATEGORIES.items()
    ]
    if indicator:
        labels.append(sites)
        names = tuple(dict.fromkeys(sites))
        columns.append(Column(name="site", kind=ColumnKind.CATEGORICAL, categories=names))
    schema = DataSpec(
        task=Task.CLASSIFICATION,
        target="heart_disease",
        columns=tuple(columns),
        classes=("0", "1"),
    )
    categorical = np.column_stack(labels).astype(object)
    return Batch(numeric, categorical, y), sites, schema


def split_hospital(rows: Indices, batch: Batch, seed: int) -> tuple[Indices, Indices]:
    """One hospital's rows to learn from, and those to judge by."""
    from sklearn.model_selection import train_test_split

    assert batch.target is not None  # noqa: S101 - as read
    y = batch.target[rows]
    many = min((y == 0).sum(), (y == 1).sum()) > 2
    train, test = train_test_split(
        rows,
        test_size=1 - 0.66,
        train_size=0.66,
        random_state=seed,
        shuffle=True,
        stratify=y if many else None,
    )
    return train, test


def _answer(model: Model, batch: Batch, which: Which = Which.AUTO) -> NDArray[np.float64]:
    answer = model.predict(batch, which=which)
    assert isinstance(answer, ClassPredictions)  # noqa: S101 - a classification
    return answer.probabilities


def _alone(spec: FederationSpec, part: Batch, test: Batch) -> NDArray[np.float64]:
    """A hospital by itself; if it has a single class, by the rule of succession."""
    if model := learn_alone(spec, part):
        return _answer(model, test)
    counts = np.bincount(np.asarray(part.target, dtype=int), minlength=2) + 1.0
    return np.tile(counts / counts.sum(), (len(test), 1))


def _logistic(model: Model, train: Batch, tests: list[Batch]) -> list[NDArray[np.float64]]:
    """Logistic regression, the textbook's peer, on the same encoded inputs."""
    from sklearn.linear_model import LogisticRegression

    encode = model.encoder.encode
    fitted = LogisticRegression(max_iter=1000).fit(encode(train), train.target)
    return [fitted.predict_proba(encode(test)) for test in tests]


def _figures(answers: list[NDArray[np.float64]], tests: list[Batch]) -> Row:
    targets = [np.asarray(test.target) for test in tests]
    y, probabilities = np.concatenate(targets), np.concatenate(answers)
    each = [metrics.accuracy(own, p) for own, p in zip(targets, answers, strict=True)]
    return {
        "accuracy": metrics.accuracy(y, probabilities),
        "mean_accuracy": float(np.mean(each)),
        "log_loss": metrics.log_loss(y, probabilities),
        "ece": metrics.ece(y, probabilities, bins=10),
    }

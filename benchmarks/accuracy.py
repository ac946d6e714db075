"""How well a federation predicts, against the same rows pooled, each site alone, and a peer.

Rows of a set are spread over nodes that hold different regions of the input space (``clustered``),
random shares (``iid``), or over the data's own sites. Every way runs the daemons' program:

    federated   the posterior that all nodes share
    site        each node's refined one, for test rows of its own region (regression)
    plain       as federated, without a metric (classification)
    pooled      one node with all rows
    alone       each node with its own rows only, for test rows of its own region
    sklearn     scikit-learn's exact Gaussian process on the pooled rows, where it fits

Federated runs tell what the sites' sizes allow; ``pooled`` and ``alone`` are one process each, and
tell nobody anything: ``pooled`` has the federation's allowance.

Figures are on test rows; regression targets are in units of the training rows' sd.
"""

import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from benchmarks.datasets import Problem, Split, load, take
from benchmarks.figures import Row, scaled_scores
from edge_node.config import FederationSpec, ModelSpec, Task, Which
from edge_node.data.sources.source import Batch, MemorySource
from edge_node.errors import TangentMeshError
from edge_node.inference.evaluation import metrics
from edge_node.model.model import ClassPredictions, IntervalPredictions, Model, Predictions
from edge_node.program.allowances import unknown_columns
from edge_node.program.simulation import simulate
from edge_node.security.disclosure.allowance import Allowance, remaining_rows

__all__ = [
    "WAYS",
    "allowance_for",
    "learn",
    "learn_alone",
    "measure_accuracy",
    "summarise",
]

WAYS = ("federated", "site", "plain", "pooled", "alone", "sklearn")

_SKLEARN_ROWS = 1500  # beyond, the peer takes too long: its likelihood costs n^3, some fifty times

Labels = NDArray[np.object_]


@dataclass(frozen=True)
class _Case:
    """One split of one problem over nodes."""

    problem: Problem
    model: ModelSpec
    split: Split
    owners: Labels  # of the training rows
    test_owners: Labels  # whose region a test row lies in
    most_told: float  # numbers per cell

    @property
    def spec(self) -> FederationSpec:
        return FederationSpec(
            name=self.problem.name,
            data=self.problem.data,
            model=self.model,
            minimum_rows=0,
            most_told=self.most_told,
        )

    @property
    def allowance(self) -> Allowance:
        """What the nodes' rows may tell."""
        return allowance_for(self.spec, self.parts())

    @property
    def train(self) -> Batch:
        return take(self.problem.batch, self.split.train)

    @property
    def test(self) -> Batch:
        return take(self.problem.batch, self.split.test)

    def parts(self) -> dict[str, Batch]:
        """Each node's training rows."""
        return {
            str(owner): take(self.train, np.flatnonzero(self.owners == owner))
            for owner in np.unique(self.owners)
        }


def measure_accuracy(
    names: Sequence[str],
    data: Path,
    *,
    model: ModelSpec,
    nodes: int,
    how: str,
    folds: int,
    ways: Sequence[str],
    most_told: float = 0.5,
    tell: Callable[[str], None] = lambda _: None,
) -> Iterator[Row]:
    """A row of figures per set, split and way."""
    for name in names:
        problem = load(name, data)
        for split in problem.splits[:folds]:
            owners, test_owners = _spread(problem, split, nodes, how)
            case = _Case(problem, model, split, owners, test_owners, most_told)
            tell(f"{name}, {split.name}, {len(np.unique(owners))} nodes")
            spread = how if problem.sites is None else "sites"
            for way, figures in _measure(case, ways):
                yield {"set": name, "spread": spread, "split": split.name, "way": way, **figures}


def _measure(case: _Case, ways: Sequence[str]) -> Iterator[tuple[str, Row]]:
    regression = case.problem.data.task is Task.REGRESSION
    if {"federated", "site"} & set(ways):
        began = time.perf_counter()
        models = learn(case.spec, case.parts(), case.allowance)
        seconds = time.perf_counter() - began
        first = next(iter(models.values()))
        facts = {
            "seconds": round(seconds, 1),
            "sums": first.provenance.sums,
            "kernel": first.provenance.kernel,
            "landmark_kind": str(first.provenance.landmark_kind),
            "landmarks": first.provenance.landmarks,
        }
        if "federated" in ways:
            answers = first.predict(case.test, which=Which.GLOBAL)
            yield "federated", {**_figures(case, [answers], [...]), **facts}
        if "site" in ways and regression:
            yield "site", _by_owner(case, models, Which.AUTO)
    if "plain" in ways and not regression:
        spec = msgspec.structs.replace(
            case.spec, model=msgspec.structs.replace(case.model, metric_repetitions=0)
        )
        model = next(iter(learn(spec, case.parts(), case.allowance).values()))
        yield "plain", _figures(case, [model.predict(case.test)], [...])
    unrefined = msgspec.structs.replace(
        case.spec, model=msgspec.structs.replace(case.model, site_refinement=False)
    )
    if "pooled" in ways:
        (model,) = learn(unrefined, {"pooled": case.train}, case.allowance).values()
        yield "pooled", _figures(case, [model.predict(case.test)], [...])
    if "alone" in ways:
        alone = {owner: learn_alone(unrefined, part) for owner, part in case.parts().items()}
        found = {owner: model for owner, model in alone.items() if model is not None}
        if len(found) == len(alone):
            yield "alone", _by_owner(case, found, Which.GLOBAL)
    if "sklearn" in ways and len(case.split.train) <= _SKLEARN_ROWS:
        yield "sklearn", _sklearn(case)


def allowance_for(spec: FederationSpec, parts: Mapping[str, Batch]) -> Allowance:
    """What rows may tell that are spread over nodes so; as if each had signed its size."""
    distinct = {name: _distinct(part) for name, part in parts.items()}
    sizes = {name: 1 << (rows.bit_length() - 1) for name, rows in distinct.items()}
    return Allowance(
        rows=remaining_rows(sizes, sum(distinct.values()), spec.coalition),
        columns=unknown_columns(spec.data),
        most_told=spec.most_told,
    )


def _distinct(part: Batch) -> int:
    """How many different inputs there are."""
    rows = zip(part.numeric, part.categorical, strict=True)
    return len({(numbers.tobytes(), *labels) for numbers, labels in rows})


def learn(
    spec: FederationSpec, parts: Mapping[str, Batch], allowance: Allowance | None = None
) -> dict[str, Model]:
    """Run the program with one node for each part; returns each node's model."""
    sources = {name: MemorySource((part,)) for name, part in parts.items()}
    return simulate(spec, sources, allowance=allowance)


def learn_alone(spec: FederationSpec, part: Batch) -> Model | None:
    """A site by itself; None where it can't learn, as without one of the classes."""
    try:
        return learn(spec, {"alone": part})["alone"]
    except TangentMeshError:
        return None


def _by_owner(case: _Case, models: Mapping[str, Model], which: Which) -> Row:
    """Each test row answered by the node in whose region it lies."""
    rows = [np.flatnonzero(case.test_owners == owner) for owner in models]
    answers = [
        model.predict(take(case.test, own), which=which)
        for model, own in zip(models.values(), rows, strict=True)
    ]
    return _figures(case, answers, rows)


def _figures(case: _Case, answers: Sequence[Predictions], rows: Sequence[Any]) -> Row:
    """The figures of answers to parts of the test rows."""
    y = case.test.target
    assert y is not None  # noqa: S101 - test rows have targets
    if isinstance(answers[0], ClassPredictions):
        probabilities = np.full((len(y), len(answers[0].classes)), np.nan)
        for answer, own in zip(answers, rows, strict=True):
            assert isinstance(answer, ClassPredictions)  # noqa: S101 - as the first
            probabilities[own] = answer.probabilities
        return metrics.class_scores(y, probabilities)
    mean, sd, half_width = np.full((3, len(y)), np.nan)  # until a node answers
    for answer, own in zip(answers, rows, strict=True):
        assert isinstance(answer, IntervalPredictions)  # noqa: S101 - as the first
        mean[own], sd[own], half_width[own] = answer.mean, answer.sd, answer.upper - answer.mean
    train = case.train.target
    assert train is not None  # noqa: S101 - training rows have targets
    return scaled_scores(y, mean, sd, float(train.std()), half_width)


def _spread(problem: Problem, split: Split, nodes: int, how: str) -> tuple[Labels, Labels]:
    """The node of each training row, and of each test row."""
    if problem.sites is not None:
        return problem.sites[split.train], problem.sites[split.test]
    if how == "iid":
        random = np.random.default_rng(0)
        labels = [random.integers(0, nodes, len(part)) for part in (split.train, split.test)]
    else:
        from sklearn.cluster import KMeans  # a second of import time

        X = np.nan_to_num(problem.batch.numeric)
        deviation = X[split.train].std(axis=0)
        X = (X - X[split.train].mean(axis=0)) / np.where(deviation > 0, deviation, 1.0)
        means = KMeans(nodes, n_init=2, random_state=0).fit(X[split.train])
        labels = [means.labels_, means.predict(X[split.test])]
    train, test = (np.array([f"node-{i:02d}" for i in each], dtype=object) for each in labels)
    return train, test


def _sklearn(case: _Case) -> Row:
    """Matern-3/2 with a length per input and noise, or RBF for classes; by marginal likelihood."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.gaussian_process import GaussianProcessClassifier, GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import RBF, ConstantKernel, Matern, WhiteKernel
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(case.train.numeric)
    X, X_test = scaler.transform(case.train.numeric), scaler.transform(case.test.numeric)
    y, y_test = case.train.target, case.test.target
    assert y is not None  # noqa: S101 - benchmarks' rows have targets
    assert y_test is not None  # noqa: S101
    lengths = np.full(X.shape[1], np.sqrt(X.shape[1]))
    if case.problem.data.task is Task.CLASSIFICATION:
        classifier = GaussianProcessClassifier(ConstantKernel() * RBF(lengths[0]), random_state=0)
        probabilities = classifier.fit(X, y).predict_proba(X_test)
        return metrics.class_scores(y_test, probabilities)
    kernel = ConstantKernel() * Matern(lengths, nu=1.5) + WhiteKernel(0.1)
    unit = float(y.std())
    with warnings.catch_warnings(category=ConvergenceWarning, action="ignore"):  # long lengths
        process = GaussianProcessRegressor(kernel, random_state=0).fit(X, (y - y.mean()) / unit)
    mean, sd = process.predict(X_test, return_std=True)
    return scaled_scores((y_test - y.mean()) / unit, mean, sd, 1.0)


def summarise(rows: Iterable[Row]) -> list[Row]:
    """Mean and standard error over splits, per set, spread and way."""
    groups: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row["set"], row["spread"], row["way"]), []).append(row)
    return [
        {"set": name, "spread": spread, "way": way, "splits": len(group), **_averages(group)}
        for (name, spread, way), group in groups.items()
    ]


def _averages(group: Sequence[Row]) -> Row:
    figures: Row = {}
    for key in ("rmse", "nll", "coverage95", "accuracy", "log_loss", "ece", "seconds", "sums"):
        values = np.array([row[key] for row in group if key in row], dtype=float)
        if len(values):
            figures[key] = float(values.mean())
        if len(values) > 1 and key not in ("seconds", "sums"):
            figures[f"{key}_se"] = float(values.std(ddof=1) / np.sqrt(len(values)))
    return figures

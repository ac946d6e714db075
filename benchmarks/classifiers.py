"""Classifiers on rows of several sites: what they share, what a site makes of it, and peers.

    shared      the posterior that all nodes share
    site        the answers of the node in whose region, or at whose site, a test row lies
    alone       a TangentMesh classifier of each site's own rows
    logistic    logistic regression of each site's own rows, on the pooled rows' encoding
    boosting    scikit-learn's HistGradientBoosting on the pooled rows, on the same encoding

Where the nodes' own rule lets the sites tell too little, ``shared`` and ``site`` have no figures,
but the reason. A site that has a single class answers with class shares, by the rule of succession.
Sets are the
four hospitals; Beijing's twelve stations (PM2.5 above 75, a sample of each station's rows, which
``beijing-later`` judges by the last year); the small sets, spread over four nodes by k-means;
``kin40k-halves`` and ``protein-halves``, whose classes are the target's halves, at four such nodes;
and made ones: Friedman's function at six sites, each of which adds a linear function of its own, of
which ``friedman-0`` has nothing.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from benchmarks import hospitals
from benchmarks.accuracy import learn, learn_alone
from benchmarks.datasets import Problem, load, take
from benchmarks.figures import Row
from edge_node.arrays import Matrix
from edge_node.config import Column, ColumnKind, DataSpec, FederationSpec, ModelSpec, Task, Which
from edge_node.data.encoding.encoder import Encoder
from edge_node.data.sources.source import Batch, MemorySource
from edge_node.errors import TangentMeshError
from edge_node.inference.evaluation import metrics
from edge_node.model.model import Model
from edge_node.model.predictions import ClassPredictions
from edge_node.network.base import Network
from edge_node.network.memory import MemoryFederation
from edge_node.program.encoding import agree_encoding
from edge_node.program.simulation import completed

__all__ = ["CASES", "Case", "measure_classifiers", "wins"]

_STATION_ROWS = 600  # of each station, and as many to judge by at most
_NODES = 4
_LEAST = 1e-6  # probability of a class that a peer hasn't seen

Labels = NDArray[np.object_]
Answered = tuple[str, Matrix | None, Row]
"""A way, its probabilities of the test rows, and facts: why it refused, if there are none."""


@dataclass(frozen=True)
class Case:
    """Rows to learn from and to judge by, and the site of each."""

    data: DataSpec
    train: Batch
    sites: Labels
    test: Batch
    test_sites: Labels

    def parts(self) -> dict[str, Batch]:
        """Each site's rows to learn from."""
        return {
            str(site): take(self.train, np.flatnonzero(self.sites == site))
            for site in np.unique(self.sites)
        }


def measure_classifiers(
    names: Sequence[str],
    data: Path,
    *,
    splits: int,
    model: ModelSpec,
    peers: bool = True,
    tell: Callable[[str], None] = lambda _: None,
) -> Iterator[Row]:
    """A row of figures per set, split and way; without ``peers``, of the federation's two."""
    for name in names:
        for split in range(splits):
            tell(f"{name}, split {split}")
            case = CASES[name](data, split)
            y = case.test.target
            assert y is not None  # noqa: S101 - test rows have targets
            for way, found, facts in _ways(case, model, peers):
                scores = {} if found is None else metrics.class_scores(y, found)
                yield {"set": name, "split": split, "way": way, **scores, **facts}


def wins(rows: Sequence[Row]) -> list[Row]:
    """Per set: each way's mean log loss and accuracy over the splits."""
    found: dict[str, Row] = {}
    for name in dict.fromkeys(row["set"] for row in rows):
        own = [row for row in rows if row["set"] == name]
        found[name] = {"set": name, "splits": len({row["split"] for row in own})}
        for way in dict.fromkeys(row["way"] for row in own):
            each = [row for row in own if row["way"] == way]
            found[name][way] = _averaged(each)
    return list(found.values())


def _averaged(rows: Sequence[Row]) -> str:
    """Means over the splits; a way that refused one has none."""
    if any("refused" in row for row in rows):
        return "refused"
    figures = [np.mean([row[key] for row in rows]) for key in ("accuracy", "log_loss")]
    return " / ".join(f"{figure:.3f}" for figure in figures)


def _ways(case: Case, model: ModelSpec, peers: bool) -> Iterator[Answered]:
    """What each way answers."""
    spec = FederationSpec(name="classifiers", data=case.data, model=model, minimum_rows=0)
    yield from _ours(case, spec)
    if peers:
        yield from _peers(case, spec)


def _ours(case: Case, spec: FederationSpec) -> Iterator[Answered]:
    """What the federation answers, or why it refuses."""
    began = time.process_time()
    try:
        models = learn(spec, case.parts())
    except TangentMeshError as error:
        reason = {"refused": " ".join(str(error).split())}
        yield "shared", None, reason
        yield "site", None, reason
        return
    first = next(iter(models.values()))
    shared = _answer(first, case.test, Which.GLOBAL)
    seconds, landmarks = time.process_time() - began, first.provenance.landmarks
    yield "shared", shared, {"seconds": seconds, "landmarks": landmarks}
    yield "site", _by_site(case, lambda s, test: _answer(models[s], test)), {}


def _peers(case: Case, spec: FederationSpec) -> Iterator[Answered]:
    parts, began = case.parts(), time.process_time()
    alone = {site: learn_alone(spec, part) for site, part in parts.items()}

    def answer_alone(site: str, test: Batch) -> Matrix:
        own = alone[site]
        return _shares(parts[site], case, test) if own is None else _answer(own, test)

    answers = _by_site(case, answer_alone)
    yield "alone", answers, {"seconds": time.process_time() - began}
    encode = _encoder(case).encode

    def answer_logistic(site: str, test: Batch) -> Matrix:
        from sklearn.linear_model import LogisticRegression

        part = parts[site]
        if len(np.unique(part.target)) < 2:  # type: ignore[arg-type] # rows have targets
            return _shares(part, case, test)
        peer = LogisticRegression(max_iter=2000).fit(encode(part), part.target)
        return _of_classes(peer, encode(test), case)

    yield "logistic", _by_site(case, answer_logistic), {}
    began = time.process_time()
    answers = _boosting(case, encode)
    yield "boosting", answers, {"seconds": time.process_time() - began}


def _encoder(case: Case) -> Encoder:
    """Of the pooled rows: peers have it, whatever the sites agree on."""

    async def agreed(network: Network) -> Encoder:
        source = MemorySource((case.train,))
        _, encoding = await agree_encoding(network, source, case.data, fewest=1)
        return encoding.encoder

    return completed(MemoryFederation(["pooled"]).run(agreed))["pooled"]


def _boosting(case: Case, encode: Callable[[Batch], Matrix]) -> Matrix:
    from sklearn.ensemble import HistGradientBoostingClassifier

    peer = HistGradientBoostingClassifier(random_state=0).fit(encode(case.train), case.train.target)
    return _of_classes(peer, encode(case.test), case)


def _by_site(case: Case, answer: Callable[[str, Batch], Matrix]) -> Matrix:
    """Each site's answers for the test rows that lie there."""
    probabilities = np.full((len(case.test), len(case.data.classes)), np.nan)
    for site in np.unique(case.test_sites):
        own = np.flatnonzero(case.test_sites == site)
        probabilities[own] = answer(str(site), take(case.test, own))
    return probabilities


def _answer(model: Model, batch: Batch, which: Which = Which.AUTO) -> Matrix:
    answer = model.predict(batch, which=which)
    assert isinstance(answer, ClassPredictions)  # noqa: S101 - a classification
    return answer.probabilities


def _shares(part: Batch, case: Case, test: Batch) -> Matrix:
    """Class shares, each class as if seen once more."""
    labels = np.asarray(part.target, dtype=int)
    counts = np.bincount(labels, minlength=len(case.data.classes)) + 1.0
    return np.tile(counts / counts.sum(), (len(test), 1))


def _of_classes(peer: Any, X: Matrix, case: Case) -> Matrix:
    """A peer's probabilities, of all classes."""
    probabilities = np.full((len(X), len(case.data.classes)), _LEAST)
    probabilities[:, peer.classes_.astype(int)] = np.maximum(peer.predict_proba(X), _LEAST)
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    return probabilities


def _hospitals(data: Path, split: int) -> Case:
    """The literature's split, and others of the same kind."""
    batch, sites, schema = hospitals.read_hospitals(data, indicator=True)
    names = list(dict.fromkeys(sites))
    halves = [
        hospitals.split_hospital(np.flatnonzero(sites == name), batch, hospitals.SEED + split)
        for name in names
    ]
    train, test = (np.concatenate(each) for each in zip(*halves, strict=True))
    return Case(schema, take(batch, train), sites[train], take(batch, test), sites[test])


def _beijing(data: Path, split: int, *, later: bool) -> Case:
    """A sample of each station's rows of all but the last year."""
    problem = load("beijing", data)
    assert problem.sites is not None  # noqa: S101 - stations
    random, (years,) = np.random.default_rng(split), problem.splits
    labels = np.array(problem.batch.target) > 75
    batch = replace(problem.batch, target=labels.astype(np.float64))
    train, test = [], []
    for site in np.unique(problem.sites):
        rows = random.permutation(years.train[problem.sites[years.train] == site])
        others = years.test[problem.sites[years.test] == site] if later else rows[_STATION_ROWS:]
        train.append(np.sort(rows[:_STATION_ROWS]))
        test.append(random.permutation(others)[:_STATION_ROWS])
    chosen, judged = np.concatenate(train), np.concatenate(test)
    data_ = msgspec.structs.replace(
        problem.data, task=Task.CLASSIFICATION, classes=("clean", "polluted")
    )
    return Case(
        data_,
        take(batch, chosen),
        problem.sites[chosen],
        take(batch, judged),
        problem.sites[judged],
    )


def _small(data: Path, split: int, *, name: str) -> Case:
    """One of the small sets, over nodes by k-means."""
    return _spread(load(name, data), split)


def _spread(problem: Problem, split: int) -> Case:
    """Over nodes by k-means."""
    from sklearn.cluster import KMeans

    rows, X = problem.splits[split], np.nan_to_num(problem.batch.numeric)
    mean, deviation = X[rows.train].mean(axis=0), X[rows.train].std(axis=0)
    X = (X - mean) / np.where(deviation > 0, deviation, 1.0)
    means = KMeans(_NODES, n_init=2, random_state=0).fit(X[rows.train])
    train, test = (
        np.array([f"node-{i}" for i in labels], dtype=object)
        for labels in (means.labels_, means.predict(X[rows.test]))
    )
    own = [take(problem.batch, each) for each in (rows.train, rows.test)]
    return Case(problem.data, own[0], train, own[1], test)


def _halves(data: Path, split: int, *, name: str) -> Case:
    """Whether a large set's target is above the median of the rows to learn from, at four sites."""
    problem = load(name, data)
    rows, target = problem.splits[split], problem.batch.target
    assert target is not None  # noqa: S101 - as read
    above = (target > np.median(target[rows.train])).astype(np.float64)
    schema = msgspec.structs.replace(
        problem.data, task=Task.CLASSIFICATION, classes=("low", "high")
    )
    return _spread(replace(problem, data=schema, batch=replace(problem.batch, target=above)), split)


def _friedman(_: Path, split: int, *, deviation: float, rows: int, sites: int) -> Case:
    """Friedman's first function, plus ``deviation`` times a linear one of each site's own."""
    random = np.random.default_rng(split)
    X = random.uniform(size=(2 * sites * rows, 8))
    site = np.repeat(np.arange(sites), 2 * rows)
    own = random.normal(size=(sites, 8))
    score = 10 * np.sin(np.pi * X[:, 0] * X[:, 1]) + 20 * (X[:, 2] - 0.5) ** 2
    score = (score + 10 * X[:, 3] + 5 * X[:, 4] - 14.4) / 4.9  # mean 0, sd 1
    score += 3 * deviation * np.vecdot(X - 0.5, own[site]) + 0.3 * random.normal(size=len(X))
    names = np.array([f"site-{i}" for i in site], dtype=object)
    columns = [Column(name=f"x{i}") for i in range(8)]
    columns.append(Column(name="site", kind=ColumnKind.CATEGORICAL))
    data = DataSpec(
        task=Task.CLASSIFICATION, target="y", columns=tuple(columns), classes=("low", "high")
    )
    batch = Batch(X, names[:, None], (score > 0).astype(np.float64))
    train = np.arange(len(X)) % (2 * rows) < rows
    chosen, judged = np.flatnonzero(train), np.flatnonzero(~train)
    return Case(data, take(batch, chosen), names[chosen], take(batch, judged), names[judged])


_SMALL = ("balance-scale", "blood", "ecoli", "glass", "ionosphere", "parkinsons-classes", "seeds")

CASES: Mapping[str, Callable[[Path, int], Case]] = {
    "hospitals": _hospitals,
    "beijing": partial(_beijing, later=False),
    "beijing-later": partial(_beijing, later=True),
    **{name: partial(_small, name=name) for name in _SMALL},
    **{f"{name}-halves": partial(_halves, name=name) for name in ("kin40k", "protein")},
    "friedman-0": partial(_friedman, deviation=0.0, rows=300, sites=6),
    "friedman-.5": partial(_friedman, deviation=0.5, rows=300, sites=6),
    "friedman-.5-few": partial(_friedman, deviation=0.5, rows=60, sites=10),
    "friedman-1": partial(_friedman, deviation=1.0, rows=300, sites=6),
}
"""A set's rows by the number of the split; the small sets have four."""

"""What differential privacy costs: accuracy against epsilon, and the ordinary program beside it.

Three questions about two sets with many rows:

    dust        PM2.5 at twelve stations (each a node), last year held out; bounds are those of
                deploy/examples/private.toml, which don't depend on rows
    polluted    the same, as classes: above 75 ug/m3, or not
    kegg        metabolic networks, a tenth held out, 16 nodes; the set has no units from which
                bounds could be known, so they are the rows' own 1 and 99 % quantiles: a real
                federation must not do that

Each run is the daemons' program over an in-process network, with noise drawn anew. Epsilon 100 is
the largest that a spec may name, and next to no noise. "None" is the ordinary program with the same
kernel and number of landmarks: its own scales, k-means landmarks, metric and sweeps.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from benchmarks.accuracy import learn
from benchmarks.datasets import Problem, load, take
from benchmarks.figures import Row, scaled_scores
from edge_node.config import (
    ColumnKind,
    DataSpec,
    FederationSpec,
    KernelKind,
    LandmarkKind,
    Level,
    ModelSpec,
    PrivacySpec,
    SiteRefinement,
    Task,
    Which,
    load_spec,
)
from edge_node.data.sources.source import Batch
from edge_node.inference.evaluation import metrics
from edge_node.model.predictions import ClassPredictions, IntervalPredictions

__all__ = [
    "EPSILONS",
    "QUESTIONS",
    "draw_privacy",
    "measure_privacy",
    "summarise_privacy",
]

EPSILONS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 100.0)
_DELTA = 1e-6
_EXAMPLE = Path(__file__).parents[1] / "deploy" / "examples" / "private.toml"
_LIMIT = 75.0  # ug/m3
_NODES = 16


@dataclass(frozen=True)
class _Question:
    """A private spec, rows at nodes, and rows to judge by."""

    name: str
    spec: FederationSpec
    parts: tuple[Batch, ...]
    test: Batch
    scale: float  # the training targets' sd; one for classes

    def ordinary(self) -> FederationSpec:
        """The same kernel, without privacy."""
        columns = tuple(
            msgspec.structs.replace(column, bounds=None, missing=False)
            for column in self.spec.data.columns
        )
        return msgspec.structs.replace(
            self.spec,
            data=msgspec.structs.replace(self.spec.data, columns=columns),
            model=msgspec.structs.replace(
                self.spec.model,
                landmark_kinds=(LandmarkKind.AUTO,),
                site_refinement=SiteRefinement.NONE,
            ),
            privacy=None,
        )


def measure_privacy(
    names: Sequence[str],
    folder: Path,
    *,
    epsilons: Sequence[float] = EPSILONS,
    repeats: int = 5,
    landmarks: int = 100,
    tell: Callable[[str], None] = lambda _: None,
) -> Iterator[Row]:
    """A row per question, epsilon and repeat; epsilon is None for the ordinary program."""
    for name in names:
        question = QUESTIONS[name](folder)
        model = msgspec.structs.replace(question.spec.model, landmarks=landmarks)
        question = replace(question, spec=msgspec.structs.replace(question.spec, model=model))
        for epsilon in (*epsilons, None):
            tell(f"{name}, epsilon {epsilon or 'none'}")
            for repeat in range(1 if epsilon is None else repeats):
                yield {
                    "question": name,
                    "epsilon": epsilon,
                    "repeat": repeat,
                    **_figures(question, epsilon),
                }


def summarise_privacy(rows: Sequence[Row]) -> list[Row]:
    """Means over repeats."""
    summary = []
    for (name, epsilon), group in groupby(rows, key=lambda row: (row["question"], row["epsilon"])):
        several = list(group)
        fields = [f for f in several[0] if f not in ("question", "epsilon", "repeat")]
        means = {field: float(np.mean([row[field] for row in several])) for field in fields}
        summary.append({"question": name, "epsilon": epsilon, "runs": len(several), **means})
    return summary


def _figures(question: _Question, epsilon: float | None) -> Row:
    """One run."""
    if epsilon is None:
        spec = question.ordinary()
    else:
        assert question.spec.privacy is not None  # noqa: S101 - all questions have one
        promise = msgspec.structs.replace(question.spec.privacy, epsilon=epsilon)
        spec = msgspec.structs.replace(question.spec, privacy=promise)
    started = time.monotonic()
    parts = {f"node-{i:02d}": part for i, part in enumerate(question.parts)}
    model = next(iter(learn(spec, parts).values()))
    predicted, y = model.predict(question.test, which=Which.GLOBAL), question.test.target
    assert y is not None  # noqa: S101 - load gives it
    seconds = time.monotonic() - started
    if isinstance(predicted, ClassPredictions):
        scores = metrics.class_scores(y, predicted.probabilities)
    else:
        assert isinstance(predicted, IntervalPredictions)  # noqa: S101 - there is no other task
        scores = scaled_scores(y, predicted.mean, predicted.sd, question.scale)
    return {**scores, "seconds": seconds}


def _dust(folder: Path) -> _Question:
    problem, spec = load("beijing", folder), load_spec(_EXAMPLE)
    return _stations("dust", problem, spec)


def _polluted(folder: Path) -> _Question:
    problem, spec = load("beijing", folder), load_spec(_EXAMPLE)
    batch = problem.batch
    assert batch.target is not None  # noqa: S101 - load gives it
    problem = replace(problem, batch=replace(batch, target=(batch.target > _LIMIT).astype(float)))
    assert spec.privacy is not None  # noqa: S101 - the example has it
    data = msgspec.structs.replace(
        spec.data, task=Task.CLASSIFICATION, classes=("clean", "polluted")
    )
    privacy = msgspec.structs.replace(spec.privacy, target_bounds=None)
    return _stations("polluted", problem, msgspec.structs.replace(spec, data=data, privacy=privacy))


def _stations(name: str, problem: Problem, spec: FederationSpec) -> _Question:
    """The example's columns; each station is a node."""
    split, sites = problem.splits[0], problem.sites
    assert sites is not None  # noqa: S101 - stations
    batch = _columns(problem, spec.data)
    owners = sites[split.train]
    parts = tuple(take(batch, split.train[owners == site]) for site in np.unique(owners))
    return _question(name, spec, parts, take(batch, split.test))


def _kegg(folder: Path) -> _Question:
    problem = load("keggdirected", folder)
    split, batch = problem.splits[0], problem.batch
    assert batch.target is not None  # noqa: S101 - load gives it
    low, high = (np.quantile(batch.numeric[split.train], q, axis=0) for q in (0.01, 0.99))
    varies = {
        column.name: (float(low[i]), float(high[i]))
        for i, column in enumerate(problem.data.columns)
        if low[i] < high[i]
    }
    data = msgspec.structs.replace(
        problem.data,
        columns=tuple(
            msgspec.structs.replace(column, bounds=varies[column.name])
            for column in problem.data.columns
            if column.name in varies
        ),
    )
    y = np.quantile(batch.target[split.train], [0.01, 0.99]).tolist()
    spec = FederationSpec(
        name="kegg",
        data=data,
        model=ModelSpec(
            kernels=(KernelKind.NTK,),
            depths=(2,),
            biases=(1.0,),
            landmark_kinds=(LandmarkKind.GAUSSIAN,),
        ),
        privacy=PrivacySpec(
            level=Level.RECORD, epsilon=1.0, delta=_DELTA, target_bounds=(y[0], y[1])
        ),
    )
    chosen = _columns(problem, data)
    order = np.random.default_rng(0).permutation(split.train)
    parts = tuple(take(chosen, rows) for rows in np.array_split(order, _NODES))
    return _question("kegg", spec, parts, take(chosen, split.test))


def _question(name: str, spec: FederationSpec, parts: tuple[Batch, ...], test: Batch) -> _Question:
    y: NDArray[np.float64] = np.concatenate([p.target for p in parts if p.target is not None])
    scale = float(y.std()) if spec.data.task is Task.REGRESSION else 1.0
    return _Question(name, spec, parts, test, scale)


def _columns(problem: Problem, data: DataSpec) -> Batch:
    """The columns of ``data``, out of the problem's."""
    places: dict[bool, list[int]] = {True: [], False: []}
    for column in data.columns:
        numeric = column.kind is ColumnKind.NUMERIC
        held = [
            each.name
            for each in problem.data.columns
            if (each.kind is ColumnKind.NUMERIC) is numeric
        ]
        places[numeric].append(held.index(column.name))
    batch = problem.batch
    return replace(
        batch,
        numeric=batch.numeric[:, places[True]],
        categorical=batch.categorical[:, places[False]],
    )


def draw_privacy(summary: Sequence[Row], path: Path) -> None:
    """A picture: for each question, the error against epsilon, and the ordinary program's."""
    from matplotlib.figure import Figure  # a second of import time

    names = list(dict.fromkeys(row["question"] for row in summary))
    figure = Figure(figsize=(3.2 * len(names), 2.8), layout="constrained")
    for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        own = [row for row in summary if row["question"] == name]
        field = "rmse" if "rmse" in own[0] else "log_loss"
        private = [row for row in own if row["epsilon"] is not None]
        epsilons = [row["epsilon"] for row in private]
        axes.semilogx(epsilons, [row[field] for row in private], "o-", label="private")
        for row in own:
            if row["epsilon"] is None:
                axes.axhline(row[field], linestyle="--", color="grey", label="ordinary")
        axes.set_xticks(epsilons, [f"{each:g}" for each in epsilons], minor=False)
        axes.minorticks_off()
        axes.set(title=name, xlabel="epsilon", ylabel=field.replace("_", " "))
        axes.set_ylim(bottom=0.0)
    axes.legend()
    figure.savefig(path, dpi=120)


QUESTIONS: dict[str, Callable[[Path], _Question]] = {
    "dust": _dust,
    "polluted": _polluted,
    "kegg": _kegg,
}

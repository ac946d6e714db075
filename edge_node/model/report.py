"""Reports on a saved model: which inputs matter, how well it predicts known rows, and draws."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edge_node.arrays import Matrix, Vector
from edge_node.config import DataSpec, Task, Which, load_node_config
from edge_node.config.paths import NodePaths
from edge_node.data.encoding.encoder import EncodedRows
from edge_node.data.sources.site import site_of
from edge_node.data.sources.source import Batch, FileSource, open_source
from edge_node.errors import ConfigurationError, DataError
from edge_node.inference.classification.posterior import ClassPosterior
from edge_node.inference.evaluation import metrics
from edge_node.inference.evaluation.flow import GradientFlow, best_time
from edge_node.inference.evaluation.loo import leave_one_out
from edge_node.inference.evaluation.sampling import sample_function, sample_probabilities
from edge_node.inference.evaluation.task_scores import (
    count_scores,
    ordinal_scores,
    survival_scores,
)
from edge_node.inference.features.relevance import relevance
from edge_node.inference.regression.posterior import Posterior
from edge_node.model.model import Model
from edge_node.model.predictions import ClassPredictions, IntervalPredictions
from edge_node.security.files import write_atomically

__all__ = [
    "draw_relevance",
    "explain",
    "own_part",
    "sample_file",
    "score_file",
    "score_own",
    "scores_by_task",
    "trained_file",
]

Row = dict[str, Any]

_PICTURES = ("png", "svg", "pdf")
_BARS = 25


def explain(paths: NodePaths) -> list[Row]:
    """Each encoded input with its share of the metric, the largest share first.

    An input that is a column's signed logarithm is named so.

    Raises:
        DataError: there is no posterior yet.
    """
    model = Model.load(paths.model)
    logs = {f.name: f"log of {f.name}" for f in model.encoder.numeric if f.log is not None}
    names = [logs.get(name, name) for name in model.encoder.feature_names]
    shares = relevance(model.posterior.features, len(names)).tolist()
    rows = [{"input": name, "share": share} for name, share in zip(names, shares, strict=True)]
    return sorted(rows, key=lambda row: -row["share"])


def own_part(paths: NodePaths) -> Row:
    """What this site's own rows make of its answers.

    ``site_refinement`` is "blocks", "graph" or "none", and ``site_answers`` whether that answers
    where nobody asks for one of both posteriors.

    Raises:
        DataError: there is no posterior yet.
    """
    model = Model.load(paths.model)
    kind = "none" if model.refinement is None else model.refinement.kind
    return {"site_refinement": kind, "site_answers": model.prefers_site}


def draw_relevance(rows: Sequence[Row], path: Path) -> None:
    """A bar chart of the most relevant inputs, as PNG, SVG or PDF by the file's name.

    Raises:
        DataError: the file's name has another ending.
        ConfigurationError: matplotlib is not installed.
        MachineError: the file can't be written.
    """
    kind = path.suffix.lower().removeprefix(".")
    if kind not in _PICTURES:
        raise DataError(
            "no such kind of picture", where=str(path), expected=f"a name in {', '.join(_PICTURES)}"
        )
    try:
        from matplotlib.figure import Figure  # a second of import time
    except ImportError as error:
        raise ConfigurationError(
            "a picture needs matplotlib",
            where=str(path),
            found=str(error),
            remedy="Install the extra: pip install 'tangent-mesh[demo]'",
        ) from error
    shown = list(rows[:_BARS])[::-1]
    figure = Figure(figsize=(6.4, 1.2 + 0.28 * len(shown)), layout="constrained")
    axes = figure.add_subplot()
    axes.barh([row["input"] for row in shown], [row["share"] for row in shown], color="#2563eb")
    axes.set(xlabel="share of the metric", title="What the model looks at")
    content = io.BytesIO()
    figure.savefig(content, format=kind, dpi=150)
    write_atomically(path, content.getvalue(), mode=0o644)


def score_file(paths: NodePaths, file: Path) -> list[Row]:
    """How well each posterior predicts a file's rows, whose targets are known.

    Returns:
        A row for each posterior. Regression: ``rmse`` and ``nll`` in the target's unit,
        ``coverage95``, and for the global posterior ``best_time`` (`inference.evaluation.flow`).
        Classification: ``accuracy, log_loss, ece``. Other tasks: `evaluation.task_scores`.

    Raises:
        DataError: there is no posterior yet, or the file doesn't fit the schema.
    """
    model = Model.load(paths.model)
    source = open_source(file, model.data, site=site_of(paths, model.data))
    ways = [Which.GLOBAL] if model.refinement is None else [Which.GLOBAL, Which.SITE]
    scored = [{"posterior": str(way), **_figures(model, source, way)} for way in ways]
    if isinstance(model.posterior, Posterior):
        rows = EncodedRows(source, model.encoder)
        scored[0]["best_time"] = best_time(rows, GradientFlow.of(model.posterior))
    return scored


def _figures(model: Model, source: FileSource, which: Which) -> Row:
    batches = list(source.batches())
    y = np.concatenate([_targets(batch) for batch in batches])
    answers = [model.predict(batch, which=which) for batch in batches]
    if model.data.task not in (Task.REGRESSION, Task.CLASSIFICATION):
        predicted = [row for each in answers for row in each.rows()]
        return {"rows": len(y), **scores_by_task(predicted, y, model.data)}
    if model.data.task is Task.CLASSIFICATION:
        parts = [each.probabilities for each in answers if isinstance(each, ClassPredictions)]
        return {"rows": len(y), **metrics.class_scores(y, np.concatenate(parts))}
    intervals = [each for each in answers if isinstance(each, IntervalPredictions)]
    mean, sd, upper = (
        np.concatenate([getattr(each, name) for each in intervals])
        for name in ("mean", "sd", "upper")
    )
    return {"rows": len(y), **metrics.regression_scores(y, mean, sd**2, upper - mean)}


def scores_by_task(
    predictions: Sequence[Mapping[str, Any]], target: Vector, data: DataSpec
) -> dict[str, float]:
    """The scores of counts, ordered classes or times; each prediction a dictionary.

    Args:
        predictions: n of them, as a node answers.
        target: (n,), as batches have it.
        data: the schema.
    """
    if data.task is Task.ORDINAL:
        index = {name: i for i, name in enumerate(data.classes)}
        labels = np.array([float(index[row["label"]]) for row in predictions])
        probabilities = [
            [row["probabilities"][name] for name in data.classes] for row in predictions
        ]
        return ordinal_scores(target, np.array(probabilities), labels)

    def column(name: str) -> Vector:
        return np.array([row[name] for row in predictions])

    lower, upper = column("lower"), column("upper")
    if data.task is Task.COUNT:
        return count_scores(target, column("mean"), lower, upper)
    return survival_scores(np.abs(target), target > 0, lower, column("median"), upper)


def _targets(batch: Batch) -> Vector:
    assert batch.target is not None  # noqa: S101 - the source was opened with its target
    return batch.target


def score_own(paths: NodePaths) -> list[Row]:
    """How well the global posterior predicts each of this node's rows without that row.

    A posterior with differential privacy is scored on the rows as they are: noise hides what each
    row did, so no row can be taken out.

    Raises:
        DataError: there is no posterior yet, it is a classifier's, or the node's rows have changed.
    """
    model, config = Model.load(paths.model), load_node_config(paths.config)
    file = paths.root / config.data
    if model.provenance.privacy is not None:
        source = open_source(file, model.data, ignore=config.ignore, site=config.name)
        return [{"posterior": "global", **_figures(model, source, Which.GLOBAL)}]
    if not isinstance(model.posterior, Posterior):
        raise DataError(
            "only a regression can be scored by leaving rows out",
            where=str(paths.model),
            remedy="Score rows that took no part: edge-node score --csv FILE",
        )
    if config.name not in model.provenance.cohort:
        raise DataError(
            "this node's rows took no part in the posterior",
            where=str(paths.model),
            expected=f"{config.name} among {', '.join(model.provenance.cohort)}",
            remedy="Score them as rows that took no part: edge-node score --csv FILE",
        )
    source = open_source(file, model.data, ignore=config.ignore, site=config.name)
    scores = leave_one_out(EncodedRows(source, model.encoder), model.posterior)
    scores = scores.rescaled(model.encoder.target_scale)
    return [
        {
            "posterior": "global, leave-one-out",
            "rows": scores.count,
            "rmse": scores.rmse,
            "nll": scores.nll,
            "coverage95": scores.coverage95,
        }
    ]


def sample_file(paths: NodePaths, file: Path, draws: int, seed: int) -> list[Row]:
    """Joint draws of the function at a file's rows: a column for each draw.

    Regression: ``sample_1`` ..., in the target's unit, without noise. Classification:
    ``p_CLASS_1`` ..., probabilities.

    Raises:
        DataError: there is no posterior yet, the file doesn't fit the schema or has too many rows.
    """
    model = Model.load(paths.model)
    X, random = _inputs(paths, model, file), np.random.default_rng(seed)
    if isinstance(model.posterior, ClassPosterior):
        drawn = sample_probabilities(model.posterior, X, draws, random)
        names = [f"p_{label}_{i + 1}" for label in model.data.classes for i in range(draws)]
        return _rows(names, drawn.reshape(len(X), -1))
    if not isinstance(model.posterior, Posterior):
        raise DataError(
            "joint draws are for regression and classification",
            where="--samples",
            found=str(model.data.task),
        )
    f = sample_function(model.posterior, X, draws, random)
    scaled, _ = model.encoder.unscale(f, f)
    return _rows([f"sample_{i + 1}" for i in range(draws)], scaled)


def trained_file(paths: NodePaths, file: Path, t: float) -> list[Row]:
    """What the network predicts at a file's rows after training for a time ``t``.

    Returns:
        Rows with one column, ``mean``, in the target's unit. ``t`` has no unit: 1 is near the
        posterior's mean (`inference.evaluation.flow`).

    Raises:
        DataError: there is no posterior yet, it is a classifier's, or the file doesn't fit.
    """
    model = Model.load(paths.model)
    if not isinstance(model.posterior, Posterior):
        raise DataError("training time is for regression", where="--time")
    mean = GradientFlow.of(model.posterior).predict(_inputs(paths, model, file), t)
    scaled, _ = model.encoder.unscale(mean, mean)
    return _rows(["mean"], scaled[:, None])


def _inputs(paths: NodePaths, model: Model, file: Path) -> Matrix:
    source = open_source(file, model.data, with_target=False, site=site_of(paths, model.data))
    return np.concatenate([model.encoder.encode(batch) for batch in source.batches()])


def _rows(names: Sequence[str], values: Matrix) -> list[Row]:
    return [dict(zip(names, row, strict=True)) for row in values.tolist()]

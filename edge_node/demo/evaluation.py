"""How good predictions are on held-out rows: the figures of the report."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from edge_node.arrays import Vector
from edge_node.config import DataSpec, Task
from edge_node.inference.evaluation import metrics
from edge_node.model.report import scores_by_task

__all__ = ["averaged", "evaluate", "table_rows", "targets_in"]


def table_rows(table: pa.Table, data: DataSpec) -> list[dict[str, Any]]:
    """A table's inputs as rows by column name, as a program would send them to a node."""
    rows: list[dict[str, Any]] = table.select([c.name for c in data.columns]).to_pylist()
    return rows


def evaluate(
    predictions: Sequence[dict[str, Any]], table: pa.Table, data: DataSpec
) -> dict[str, float]:
    """Compare predictions, one dictionary a row, with the table's targets.

    Returns:
        For regression ``rmse`` and ``nll`` (in the target's unit) and ``coverage95``; for
        classification ``accuracy``, ``log_loss`` and ``ece``; for other tasks those of
        `edge_node.inference.evaluation.task_scores`.
    """
    if data.task not in (Task.REGRESSION, Task.CLASSIFICATION):
        return scores_by_task(predictions, targets_in(table, data), data)
    truth = table[data.target].to_pylist()
    if data.task is Task.CLASSIFICATION:
        labels = np.array([data.classes.index(label) for label in truth])
        probabilities = np.array(
            [[row["probabilities"][c] for c in data.classes] for row in predictions]
        )
        return metrics.class_scores(labels, probabilities)
    target = np.array(truth, dtype=float)
    names = ("mean", "sd", "upper")
    mean, sd, upper = (np.array([row[name] for row in predictions]) for name in names)
    return metrics.regression_scores(target, mean, sd**2, upper - mean)


def targets_in(table: pa.Table, data: DataSpec) -> Vector:
    """A table's targets (n,) as batches have them (`edge_node.data.sources.source.Batch`)."""
    truth = table[data.target].to_pylist()
    if data.task.has_classes:
        return np.array([float(data.classes.index(label)) for label in truth])
    target = np.array(truth, dtype=np.float64)
    if data.task is not Task.SURVIVAL:
        return target
    seen = np.array(table[data.event].to_pylist(), dtype=np.float64)
    return np.where(seen > 0, target, -target)


def averaged(several: Sequence[dict[str, float]]) -> dict[str, float]:
    """The mean of each figure over sites; nothing of none."""
    if not several:
        return {}
    return {name: float(np.mean([each[name] for each in several])) for name in several[0]}

"""A job of a case: standardised numbers beside one-hot categories, site by site.

Means and deviations are those of all training rows, as one federated sum would give them; gaps are
filled with the mean.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.accuracy.answers import Answers, Intervals, Probabilities
from benchmarks.accuracy.cases import Case, Setting, case_of
from benchmarks.fedavg.job import Checkpoint, Job, Training
from edge_node.arrays import Matrix, Vector
from edge_node.config import Task
from edge_node.data.sources.source import Batch

__all__ = ["answers_of", "job_of", "spread_case"]


def spread_case(name: str, data: Path, split: int, setting: Setting) -> Case:
    """As `case_of`, but rows that have sites of their own are dealt out if that is asked for."""
    case = case_of(name, data, split, setting)
    if setting.spread != "iid" or case.problem.sites is None:
        return case
    names, random = np.unique(case.owners), np.random.default_rng(0)
    dealt = [names[random.integers(0, len(names), len(part))] for part in (case.train, case.test)]
    return replace(case, owners=dealt[0], test_owners=dealt[1])


def job_of(case: Case, training: Training) -> Job:
    """The case's rows, and how to train on them."""
    y = case.train.target
    assert y is not None  # noqa: S101 - training rows have targets
    X, X_test = _standardised(case.train, case.test)
    classes = 0
    if case.problem.data.task is Task.CLASSIFICATION:
        classes = len(case.problem.data.classes)
    else:
        y = (y - y.mean()) / y.std()
    names = np.unique(case.owners)
    owned = [case.owners == name for name in names]
    return Job(
        replace(training, classes=classes),
        tuple(_single(X[own]) for own in owned),
        tuple(_single(y[own]) for own in owned),
        _single(X_test),
        np.select([case.test_owners == name for name in names], range(len(names)), default=-1),
    )


def answers_of(case: Case, found: Checkpoint) -> dict[str, Answers]:
    """Of a checkpoint by their way: that of the shared model, and of the sites' own if any."""
    answers = {"": _answers(case, found.outputs, found.residual)}
    if found.own.size:
        answers["-own"] = _answers(case, found.own, found.own_residual)
    return answers


def _answers(case: Case, outputs: NDArray[Any], residual: float) -> Answers:
    """Probabilities, or a Gaussian with the residuals' deviation for all rows."""
    if case.problem.data.task is Task.CLASSIFICATION:
        return Probabilities(outputs.astype(np.float64))
    y = case.train.target
    assert y is not None  # noqa: S101
    center, unit = float(y.mean()), float(y.std())
    sd = np.full(len(outputs), unit * float(np.sqrt(residual)))
    return Intervals(center + unit * outputs.astype(np.float64), sd, 1.96 * sd)


def _standardised(train: Batch, test: Batch) -> tuple[Matrix, Matrix]:
    mean = np.nanmean(train.numeric, axis=0)
    deviation = np.nanstd(train.numeric, axis=0)
    deviation = np.where(deviation > 0, deviation, 1.0)
    numbers = [np.nan_to_num((each.numeric - mean) / deviation) for each in (train, test)]
    labels = [np.unique(column.astype(str)) for column in train.categorical.T]
    first, second = (
        np.column_stack([own, *_one_hot(each, labels)])
        for own, each in zip(numbers, (train, test), strict=True)
    )
    return first, second


def _one_hot(batch: Batch, labels: Sequence[NDArray[Any]]) -> list[Matrix]:
    """Of each categorical column (n, levels); a label that no training row has is none of them."""
    columns = zip(batch.categorical.T, labels, strict=True)
    return [(column.astype(str)[:, None] == known).astype(np.float64) for column, known in columns]


def _single(values: Matrix | Vector) -> NDArray[Any]:
    return values.astype(np.float32)

"""Answers for test rows, and their scores: regression in units of the training targets' sd."""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from benchmarks.figures import Row, scaled_scores
from edge_node.arrays import Matrix, Vector
from edge_node.inference.evaluation import metrics

__all__ = ["Answers", "Intervals", "Probabilities", "scores"]

_LEAST = 1e-6  # probability of a class, for all: a forest's zero would be an infinite log loss


@dataclass(frozen=True)
class Intervals:
    """Mean, sd, and half of the 95 % interval of each row, (n,) each, in the targets' unit."""

    mean: Vector
    sd: Vector
    half_width: Vector


@dataclass(frozen=True)
class Probabilities:
    """Of each class, (n, C)."""

    of_class: Matrix


Answers: TypeAlias = Intervals | Probabilities


def scores(answers: Answers, y: Vector, learnt: Vector) -> Row:
    """Of answers for targets y (n,), given the training targets.

    RMSE, NLL and coverage; or accuracy, log loss, ECE and AUROC.
    """
    if isinstance(answers, Intervals):
        unit = float(learnt.std())
        return scaled_scores(y, answers.mean, answers.sd, unit, answers.half_width)
    bounded = np.maximum(answers.of_class, _LEAST)
    bounded /= bounded.sum(axis=1, keepdims=True)
    return {**metrics.class_scores(y, bounded), "auroc": _auroc(y, bounded)}


def _auroc(y: Vector, probabilities: Matrix) -> float:
    """The area under each class's curve against all others, their mean over the classes in y."""
    from sklearn.metrics import roc_auc_score  # a second of import time

    found = [
        roc_auc_score(y == k, probabilities[:, k])
        for k in range(probabilities.shape[1])
        if 0 < (y == k).sum() < len(y)
    ]
    return float(np.mean(found))

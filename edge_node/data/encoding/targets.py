"""On which scale a target is summed: its own, or a logarithm."""

import numpy as np

from edge_node.arrays import Vector
from edge_node.config import Task

__all__ = ["as_summed"]


def as_summed(target: Vector, task: Task) -> Vector:
    """Targets (n,) as moments are taken of them, and as features are chosen by them.

    log(y + 1/2) of counts, and log t of times, whether or not the event was seen. Numbers that the
    task can't have are left to be refused by name: they become NaN.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        if task is Task.COUNT:
            return np.log(target + 0.5)
        if task is Task.SURVIVAL:
            logarithms = np.log(np.abs(target))
            return np.where(np.isfinite(logarithms), logarithms, np.nan)
    return np.array(target, dtype=np.float64)

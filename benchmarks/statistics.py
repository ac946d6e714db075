"""Local statistics against one BLAS rank-k update of the same shape.

The figure is all that a node does with its rows in the `statistics` step: kernel, triangular solve,
rank-k update. The limit is `dsyrk` on a matrix of random numbers that lies ready in memory.

Other work on the machine comes and goes, so that no single time says much. The two are timed one
right after the other, several times, in turns as to which comes first; `ratio` is the median of the
pairs' ratios, and the smallest and largest one stand beside it.
"""

import time
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np
from scipy.linalg.blas import dsyrk

from benchmarks.result import result
from edge_node.config import Activation, KernelKind
from edge_node.inference.features.landmarks import gaussian_landmarks, independent_landmarks
from edge_node.inference.features.nystrom import Features
from edge_node.inference.kernels.dense import DenseKernel
from edge_node.inference.messages.statistics import local_statistics

__all__ = ["measure_statistics"]

_INPUTS, _DEPTH, _CHUNK = 20, 3, 8192


def measure_statistics(rows: int, landmarks: int, repeats: int) -> dict[str, Any]:
    """Medians over several interleaved repeats, in seconds, and the median ratio."""
    random = np.random.default_rng(1)
    kernel = DenseKernel(KernelKind.NTK, Activation.RELU, _DEPTH, 2.0, 0.0)
    points = gaussian_landmarks(np.eye(_INPUTS), landmarks, 0)
    features = Features.build(kernel, points[independent_landmarks(kernel, points)])
    X, y = random.normal(size=(rows, _INPUTS)), random.normal(size=rows)
    chunks = [(X[i : i + _CHUNK], y[i : i + _CHUNK]) for i in range(0, rows, _CHUNK)]
    matrix = np.asfortranarray(random.normal(size=(landmarks, rows)))
    tasks: dict[str, Callable[[], object]] = {
        "statistics": lambda: local_statistics(chunks, [features]),
        "dsyrk": lambda: dsyrk(1.0, matrix),
        "kernel": lambda: [kernel(part, features.landmarks) for part, _ in chunks],
    }
    for task in tasks.values():  # loads, compiles, touches memory
        task()
    seconds: dict[str, list[float]] = {name: [] for name in tasks}
    for repeat in range(repeats):
        for name in list(tasks) if repeat % 2 else ["dsyrk", "statistics", "kernel"]:
            began = time.perf_counter()
            tasks[name]()
            seconds[name].append(time.perf_counter() - began)
    ratios = [a / b for a, b in zip(seconds["statistics"], seconds["dsyrk"], strict=True)]
    found = result(
        "statistics",
        median(seconds["statistics"]),
        median(seconds["dsyrk"]),
        "s",
        rows=rows,
        landmarks=landmarks,
        repeats=repeats,
        kernel_seconds=median(seconds["kernel"]),
    )
    return found | {"ratio": median(ratios), "ratios": [min(ratios), max(ratios)]}

"""Predictions with an uncertainty: one row, a batch, and a model read from disk.

The figure is the median time of one encoded row in process. A batch is held against the matrix
product of its 2 m^2 flops a row, in the same run; its goal is 70 % of that product's speed.
"""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.models import save_model
from benchmarks.result import result
from edge_node.config.paths import NodePaths
from edge_node.data.sources.source import Batch
from edge_node.inference.regression.posterior import Posterior
from edge_node.model.model import Model

__all__ = ["measure_prediction"]

_ONE_ROW, _LOAD = 0.2e-3, 0.2  # seconds
_OF_THE_PRODUCT = 0.7


def measure_prediction(landmarks: int, rows: int, repeats: int) -> dict[str, Any]:
    """Medians of single rows, the best of several repeats of everything else, in seconds."""
    with tempfile.TemporaryDirectory() as folder:
        save_model(Path(folder), landmarks)
        path = NodePaths(Path(folder)).model
        load = _best(lambda: Model.load(path), repeats)
        model = Model.load(path)
    posterior = model.posterior
    assert isinstance(posterior, Posterior)  # noqa: S101 - the benchmark's own specification
    size, random = len(posterior.mean), np.random.default_rng(1)
    X = random.normal(size=(rows, posterior.features.landmarks.shape[1]))
    raw = Batch(X[:, : len(model.encoder.numeric)], np.empty((rows, 0), dtype=object))
    A, B = random.normal(size=(rows, size)), random.normal(size=(size, size))
    one = _median(lambda i: posterior.predict(X[i : i + 1]), rows)
    whole = _median(lambda i: model.predict(_row(raw, i)), rows)
    product = batch = np.inf
    for _ in range(repeats):
        batch = min(batch, _best(lambda: posterior.predict(X), 1))
        product = min(product, _best(lambda: A @ B, 1))
    return result(
        "prediction",
        one,
        _ONE_ROW,
        "s",
        landmarks=size,
        rows=rows,
        raw_row_seconds=whole,
        batch_seconds=batch,
        batch_limit=product / _OF_THE_PRODUCT,
        batch_ratio=batch / (product / _OF_THE_PRODUCT),
        load_seconds=load,
        load_limit=_LOAD,
        load_ratio=load / _LOAD,
    )


def _row(batch: Batch, i: int) -> Batch:
    return Batch(batch.numeric[i : i + 1], batch.categorical[i : i + 1])


def _median(task: Callable[[int], object], rows: int) -> float:
    task(0)
    seconds = []
    for i in range(min(rows, 1000)):
        began = time.perf_counter()
        task(i)
        seconds.append(time.perf_counter() - began)
    return float(np.median(seconds))


def _best(task: Callable[[], object], repeats: int) -> float:
    best = np.inf
    for _ in range(repeats):
        began = time.perf_counter()
        task()
        best = min(best, time.perf_counter() - began)
    return best

"""Predict from the model on this disk, with no other process running."""

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np

from edge_node.config import Which
from edge_node.config.paths import NodePaths
from edge_node.data.sources.site import site_of
from edge_node.data.sources.source import open_source
from edge_node.model.model import Model
from edge_node.model.predictions import (
    ClassPredictions,
    IntervalPredictions,
    Predictions,
    TimePredictions,
)

__all__ = ["joined", "predict_file", "saved_input"]


def predict_file(
    paths: NodePaths,
    file: Path,
    *,
    level: float = 0.95,
    which: Which = Which.AUTO,
    times: Sequence[float] = (),
) -> Predictions:
    """Predict every row of a CSV or Parquet file; arguments as for `Model.predict`.

    Raises:
        DataError: there is no posterior yet, or the file doesn't fit the schema (file, column and
            row are named).
    """
    model = Model.load(paths.model)
    source = open_source(file, model.data, with_target=False, site=site_of(paths, model.data))
    return joined(
        [model.predict(batch, level=level, which=which, times=times) for batch in source.batches()]
    )


def joined(parts: list[Predictions]) -> Predictions:
    """The answers to batches of rows, in their order; each warning once."""
    warnings = tuple(dict.fromkeys(warning for part in parts for warning in part.warnings))
    if isinstance(parts[0], ClassPredictions):
        tables = [part.probabilities for part in parts if isinstance(part, ClassPredictions)]
        first = parts[0]
        return ClassPredictions(first.classes, np.concatenate(tables), warnings, first.ordered)
    if isinstance(parts[0], TimePredictions):
        timed = [part for part in parts if isinstance(part, TimePredictions)]
        return TimePredictions(
            median=np.concatenate([part.median for part in timed]),
            lower=np.concatenate([part.lower for part in timed]),
            upper=np.concatenate([part.upper for part in timed]),
            times=parts[0].times,
            survival=np.concatenate([part.survival for part in timed]),
            warnings=warnings,
        )
    intervals = [part for part in parts if isinstance(part, IntervalPredictions)]
    return IntervalPredictions(
        mean=np.concatenate([part.mean for part in intervals]),
        sd=np.concatenate([part.sd for part in intervals]),
        lower=np.concatenate([part.lower for part in intervals]),
        upper=np.concatenate([part.upper for part in intervals]),
        warnings=warnings,
    )


@contextmanager
def saved_input(stream: IO[bytes]) -> Iterator[Path]:
    """Standard input as a temporary CSV file: rows are read twice, first to be checked."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "standard-input.csv"
        with path.open("wb") as file:
            shutil.copyfileobj(stream, file)
        yield path

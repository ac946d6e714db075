"""Predict from the model on this disk, with no other process running."""

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from edge_node.config import Which
from edge_node.config.paths import NodePaths
from edge_node.data.sources.site import site_of
from edge_node.data.sources.source import open_source
from edge_node.model.model import Model
from edge_node.model.predictions import Predictions

__all__ = ["predict_file", "saved_input"]


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
    return model.predict_all(source.batches(), level=level, which=which, times=times)


@contextmanager
def saved_input(stream: IO[bytes]) -> Iterator[Path]:
    """Standard input as a temporary CSV file: rows are read twice, first to be checked."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "standard-input.csv"
        with path.open("wb") as file:
            shutil.copyfileobj(stream, file)
        yield path

"""A model to be asked: learnt by the program from synthetic rows, on disk as a node keeps it."""

from pathlib import Path

from benchmarks.federations import regression_spec, write_rows
from edge_node.config.paths import NodePaths
from edge_node.demo.experiment import learn

__all__ = ["save_model"]

_ROWS_PER_LANDMARK = 10


def save_model(directory: Path, landmarks: int) -> Path:
    """Save a model in a node's ``directory``; returns the CSV file of its rows."""
    _, rows = write_rows(directory, _ROWS_PER_LANDMARK * landmarks, 1)
    path = NodePaths(directory).model
    path.parent.mkdir()
    learn(regression_spec(landmarks, 1), rows).save(path)
    return rows

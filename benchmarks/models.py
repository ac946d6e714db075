"""A model on disk, as a node keeps it, learnt by the program from synthetic rows."""

from pathlib import Path

from benchmarks.federations import regression_spec, write_rows
from edge_node.config.paths import NodePaths
from edge_node.data.sources.source import open_source
from edge_node.program.simulation import simulate

__all__ = ["save_model"]

_ROWS_PER_LANDMARK = 10


def save_model(directory: Path, landmarks: int) -> Path:
    """Save a model in a node's ``directory``; returns the CSV file of its rows."""
    _, rows = write_rows(directory, _ROWS_PER_LANDMARK * landmarks, 1)
    path = NodePaths(directory).model
    path.parent.mkdir()
    spec = regression_spec(landmarks, 1)
    simulate(spec, {"alone": open_source(rows, spec.data)})["alone"].save(path)
    return rows

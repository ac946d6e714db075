"""A spec and synthetic rows for federations to be measured."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv

from edge_node.config import (
    Column,
    DataSpec,
    FederationSpec,
    LandmarkKind,
    ModelSpec,
    SiteRefinement,
    Task,
    TimingSpec,
)

__all__ = ["regression_spec", "write_rows"]

_INPUTS = 8


def regression_spec(landmarks: int, nodes: int) -> FederationSpec:
    """A single candidate: depth 1, k-means landmarks, no metric, no refinement."""
    return FederationSpec(
        name="benchmark",
        data=DataSpec(
            task=Task.REGRESSION,
            target="y",
            columns=tuple(Column(name=f"x{i}") for i in range(_INPUTS)),
        ),
        model=ModelSpec(
            landmarks=landmarks,
            depths=(1,),
            biases=(1.0,),
            landmark_kinds=(LandmarkKind.KMEANS,),
            metric_repetitions=0,
            site_refinement=SiteRefinement.NONE,
        ),
        timing=TimingSpec(heartbeat=0.5, liveness=60.0, settle=1.0, step=600.0),
        minimum_nodes=nodes,
    )


def write_rows(directory: Path, rows: int, nodes: int) -> tuple[dict[str, Path], Path]:
    """Each node's file, and one with all rows: a smooth function of eight inputs, and noise."""
    random = np.random.default_rng(0)
    X = random.normal(size=(rows, _INPUTS))
    y = np.sin(X @ random.normal(size=_INPUTS)) + 0.1 * random.normal(size=rows)
    table = pa.table({f"x{i}": X[:, i] for i in range(_INPUTS)} | {"y": y})
    files = {}
    for i, part in enumerate(np.array_split(np.arange(rows), nodes)):
        files[f"node-{i}"] = directory / f"node-{i}.csv"
        pyarrow.csv.write_csv(table.take(part), files[f"node-{i}"])
    pyarrow.csv.write_csv(table, directory / "pooled.csv")
    return files, directory / "pooled.csv"

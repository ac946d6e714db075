"""Two runs over the same rows, with other landmarks: k-means cells that differ by one row.

Nobody left and no row changed, so no guard compares the runs. A passive member subtracts its own
part of each cell, and the cells of one run from those of the other.
"""

import asyncio

import numpy as np
import pytest

from benchmarks.disclosure.cells import rows_between
from edge_node.arrays import Matrix
from edge_node.config import Column, DataSpec, FederationSpec, LandmarkKind, ModelSpec, Task
from edge_node.data.encoding.encoder import EncodedRows
from edge_node.data.sources.source import Batch, MemorySource
from edge_node.model.model import Model
from edge_node.network.base import Network
from edge_node.network.memory import MemoryFederation
from edge_node.program import infer
from tests.attacks.overhearing import Overhearing, Secrets
from tests.inference.problems import normal

MEMBER, OTHERS, ROWS, INPUTS = "a", "bcd", 1000, 4
SHARES = 2  # of the rows, each in cells of its own


def spec(landmarks: int) -> FederationSpec:
    """A small model with k-means landmarks."""
    columns = tuple(Column(name=f"x{i}") for i in range(INPUTS))
    return FederationSpec(
        name="twice",
        data=DataSpec(task=Task.REGRESSION, target="y", columns=columns),
        model=ModelSpec(
            landmarks=landmarks,
            landmark_kinds=(LandmarkKind.KMEANS,),
            kmeans_iterations=SHARES,
            depths=(1,),
            biases=(1.0,),
            metric_repetitions=0,
        ),
    )


def sources() -> dict[str, MemorySource]:
    """Rows of correlated inputs."""
    made = {}
    for node in MEMBER + OTHERS:
        X = normal(ord(node), ROWS, INPUTS) @ (np.eye(INPUTS) + 0.4 * normal(1, INPUTS, INPUTS))
        y = X[:, 0] + normal(7, ROWS)
        made[node] = MemorySource((Batch(X, np.empty((ROWS, 0), dtype=object), y),))
    return made


def others_cells(landmarks: int, *, partitioned: bool) -> tuple[list[Matrix], Model]:
    """What the member knows of the others' cells (m, 1 + d) of each share, and its model."""
    secrets, held = Secrets(), sources()

    async def program(network: Network) -> Model:
        layer = Overhearing(network, secrets) if network.node == MEMBER else network
        return await infer(
            layer, held[network.node], spec(landmarks), partitioned=lambda: partitioned
        )

    models = asyncio.run(MemoryFederation(list(held)).run(program))
    sums = [
        (total - own).reshape(-1, 1 + INPUTS)
        for step, (total, own) in secrets.totals.items()
        if step.name.startswith("kmeans/") and step.tells_numbers
    ]
    return sums, models[MEMBER]


@pytest.mark.parametrize("partitioned", [False, True])
def test_rows_are_divided_into_cells_once(partitioned: bool) -> None:
    """Rows that were in cells before are in none again; or some are laid open."""
    first, model = others_cells(60, partitioned=False)
    second, _ = others_cells(62, partitioned=partitioned)
    assert len(first) == len(second) == SHARES
    held = sources()
    rows = np.concatenate([X for n in OTHERS for X, _ in EncodedRows(held[n], model.encoder)])
    between = np.vstack([rows_between(*pair) for pair in zip(first, second, strict=True)])
    opened = sum(np.abs(rows - each).max(axis=1).min() < 1e-6 for each in between)
    assert opened == 0 if partitioned else opened > 2

"""What somebody reads from a model: the file that the cohort shares holds nobody's row."""

import asyncio
import stat
from pathlib import Path

import numpy as np
import pytest

from edge_node.arrays import Matrix
from edge_node.config import Column, DataSpec, FederationSpec, LandmarkKind, ModelSpec, Task
from edge_node.data.encoding.encoder import EncodedRows
from edge_node.data.sources.source import Batch, MemorySource
from edge_node.inference.features.landmarks import kmeans_sums
from edge_node.model.model import Model
from edge_node.network.memory import MemoryFederation
from edge_node.program import infer
from tests.support.networks import Watched

NODES = ("a", "b", "c")
FEWEST = 5


def learn(kind: LandmarkKind, task: Task) -> tuple[dict[str, Model], Matrix, Watched]:
    """Three nodes' models, everybody's encoded rows (n, d), and what one node was told."""
    columns = tuple(Column(name=name) for name in "pqr")
    classes = ("no", "yes") if task is Task.CLASSIFICATION else ()
    spec = FederationSpec(
        name="files",
        data=DataSpec(task=task, target="y", columns=columns, classes=classes),
        model=ModelSpec(
            landmarks=30, depths=(1,), landmark_kinds=(kind,), min_rows_per_landmark=FEWEST
        ),
    )
    random, sources = np.random.default_rng(5), {}
    for node in NODES:
        X = random.normal(size=(80, 3))
        y = np.sin(2 * X[:, 0]) + 0.2 * random.normal(size=80)
        y = y if task is Task.REGRESSION else (y > 0).astype(float)
        sources[node] = MemorySource((Batch(X, np.empty((80, 0), dtype=object), y),))
    federation = MemoryFederation(NODES)
    views = {node: Watched(federation.network(node)) for node in NODES}

    async def everybody() -> list[Model]:
        return list(await asyncio.gather(*(infer(views[n], sources[n], spec) for n in NODES)))

    models = dict(zip(NODES, asyncio.run(everybody()), strict=True))
    rows = [X for source in sources.values() for X, _ in EncodedRows(source, models["a"].encoder)]
    return models, np.concatenate(rows), views["a"]


def rows_in(file: Path, rows: Matrix) -> int:
    """How many rows' numbers are in a file's arrays: two of a row's side by side are enough."""
    with np.load(file) as arrays:
        numbers = [array.ravel() for array in arrays.values() if array.dtype.kind == "f"]
    pairs = [np.stack([each[:-1], each[1:]], axis=1) for each in numbers if each.size > 1]
    known = {tuple(pair) for pair in np.round(np.concatenate(pairs), 6).tolist()}
    wanted = np.round(rows, 6).tolist()
    return sum((x[0], x[1]) in known or (x[1], x[2]) in known for x in wanted)


@pytest.mark.parametrize("task", [Task.REGRESSION, Task.CLASSIFICATION])
@pytest.mark.parametrize("kind", [LandmarkKind.KMEANS, LandmarkKind.GAUSSIAN])
def test_the_shared_file_holds_no_row(tmp_path: Path, kind: LandmarkKind, task: Task) -> None:
    """Whatever kind its landmarks are; and none of these is a row up to rounding."""
    models, rows, _ = learn(kind, task)
    models["a"].save(tmp_path / "model.npz")
    shared = Model.load(tmp_path / "model.npz").posterior.features
    for known in (rows, shared.place(rows)):
        assert rows_in(tmp_path / "model.npz", known) == 0
        assert np.linalg.norm(known[:, None] - shared.landmarks[None], axis=2).min() > 1e-4


def test_a_sites_own_rows_lie_beside_it_and_are_its_own(tmp_path: Path) -> None:
    """The control: the search finds rows in this file, which nobody else may read."""
    models, rows, _ = learn(LandmarkKind.GAUSSIAN, Task.REGRESSION)
    models["b"].save(tmp_path / "model.npz")
    own = tmp_path / "model.site.npz"
    assert rows_in(own, models["b"].posterior.features.place(rows)) == 80
    for file in (own, tmp_path / "model.npz"):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_kmeans_landmarks_are_averages_of_enough_rows() -> None:
    """Each sum in the totals is of no row, or of at least ``min_rows_per_landmark`` rows."""
    _, rows, told = learn(LandmarkKind.KMEANS, Task.REGRESSION)
    sums = [total for step, total in told.totals.items() if is_kmeans_sum(step)]
    counts = [total.reshape(-1, 1 + rows.shape[1])[:, 0] for total in sums]
    assert counts
    for count in counts:
        assert ((count == 0) | (count >= FEWEST)).all()
    assert any((count >= FEWEST).any() for count in counts)


def is_kmeans_sum(step: str) -> bool:
    """Whether rows are summed in this step, landmark by landmark."""
    return step.startswith("kmeans")


def test_gaussian_landmarks_are_nobodys() -> None:
    """Drawn from a public seed and the covariance: the counts of rows near them don't matter."""
    models, rows, told = learn(LandmarkKind.GAUSSIAN, Task.REGRESSION)
    assert not any(is_kmeans_sum(step) for step in told.totals)
    landmarks = models["a"].posterior.features.landmarks
    assert (
        kmeans_sums([(rows, rows[:, 0])], landmarks)[:, 0].min() < FEWEST
    )  # some have few or none

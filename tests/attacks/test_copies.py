"""Copies of one row are no group: a sum over six copies of a patient's row is that row.

The control counts copies as if they were rows of somebody else.
"""

import numpy as np
import pytest

from edge_node.arrays import Matrix
from edge_node.config import Column, DataSpec, FederationSpec, LandmarkKind, ModelSpec, Task
from edge_node.data.sources.copies import FirstCopies
from edge_node.data.sources.rare_classes import without_rare_classes
from edge_node.data.sources.source import Batch, MemorySource
from tests.attacks.test_small_groups import LOCAL, attack, floors_of

COPIES, PATIENTS = 6, 40
INPUTS = "pqrs"
MODEL = ModelSpec(landmarks=40, landmark_kinds=(LandmarkKind.KMEANS,), metric_repetitions=0)
SPEC = FederationSpec(
    name="visits",
    data=DataSpec(
        task=Task.REGRESSION, target="y", columns=tuple(Column(name=name) for name in INPUTS)
    ),
    model=MODEL,
)

both = pytest.mark.parametrize("counted", [False, True])


def count_copies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take every row for the first of its copies."""
    monkeypatch.setattr(FirstCopies, "add", lambda _, hashes: np.ones(len(hashes), dtype=bool))


def source_of(X: Matrix, y: np.ndarray) -> MemorySource:
    """Rows of numbers."""
    return MemorySource((Batch(X, np.empty((len(X), 0), object), y),))


@both
def test_copies_make_no_cell(monkeypatch: pytest.MonkeyPatch, counted: bool) -> None:
    """Sites of different patients, each of whom has six equal rows; some are alone in a cell."""
    if counted:
        count_copies(monkeypatch)
    random, sources = np.random.default_rng(0), {}
    for shift, node in zip((0, -6, 0, 6), "abcd", strict=True):
        X = random.normal(size=(PATIENTS, len(INPUTS)))
        X[:, 0] += shift
        X = np.repeat(X, 1 if node == "a" else COPIES, axis=0)
        sources[node] = source_of(X, X[:, 0])
    parts, rests = attack(SPEC, sources, "a", floors_of(SPEC, LOCAL))
    cells = rests["kmeans/0"].reshape(-1, 1 + len(INPUTS))
    centres = cells[cells[:, 0] > 0, 1:] / cells[cells[:, 0] > 0, :1]
    rows = [parts.encoder.encode(b) for node in "bcd" for b in sources[node].batches()]
    distances = np.abs(np.concatenate(rows)[:, None] - centres).max(axis=2)
    assert bool((distances.min(axis=1) < 1e-6).any()) is counted


@both
def test_copies_make_no_column(monkeypatch: pytest.MonkeyPatch, counted: bool) -> None:
    """One patient has a value of s, in six equal rows: its mean would be the value."""
    if counted:
        count_copies(monkeypatch)
    random, sources = np.random.default_rng(1), {}
    for node in "abc":
        X = random.normal(size=(PATIENTS, len(INPUTS)))
        X[:, -1] = np.nan
        if node == "b":
            X[:COPIES] = X[0]
            X[:COPIES, -1] = 7.25
        sources[node] = source_of(X, X[:, 0])
    _, rests = attack(SPEC, sources, "a", floors_of(SPEC, LOCAL))
    values, total = rests["means"].reshape(-1, 2)[len(INPUTS) - 1]
    assert values == COPIES * counted
    assert np.isclose(total * 2.0 ** np.arange(10), COPIES * 7.25).any() == counted


@both
def test_copies_make_no_class(monkeypatch: pytest.MonkeyPatch, counted: bool) -> None:
    """One patient of a rare class, in six equal rows: a sum over the class would be the row."""
    if counted:
        count_copies(monkeypatch)
    data = DataSpec(
        task=Task.CLASSIFICATION,
        target="y",
        columns=SPEC.data.columns,
        classes=("well", "ill"),
    )
    X = np.random.default_rng(2).normal(size=(PATIENTS, len(INPUTS)))
    X[:COPIES] = X[0]
    source = source_of(X, (np.arange(PATIENTS) < COPIES).astype(float))
    kept = without_rare_classes(source, data, floors_of(SPEC, LOCAL).category)
    assert sum(len(batch) for batch in kept.batches()) == PATIENTS - COPIES * (not counted)

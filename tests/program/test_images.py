"""Images through the program: digits, split over sites, under a convolutional kernel."""

import numpy as np
import pytest
from sklearn.datasets import load_digits

from edge_node.config import (
    Column,
    DataSpec,
    FederationSpec,
    KernelKind,
    LandmarkKind,
    ModelSpec,
    SiteRefinement,
    Task,
)
from edge_node.data.sources.source import Batch, MemorySource
from edge_node.model.model import Model
from edge_node.program.simulation import simulate, simulate_pooled
from edge_node.security.disclosure.allowance import Allowance

ANY = Allowance.unlimited()  # how much is told is not the question here

pytestmark = pytest.mark.slow

ROWS, HELD_OUT = 300, 200


SPEC = FederationSpec(
    name="digits",
    data=DataSpec(
        task=Task.CLASSIFICATION,
        target="digit",
        columns=tuple(Column(name=f"pixel-{i}") for i in range(16)),
        classes=tuple("0123456789"),
    ),
    model=ModelSpec(
        kernels=(KernelKind.CONV_NTK,),
        depths=(2,),
        image=(4, 4, 1),
        landmarks=60,
        landmark_kinds=(LandmarkKind.KMEANS,),
        min_rows_per_landmark=3,
        newton_steps=4,
        site_refinement=SiteRefinement.NONE,  # a site that has seen four digits answers for these
    ),
)


def learn(parts: list[Batch]) -> tuple[Model, Model]:
    """One node a part: the first node's model, and what one machine learns from what they give."""
    sources = {f"{i}": MemorySource((each,)) for i, each in enumerate(parts)}
    return simulate(SPEC, sources, allowance=ANY)["0"], simulate_pooled(
        SPEC, sources, allowance=ANY
    )


def batch(X: np.ndarray, y: np.ndarray) -> Batch:
    """Pixels and digits."""
    return Batch(X, np.empty((len(X), 0), dtype=object), y.astype(float))


def test_digits() -> None:
    """Sites that each know some digits only agree with the pooled model, which reads digits."""
    images, y = load_digits(return_X_y=True)
    X = images.reshape(-1, 4, 2, 4, 2).mean(axis=(2, 4)).reshape(-1, 16)
    rows, queries = slice(0, ROWS), batch(X[-HELD_OUT:], y[-HELD_OUT:])
    owners = np.minimum(y[rows] // 4, 2)
    parts = [batch(X[rows][owners == owner], y[rows][owners == owner]) for owner in range(3)]
    federated, pooled = learn(parts)
    assert federated.provenance.kernel == "conv-ntk relu depth 2 image 4x4x1"
    for ours, theirs in zip(federated.latent(queries), pooled.latent(queries), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-6)
    read = np.argmax(federated.predict(queries).probabilities, axis=1)  # type: ignore[union-attr]
    assert np.mean(read == queries.target) > 0.7

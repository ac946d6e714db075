"""A row far from all others dominates totals, and is found first; so numbers are winsorised.

The attacker is a member: it knows the feature map, and the sum of Phi'y over the others' rows. A
sum that one row dominates is that row's features, up to a factor; from there it is a search.
"""

import asyncio

import msgspec
import numpy as np
import pytest
from scipy.optimize import least_squares

from edge_node.arrays import Matrix, Vector
from edge_node.config import (
    Activation,
    Column,
    DataSpec,
    FederationSpec,
    Floors,
    KernelKind,
    LandmarkKind,
    ModelSpec,
    Task,
)
from edge_node.data.encoding.encoder import EncodedRows, Encoder
from edge_node.data.sources.source import Batch, MemorySource
from edge_node.inference.features.nystrom import Features
from edge_node.inference.kernels.dense import DenseKernel
from edge_node.network.base import Network
from edge_node.network.memory import MemoryFederation
from edge_node.program.parts import Parts, agree_parts

SPEC = FederationSpec(
    name="wards",
    data=DataSpec(task=Task.REGRESSION, target="y", columns=tuple(Column(name=c) for c in "abc")),
    model=ModelSpec(landmarks=12, landmark_kinds=(LandmarkKind.GAUSSIAN,)),
)
KERNEL = DenseKernel(KernelKind.NTK, Activation.RELU, 1, 2.0, 0.0)


def wards(target: float) -> dict[str, MemorySource]:
    """Three with sixty rows each; the second's first row has such a target."""
    random, sources = np.random.default_rng(0), {}
    for name in "abc":
        X = random.normal(size=(60, 3))
        y = np.sin(2 * X[:, 0]) + 0.2 * random.normal(size=60)
        sources[name] = MemorySource((Batch(X, np.empty((60, 0), dtype=object), y),))
    (batch,) = sources["b"].parts
    assert batch.target is not None
    batch.target[0] = target
    return sources


def parts_of(sources: dict[str, MemorySource]) -> Parts:
    """What the wards agree on."""
    floors = Floors.of(SPEC)

    async def program(network: Network) -> Parts:
        return (await agree_parts(network, sources[network.node], SPEC, floors=floors))[1]

    return asyncio.run(MemoryFederation(list(sources)).run(program))["a"]


def found_from(total: Vector, features: Features) -> Matrix:
    """Inputs (n, d) whose features are nearest in direction to a total (r,)."""
    direction = total / np.linalg.norm(total)

    def miss(x: Vector) -> Vector:
        phi = features(x[None])[0]
        scale = phi @ direction
        return (phi - scale * direction) / np.linalg.norm(phi)

    starts = features.landmarks
    return np.array([least_squares(miss, start, max_nfev=100).x for start in starts])


@pytest.mark.parametrize(("defended", "recovered"), [(True, False), (False, True)])
def test_a_row_with_an_unusual_target_is_not_what_the_sum_says(
    defended: bool, recovered: bool
) -> None:
    """A comma was forgotten: the target is a million deviations away, and counts as ten."""
    sources = wards(1e6)
    parts = parts_of(sources)
    encoder: Encoder = parts.encoder
    if not defended:
        encoder = msgspec.structs.replace(encoder, target_most=np.inf)
    features = Features.build(KERNEL, parts.landmarks[LandmarkKind.GAUSSIAN], None)
    others = [chunk for name in "bc" for chunk in EncodedRows(sources[name], encoder)]
    total = sum(features(X).T @ y for X, y in others)
    victim = others[0][0][0]
    distance = np.abs(found_from(total, features) - victim).max(axis=1).min()
    assert bool(distance < 0.1) is recovered

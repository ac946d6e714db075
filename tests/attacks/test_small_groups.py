"""A member subtracts its own rows from sums over groups, or lies about how many it has.

Every site leaves out groups of which it has too few rows, whatever anybody says of theirs. The
control is the program that was there before: a group was summed if the federation had enough rows
of it, so every site gave what it had.
"""

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Unpack

import msgspec
import numpy as np
import pytest

from edge_node.arrays import Matrix, Vector
from edge_node.config import (
    Column,
    DataSpec,
    FederationSpec,
    Floors,
    LandmarkKind,
    ModelSpec,
    SitePolicy,
    Task,
    load_spec,
)
from edge_node.data.encoding.encoder import EncodedRows
from edge_node.data.sources.source import Batch, MemorySource, Source, open_source
from edge_node.errors import ConfigurationError
from edge_node.network.base import Network, NetworkLayer, Terms
from edge_node.network.memory import MemoryFederation
from edge_node.program.features.places import agree_candidate
from edge_node.program.parts import Parts, agree_parts
from edge_node.program.plan.planning import schedule_for
from edge_node.security.disclosure.allowance import Allowance
from edge_node.step import Step

EXAMPLES = Path(__file__).parents[2] / "deploy" / "examples"
HOSPITALS = ("hospital-a", "hospital-b", "hospital-c", "hospital-d")
Lie = Callable[[str, Vector], Vector]


class Member(NetworkLayer):
    """A member that keeps the totals less what it gave, and may give something else."""

    def __init__(self, network: Network, rests: dict[str, Vector], lie: Lie | None = None) -> None:
        super().__init__(network)
        self._rests, self._lie = rests, lie or (lambda _step, vector: vector)

    async def sum(self, step: Step, vector: Vector, **terms: Unpack[Terms]) -> Vector:
        """As the network's."""
        given = self._lie(str(step), vector)
        total = await super().sum(step, given, **terms)
        self._rests[str(step)] = total - given
        return total


def attack(
    spec: FederationSpec,
    sources: Mapping[str, Source],
    attacker: str,
    floors: Floors,
    lie: Lie | None = None,
) -> tuple[Parts, dict[str, Vector]]:
    """The parts that all agree on, and what the attacker knows of the others' sums."""
    rests: dict[str, Vector] = {}

    async def program(network: Network) -> Parts:
        if network.node == attacker:
            network = Member(network, rests, lie)
        source = sources[network.node]
        recounting, parts = await agree_parts(network, source, spec, floors=floors)
        plan = schedule_for(
            spec, Allowance.unlimited(), rows=parts.encoder.rows, inputs=len(parts.covariance)
        )
        rows = EncodedRows(source, parts.encoder)
        _, candidate, _, _ = await agree_candidate(
            recounting,
            rows,
            parts.landmarks,
            spec,
            plan,
            fewest=floors.landmark,
            alike=floors.landmark,
        )
        return parts.with_centroids(candidate)

    found = asyncio.run(MemoryFederation(list(sources)).run(program))
    return found[attacker], rests


LOCAL, BEFORE = True, False


def floors_of(spec: FederationSpec, local: bool) -> Floors:
    """Every site's own; or none, as when only the federation's rows counted."""
    return Floors.of(spec, SitePolicy()) if local else Floors.none()


@pytest.mark.parametrize(("local", "told"), [(LOCAL, False), (BEFORE, True)])
def test_a_member_with_most_of_a_group_learns_nothing_of_the_rest(local: bool, told: bool) -> None:
    """Five patients have a viral load: four of them in hospital A, the fifth in hospital B."""
    columns = tuple(Column(name=name) for name in ("age", "bmi", "viral_load"))
    data = DataSpec(task=Task.REGRESSION, target="y", columns=columns)
    spec = FederationSpec(name="wards", data=data, model=ModelSpec(landmarks=20))
    random, sources = np.random.default_rng(5), {}
    for name, loads in {"a": 4, "b": 1, "c": 0}.items():
        X = np.column_stack(
            [random.normal(60, 10, 400), random.normal(25, 4, 400), np.full(400, np.nan)]
        )
        X[:loads, 2] = random.uniform(1e3, 1e5, loads)
        sources[name] = MemorySource((Batch(X, np.empty((400, 0), object), X[:, 0]),))
    secret = sources["b"].parts[0].numeric[0, 2]
    parts, rests = attack(spec, sources, "a", floors_of(spec, local))
    values, total = rests["means"].reshape(-1, 2)[2]
    assert values == told  # of the others', one or none
    units = 2.0 ** np.arange(-400, 400)  # the attacker knows which; here any will do
    assert bool(np.isclose(total * units, secret).any()) is told
    assert ("viral_load" in parts.encoder.feature_names) is told


def hospitals() -> tuple[FederationSpec, dict[str, Source]]:
    """The shipped example, with k-means landmarks, and without a metric that moves rows."""
    spec = load_spec(EXAMPLES / "federation.toml")
    model = msgspec.structs.replace(
        spec.model, landmarks=100, landmark_kinds=(LandmarkKind.KMEANS,), metric_repetitions=0
    )
    spec = msgspec.structs.replace(spec, model=model)
    return spec, {name: open_source(EXAMPLES / f"{name}.csv", spec.data) for name in HOSPITALS}


def rows_laid_open(rests: Mapping[str, Vector], rows: Matrix) -> int:
    """How many of the rows (n, d) are somebody's share of a k-means cell, alone."""
    found = set()
    for step, rest in rests.items():
        if step.startswith("kmeans/"):
            cells = rest.reshape(-1, 1 + rows.shape[1])
            for cell in cells[:, 1:]:
                distance = np.abs(rows - cell).max(axis=1)
                found |= set(np.flatnonzero(distance < 1e-6).tolist())
    return len(found)


@pytest.mark.parametrize("more", [0.0, 5.0])
@pytest.mark.parametrize(("local", "at_least", "at_most"), [(LOCAL, 0, 0), (BEFORE, 10, 500)])
def test_a_member_that_lies_about_its_counts_gains_nothing(
    more: float, local: bool, at_least: int, at_most: int
) -> None:
    """It says that it has five more rows next to each landmark; what others give is theirs."""
    spec, sources = hospitals()
    width = 1 + len(spec.data.columns)

    def lie(step: str, vector: Vector) -> Vector:
        if not step.startswith("kmeans/"):
            return vector
        cells = vector.reshape(-1, width).copy()
        cells[:, 0] += more
        return cells.ravel()

    parts, rests = attack(spec, sources, "hospital-a", floors_of(spec, local), lie)
    others = [batch for name in HOSPITALS[1:] for batch in sources[name].batches()]
    rows = np.concatenate([parts.encoder.encode(batch) for batch in others])
    assert parts.landmarks.keys() == {LandmarkKind.GAUSSIAN, LandmarkKind.KMEANS}
    assert at_least <= rows_laid_open(rests, rows) <= at_most


@pytest.mark.parametrize("floor", [1, 0, -7])
def test_a_spec_with_low_floors_is_refused_and_would_lower_none(floor: int, tmp_path: Path) -> None:
    """A site that is given one all the same keeps to its own: no landmark is a row."""
    spec, sources = hospitals()
    text = (EXAMPLES / "federation.toml").read_text()
    low = tmp_path / "federation.toml"
    for key, table in (("min_rows_per_landmark", "[model]"), ("min_rows_per_category", "[data]")):
        low.write_text(text.replace(f"{table}\n", f"{table}\n{key} = {floor}\n", 1))
        with pytest.raises(ConfigurationError, match=rf"{key}` must be at least 3"):
            load_spec(low)
    model = msgspec.structs.replace(spec.model, min_rows_per_landmark=floor)
    reckless = msgspec.structs.replace(spec, model=model)
    for local, are_rows in ((LOCAL, False), (BEFORE, True)):
        parts, _ = attack(reckless, sources, "hospital-a", floors_of(reckless, local))
        rows = [b for source in sources.values() for b in source.batches()]
        encoded = np.concatenate([parts.encoder.encode(batch) for batch in rows])
        landmarks = parts.landmarks[LandmarkKind.KMEANS]
        distance = np.abs(landmarks[:, None] - encoded[None]).max(axis=2).min(axis=1)
        assert bool((distance < 1e-6).any()) is are_rows

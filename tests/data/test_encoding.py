"""The encoder depends on the federation's rows, and not on who holds them."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_node.config import Column, ColumnKind, DataSpec, Task
from edge_node.data.encoder import EncodedRows, Encoder
from edge_node.data.source import Batch, MemorySource, open_source
from edge_node.errors import DataError
from edge_node.network.base import Network
from edge_node.network.memory import MemoryFederation
from edge_node.program.encoding import agree_encoding

SHARED = Path(__file__).parents[3] / "shared" / "data"
DATA = DataSpec(
    task=Task.REGRESSION,
    target="y",
    columns=(
        Column(name="a"),
        Column(name="b"),
        Column(name="kind", kind=ColumnKind.CATEGORICAL),
    ),
    min_rows_per_category=3,
)


class Watched:
    """A network that remembers what its node gave, and from a step on gives nothing."""

    def __init__(self, network: Network, seen: list[np.ndarray], gone_from: str = "") -> None:
        self._network = network
        self._seen = seen
        self._gone_from, self._gone = gone_from, False
        self.node, self.root = network.node, network.root
        self.cohort, self.gather = network.cohort, network.gather

    async def sum(self, step: str, vector: np.ndarray, **options: object) -> np.ndarray:
        """As the network's; a node that is gone adds nothing."""
        self._gone = self._gone or step == self._gone_from
        given = np.zeros_like(vector) if self._gone else vector
        self._seen.append(given.copy())
        return await self._network.sum(step, given, **options)


def agree(
    sources: list, data: DataSpec = DATA, gone_from: str = ""
) -> tuple[Encoder, np.ndarray, list[np.ndarray]]:
    """Encoder, covariance, and every vector that was summed; the last node may be lost."""
    seen: list[np.ndarray] = []
    names = [f"node-{i:02d}" for i in range(len(sources))]

    async def program(network: Network) -> tuple[Encoder, np.ndarray]:
        last = network.node == names[-1]
        watched = Watched(network, seen, gone_from if last else "")
        return await agree_encoding(watched, sources[names.index(network.node)], data)

    results = asyncio.run(MemoryFederation(names).run(program))
    encoder, covariance = results[names[0]]
    for other, same in results.values():
        assert other == encoder
        np.testing.assert_array_equal(same, covariance)
    return encoder, covariance, seen


def rows(seed: int, n: int = 40) -> Batch:
    """Numbers of very different scales, with missing cells, and a category."""
    random = np.random.default_rng(seed)
    numeric = np.column_stack([1e-12 * random.normal(size=n), 1.7e9 + random.integers(0, 3, n)])
    numeric[random.random(numeric.shape) < 0.1] = np.nan
    kinds = np.array(["red", "grün", "a label of some length", None], dtype=object)
    return Batch(numeric, random.choice(kinds, (n, 1)), 1e12 * random.normal(size=n))


def pick(batch: Batch, indices: np.ndarray) -> MemorySource:
    """Some rows as a source."""
    assert batch.target is not None
    return MemorySource(
        (Batch(batch.numeric[indices], batch.categorical[indices], batch.target[indices]),)
    )


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 8), st.integers(0, 2**32 - 1))
def test_any_partition_gives_the_same_encoder(nodes: int, seed: int) -> None:
    """Bit for bit, in any order of rows."""
    batch = rows(seed)
    pooled, covariance, _ = agree([pick(batch, np.arange(len(batch)))])
    random = np.random.default_rng(seed)
    parts = np.array_split(random.permutation(len(batch)), nodes)
    split, split_covariance, _ = agree([pick(batch, part) for part in parts])
    assert split == pooled
    np.testing.assert_array_equal(split_covariance, covariance)


def test_inputs_are_standardised_whatever_their_unit() -> None:
    """Mean zero and unit variance, at 1e-12 and at 1.7e9 + 1; missing ones are imputed, marked."""
    batch = rows(1, 4000)
    encoder, covariance, _ = agree([pick(batch, np.arange(4000))])
    X = encoder.encode(batch)
    names = list(encoder.feature_names)
    for name, j in (("a", 0), ("b", 1)):
        present = ~np.isnan(batch.numeric[:, j])
        values = X[present, names.index(name)]
        assert abs(values.mean()) < 1e-3
        assert values.std() == pytest.approx(1.0, rel=1e-3)
        assert set(np.unique(X[:, names.index(f"{name} is missing")] > 0)) == {False, True}
        assert np.all(X[~present, names.index(name)] == 0)
    np.testing.assert_allclose(np.cov(X.T, bias=True), covariance, atol=1e-6)
    y = encoder.targets(batch)
    assert y.std() == pytest.approx(1.0, rel=1e-6)
    mean, _ = encoder.unscale(y, y)
    np.testing.assert_allclose(mean, batch.target, rtol=1e-9)


def test_labels_are_found_and_rare_ones_never_summed() -> None:
    """A label in two rows of the whole federation stays secret, whoever holds them."""
    batch = rows(2)
    batch.categorical[0, 0] = batch.categorical[39, 0] = "Erika Mustermann"
    encoder, _, seen = agree([pick(batch, part) for part in np.array_split(np.arange(40), 3)])
    assert encoder.categorical[0].labels == ("a label of some length", "grün", "red")
    secret = np.frombuffer(b"Erika Mustermann", dtype=np.uint8).astype(float)
    for vector in (v for v in seen if len(v) >= len(secret)):
        for scale in (1.0, 2.0):
            windows = np.lib.stride_tricks.sliding_window_view(vector, len(secret))
            assert not np.any(np.all(windows == scale * secret, axis=1))
    unseen = batch.categorical[:1]
    query = Batch(batch.numeric[:1], unseen, None)
    (warning,) = encoder.warnings_for(query)
    assert "'kind'" in warning
    assert "Erika" in warning
    one_hot = [i for i, name in enumerate(encoder.feature_names) if name.startswith("kind=")]
    assert np.all(encoder.encode(query)[0, one_hot] < 0)  # none of the known ones


def test_colliding_labels_are_told_apart() -> None:
    """Many labels share buckets of the first table; a larger one is used."""
    names = np.array([f"label-{i}" for i in range(120)], dtype=object)
    kinds = np.repeat(names, 3)[:, None]
    n = len(kinds)
    random = np.random.default_rng(0)
    batch = Batch(random.normal(size=(n, 2)), kinds, random.normal(size=n))
    encoder, _, _ = agree([pick(batch, part) for part in np.array_split(np.arange(n), 4)])
    assert encoder.categorical[0].labels == tuple(sorted(names))


def test_what_is_constant_everywhere_is_dropped_with_a_warning() -> None:
    """Constant at one site only is normal."""
    batch = rows(3)
    batch.numeric[:, 1] = 1234567.891
    batch.numeric[:20, 0] = 5e-12
    encoder, _, _ = agree([pick(batch, np.arange(20)), pick(batch, np.arange(20, 40))])
    assert [feature.name for feature in encoder.numeric] == ["a"]
    assert any("'b' is constant" in warning for warning in encoder.warnings)


def test_a_column_that_is_missing_everywhere_is_dropped() -> None:
    """With its indicator, which is constant."""
    batch = rows(4)
    batch.numeric[:, 0] = np.nan
    encoder, _, _ = agree([pick(batch, np.arange(40))])
    assert not any(name.startswith("a") for name in encoder.feature_names)


def test_all_inputs_constant_is_refused() -> None:
    """There is nothing to learn from."""
    batch = Batch(np.ones((5, 2)), np.full((5, 1), "x", dtype=object), np.arange(5.0))
    with pytest.raises(DataError, match="every input is constant"):
        agree([pick(batch, np.arange(5))])


CLASSES = DataSpec(
    task=Task.CLASSIFICATION,
    target="y",
    columns=DATA.columns,
    classes=("no", "yes"),
    min_rows_per_category=3,
)


@pytest.mark.parametrize("data", [DATA, CLASSES], ids=lambda data: data.task.value)
@pytest.mark.parametrize("step", ["labels/0/bytes", "spread"])
def test_a_node_that_is_lost_on_the_way_falsifies_nothing(data: DataSpec, step: str) -> None:
    """Centres are means over those who were there; all else is over those who are left."""
    batch = rows(6, 300)
    batch.numeric[200:] *= 3.0  # the lost node's rows are unlike the others'
    batch.categorical[200:300:2, 0] = "seen there only"
    batch.categorical[:2, 0] = "seen there only"
    if data is CLASSES:
        assert batch.target is not None
        batch = Batch(batch.numeric, batch.categorical, (batch.target > 0).astype(float))
    parts = [pick(batch, part) for part in np.split(np.arange(300), [80, 200])]
    encoder, covariance, _ = agree(parts, data, gone_from=step)
    (left,) = pick(batch, np.arange(200)).batches()
    assert encoder.rows == 200
    for j, feature in enumerate(encoder.numeric):
        assert feature.location == pytest.approx(np.nanmean(batch.numeric[:, j]), rel=1e-10)
        assert feature.scale == pytest.approx(np.nanstd(left.numeric[:, j]), rel=1e-6)
    found = encoder.categorical[0]
    assert ("seen there only" in found.labels) == (step == "spread")
    counts = [np.sum(left.categorical[:, 0] == label) for label in found.labels]
    assert found.shares == tuple(np.array(counts) / 200)
    X = encoder.encode(left)
    np.testing.assert_allclose(np.cov(X.T, bias=True), covariance, atol=1e-8 * X.var())
    assert left.target is not None
    if data is CLASSES:
        assert encoder.class_counts == tuple(np.bincount(left.target.astype(int)))
    else:
        assert encoder.target_scale == pytest.approx(left.target.std(), rel=1e-6)


def test_a_node_that_is_lost_before_the_first_sum_was_never_there() -> None:
    """Bit for bit; and with too few rows left it is refused by name."""
    batch = rows(7)
    parts = [pick(batch, part) for part in np.split(np.arange(40), [15, 30])]
    encoder, covariance, _ = agree(parts, gone_from="survey")
    alone, same, _ = agree([pick(batch, np.arange(30))])
    assert encoder == alone
    np.testing.assert_array_equal(covariance, same)
    with pytest.raises(DataError, match="too few rows"):
        agree([pick(batch, np.arange(1)), pick(batch, np.arange(1, 40))], gone_from="spread")


def test_an_encoder_survives_json() -> None:
    """Bit for bit."""
    encoder, _, _ = agree([pick(rows(5), np.arange(40))])
    assert Encoder.from_dict(encoder.to_dict()) == encoder


def test_real_stations_with_wind_directions_and_gaps() -> None:
    """Beijing: sixteen compass labels, found from counts."""
    file = SHARED / "beijing_air_quality_12_stations.csv.gz"
    if not file.exists():
        pytest.skip(f"{file.name} is not there")
    data = DataSpec(
        task=Task.REGRESSION,
        target="hour",
        columns=(
            Column(name="temperature_c"),
            Column(name="pm25_ug_m3"),
            Column(name="wind_direction", kind=ColumnKind.CATEGORICAL),
        ),
    )
    ignored = "site year month day pm10_ug_m3 so2_ug_m3 no2_ug_m3 co_ug_m3 o3_ug_m3 pressure_hpa"
    ignored += " dew_point_c rain_mm wind_speed_m_s"
    encoder, _, _ = agree([open_source(file, data, ignore=ignored.split())], data)
    assert len(encoder.categorical[0].labels) == 16
    assert encoder.rows == 84156
    assert {feature.name for feature in encoder.missing} == {c.name for c in data.columns}


def test_pixels_keep_their_places_at_one_scale() -> None:
    """A constant one stays, as zeros; one that hardly varies stays quiet; the mean power is one."""
    data = DataSpec(
        task=Task.REGRESSION, target="y", columns=tuple(Column(name=f"p{i}") for i in range(4))
    )
    random = np.random.default_rng(5)
    pixels = 100.0 + random.normal(size=(50, 4)) * [2.0, 0.0, 1e-3, 1.0]
    source = MemorySource((Batch(pixels, np.empty((50, 0), dtype=object), pixels[:, 0]),))

    async def program(network: Network) -> tuple[Encoder, np.ndarray]:
        return await agree_encoding(network, source, data, pixels=True)

    encoder, covariance = asyncio.run(MemoryFederation(["a"]).run(program))["a"]
    X = encoder.encode(next(iter(source.batches())))
    scale = np.sqrt(pixels.var(axis=0).mean())
    np.testing.assert_allclose(X, (pixels - pixels.mean(axis=0)) / scale, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(covariance, np.cov(X.T, bias=True), atol=1e-8)
    assert encoder.warnings == ()


class Counted:
    """A source that counts how often it is passed over."""

    def __init__(self, *parts: Batch) -> None:
        self.parts, self.passes = parts, 0

    def batches(self) -> Iterator[Batch]:
        """The parts."""
        self.passes += 1
        yield from self.parts


@pytest.mark.parametrize(("most_bytes", "passes"), [(1 << 20, 1), (0, 3), (1500, 3)])
def test_few_rows_are_read_once_and_many_in_every_pass(most_bytes: int, passes: int) -> None:
    """The same chunks either way, and nobody may change them."""
    batch = rows(0)
    encoder, _, _ = agree([MemorySource((batch,))])
    source = Counted(batch, batch)
    encoded = EncodedRows(source, encoder, most_bytes)
    seen = [list(encoded) for _ in range(3)]
    assert source.passes == passes
    for chunks in seen:
        assert len(chunks) == 2
        for X, y in chunks:
            np.testing.assert_array_equal(X, encoder.encode(batch))
            np.testing.assert_array_equal(y, encoder.targets(batch))
            assert not X.flags.writeable


def test_a_pass_that_is_broken_off_keeps_nothing() -> None:
    """The next one is whole."""
    batch = rows(1)
    encoder, _, _ = agree([MemorySource((batch,))])
    source = Counted(batch, batch)
    encoded = EncodedRows(source, encoder)
    next(iter(encoded))
    assert len(list(encoded)) == 2
    assert len(list(encoded)) == 2
    assert source.passes == 2

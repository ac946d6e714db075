"""The encoder, from what sites give of their rows: enough of each group, or nothing."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_node.config import Column, ColumnKind, DataSpec, Task
from edge_node.data.encoding.encoder import EncodedRows, Encoder
from edge_node.data.encoding.groups import MISSING, kept_groups
from edge_node.data.sources.rare_classes import ClassRows, without_rare_classes
from edge_node.data.sources.source import Batch, MemorySource, open_source
from edge_node.data.sums.census import Census
from edge_node.errors import CohortRefusedError, DataError
from edge_node.network.base import Network
from edge_node.network.memory import MemoryFederation
from edge_node.program.encoding import agree_encoding
from edge_node.step import Step
from tests.support.networks import Recording

SHARED = Path(__file__).parents[4] / "shared" / "data"
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


def agree(
    sources: list, data: DataSpec = DATA, lost_at: str = "", fewest: int = 3
) -> tuple[Encoder, np.ndarray, list[np.ndarray]]:
    """Encoder, covariance, and every vector that was summed; the last node may be lost."""
    seen: list[np.ndarray] = []
    names = [f"node-{i:02d}" for i in range(len(sources))]

    async def program(network: Network) -> tuple[Encoder, np.ndarray]:
        source = sources[names.index(network.node)]
        recording = Recording(network, seen)
        _, agreed = await agree_encoding(recording, source, data, fewest=fewest)
        return agreed.encoder, agreed.covariance

    lost = {names[-1]: lost_at} if lost_at else {}
    results = asyncio.run(MemoryFederation(names, lost).run(program))
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
def test_where_all_is_given_any_partition_gives_the_same_encoder(nodes: int, seed: int) -> None:
    """To rounding, in any order of rows."""
    batch = rows(seed)
    pooled, covariance, _ = agree([pick(batch, np.arange(len(batch)))], fewest=1)
    random = np.random.default_rng(seed)
    parts = np.array_split(random.permutation(len(batch)), nodes)
    split, split_covariance, _ = agree([pick(batch, part) for part in parts], fewest=1)
    assert split.feature_names == pooled.feature_names
    np.testing.assert_allclose(split.encode(batch), pooled.encode(batch), atol=1e-8)
    np.testing.assert_allclose(split_covariance, covariance, atol=1e-8)


def test_inputs_are_standardised_whatever_their_unit() -> None:
    """Mean zero and unit variance, at 1e-12 and at 1.7e9 + 1; missing ones are imputed, marked."""
    batch = rows(1, 4000)
    encoder, covariance, _ = agree([pick(batch, np.arange(4000))], fewest=1)
    X = encoder.encode(batch)
    names = list(encoder.feature_names)
    for name, j in (("a", 0), ("b", 1)):
        present = ~np.isnan(batch.numeric[:, j])
        values = X[present, names.index(name)]
        assert abs(values.mean()) < 1e-3
        assert values.std() == pytest.approx(1.0, rel=1e-3)
        assert set(np.unique(X[:, names.index(f"{name} is missing")] > 0)) == {False, True}
        assert np.all(X[~present, names.index(name)] == 0)
    numbers = len(encoder.numeric)
    labels = len(encoder.categorical[0].labels)
    for block in (slice(0, numbers), slice(numbers, numbers + labels)):
        expected = np.cov(X[:, block].T, bias=True)
        np.testing.assert_allclose(expected, covariance[block, block], atol=1e-6)
        covariance[block, block] = 0.0
    np.testing.assert_allclose(np.var(X, axis=0)[-3:], np.diag(covariance)[-3:], atol=1e-6)
    assert not (covariance - np.diag(np.diag(covariance))).any()  # of two columns: unknown
    y = encoder.targets(batch)
    assert y.std() == pytest.approx(1.0, rel=1e-6)
    mean, _ = encoder.unscale(y, y)
    np.testing.assert_allclose(mean, batch.target, rtol=1e-9)


def test_a_label_is_given_by_a_site_that_has_enough_rows_of_it() -> None:
    """Two rows at each of three sites are enough for nobody, and stay secret."""
    batch = rows(2, 120)
    batch.categorical[::20, 0] = "Erika Mustermann"  # two rows in each forty
    thirds = [pick(batch, part) for part in np.array_split(np.arange(120), 3)]
    encoder, _, seen = agree(thirds)
    assert encoder.categorical[0].labels == ("a label of some length", "grün", "red")
    secret = np.frombuffer(b"Erika Mustermann", dtype=np.uint8).astype(float)
    for vector in (v for v in seen if len(v) >= len(secret)):
        for scale in (1.0, 2.0):
            windows = np.lib.stride_tricks.sliding_window_view(vector, len(secret))
            assert not np.any(np.all(windows == scale * secret, axis=1))
    query = Batch(batch.numeric[:1], batch.categorical[:1], None)
    (warning,) = encoder.warnings_for(query)
    assert "'kind'" in warning
    assert "Erika" in warning
    one_hot = [i for i, name in enumerate(encoder.feature_names) if name.startswith("kind=")]
    assert np.all(encoder.encode(query)[0, one_hot] < 0)  # none of the known ones
    whole, _, _ = agree([pick(batch, np.arange(120))])
    assert "Erika Mustermann" in whole.categorical[0].labels  # six rows at one site


def test_colliding_labels_are_told_apart() -> None:
    """Many labels share buckets of the first table; a larger one is used."""
    names = np.array([f"label-{i}" for i in range(120)], dtype=object)
    kinds = np.tile(np.repeat(names, 3), 4)[:, None]
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
@pytest.mark.parametrize("step", ["counts", "labels/0/bytes", "means", "spread"])
def test_a_node_that_is_lost_on_the_way_is_missing_from_each_later_sum(
    data: DataSpec, step: str
) -> None:
    """No sum is divided by the count of another one, so none is wrong."""
    batch = rows(6, 300)
    batch.numeric[200:] += [3e-12, 3.0]  # the lost node's rows are unlike the others'
    batch.categorical[200:300:2, 0] = "seen there only"
    if data is CLASSES:
        assert batch.target is not None
        batch = Batch(batch.numeric, batch.categorical, (batch.target > 0).astype(float))
    parts = [pick(batch, part) for part in np.split(np.arange(300), [80, 200])]
    encoder, covariance, _ = agree(parts, data, lost_at=step)
    alone, same, _ = agree(parts[:2], data)
    assert encoder.rows == 200
    assert encoder.feature_names == alone.feature_names
    if step != "spread":  # means were summed with it; what is taken around them isn't
        np.testing.assert_allclose(covariance, same, atol=1e-4)
        np.testing.assert_allclose(encoder.encode(batch), alone.encode(batch), atol=1e-4)
    whole, _, _ = agree(parts, data)
    assert "seen there only" in whole.categorical[0].labels
    assert whole.rows == 300


@pytest.mark.parametrize("step", ["counts", "labels/0/bytes", "means", "spread"])
def test_too_few_rows_that_are_left_are_refused(step: str) -> None:
    """By name, before anything but counts is summed over them."""
    batch = rows(7)
    parts = [pick(batch, np.arange(1)), pick(batch, np.arange(1, 40))]
    with pytest.raises(DataError, match="too few rows"):
        agree(parts, lost_at=step)


def test_the_rows_are_told_as_soon_as_they_are_counted() -> None:
    """All, and how many are distinct; whoever is told may end it."""
    batch = rows(8)
    twice = pick(batch, np.tile(np.arange(40), 2))
    network = MemoryFederation(["a"]).network("a")

    def check(census: Census) -> None:
        raise CohortRefusedError(f"{census.rows} rows, {census.distinct} distinct")

    with pytest.raises(CohortRefusedError, match="80 rows, 40 distinct"):
        asyncio.run(agree_encoding(network, twice, DATA, fewest=3, check=check))
    assert network.steps[Step("counts")] == ("a",)


@pytest.mark.parametrize(("few", "left"), [(1, 39), (2, 38), (3, 40)])
def test_rows_of_a_class_of_which_a_site_has_too_few_take_no_part(few: int, left: int) -> None:
    """In no sum; what is left out is said by class and number."""
    batch = rows(9)
    target = np.repeat([0.0, 1.0], [40 - few, few])
    source = pick(Batch(batch.numeric, batch.categorical, target), np.arange(40))
    kept = without_rare_classes(source, CLASSES, 3)
    (only,) = kept.batches()
    assert len(only) == left
    if left < 40:
        assert isinstance(kept, ClassRows)
        assert kept.left_out == f"{few} of class 'yes'"
    encoder, _, _ = agree([kept], CLASSES)
    assert encoder.class_counts == (40 - few, few * (left == 40))
    assert any("class 'yes'" in warning for warning in encoder.warnings) is (left < 40)


def cells(*present: int, n: int = 40) -> Batch:
    """Numeric columns with so many values each."""
    batch = rows(10, n)
    numeric = np.random.default_rng(0).normal(size=(n, len(present)))
    for column, values in zip(numeric.T, present, strict=True):
        column[values:] = np.nan
    return Batch(numeric, np.full((n, 1), "x", dtype=object), batch.target)


@pytest.mark.parametrize(
    ("present", "used", "marked"),
    [(2, False, False), (3, True, True), (37, True, True), (38, True, False), (40, True, False)],
)
def test_few_values_are_not_summed_and_few_gaps_not_told_apart(
    present: int, used: bool, marked: bool
) -> None:
    """Of a column with two values not even the unit is used; two gaps have no indicator."""
    encoder, _, seen = agree([pick(cells(present, 40), np.arange(40))])
    assert [feature.name for feature in encoder.numeric] == ["a", "b"][not used :]
    assert [feature.name for feature in encoder.missing] == ["a"] * marked
    assert any("'a' has too few values" in each for each in encoder.warnings) is not used
    assert seen[2][:2].any() is np.bool_(used)  # of the means, the first column's


def test_few_values_of_a_site_are_in_no_sum_whatever_others_have() -> None:
    """One has four, another forty: the federation's moments are those of the forty."""
    here, there = cells(2, 40), cells(40, 40, n=40)
    encoder, covariance, _ = agree([pick(here, np.arange(40)), pick(there, np.arange(40))])
    alone, _, _ = agree([pick(there, np.arange(40))])
    assert encoder.numeric[0] == alone.numeric[0]
    control, _, _ = agree([pick(here, np.arange(40)), pick(there, np.arange(40))], fewest=1)
    assert control.numeric[0] != alone.numeric[0]
    assert covariance[0, 0] == pytest.approx(0.5)  # half of the rows count as missing


def test_few_rows_with_values_in_both_of_two_columns_have_no_product() -> None:
    """Each column has enough values; two rows have both."""
    batch = cells(21, 40)
    batch.numeric[:19, 1] = np.nan
    source = pick(batch, np.arange(40))
    _, covariance, _ = agree([source])
    _, control, _ = agree([source], fewest=1)
    assert covariance[0, 1] == pytest.approx(0.0, abs=1e-9)
    assert abs(control[0, 1]) > 1e-3


@pytest.mark.parametrize("column", ["a", "b", "y"])
def test_a_value_of_unusual_size_counts_as_the_others_do(column: str) -> None:
    """Nothing that is summed depends on how large it is. Without floors that is so of a wild value
    only, and not of one that is merely the largest.
    """

    def given_with(secret: float, fewest: int) -> list[np.ndarray]:
        batch = rows(11)
        target = batch.target
        assert target is not None
        {"a": batch.numeric[:, 0], "b": batch.numeric[:, 1], "y": target}[column][5] = secret
        return agree([pick(batch, np.arange(40))], fewest=fewest)[2]

    centre, sd = {"a": (0.0, 1e-12), "b": (1.7e9, 1.0), "y": (0.0, 1e12)}[column]
    for fewest, least, most, same in (
        (3, 8.25e25, 8.25e35, True),
        (1, 8.25e25, 8.25e35, True),
        (1, centre + 8.0 * sd, centre + 9.0 * sd, False),
    ):
        below = 2.0 * centre - least
        one, other = given_with(most, fewest), given_with(below, fewest)
        low, high = given_with(most, fewest), given_with(least, fewest)
        for mine, theirs in zip(low, high, strict=True):
            np.testing.assert_array_equal(mine, theirs) if same else None
        assert all(map(np.array_equal, low, high)) is same
        assert not all(map(np.array_equal, one, other))  # on which side it is, is seen


@given(
    st.dictionaries(st.text(max_size=3), st.integers(1, 9), max_size=6),
    st.integers(0, 9),
    st.integers(0, 9),
    st.integers(2, 6),
)
def test_no_group_and_no_rest_is_small(
    labels: dict[str, int], missing: int, others: int, fewest: int
) -> None:
    """Each group has enough rows, and so have all others together, unless there are none."""
    rows_ = sum(labels.values()) + missing + others
    kept = kept_groups(rows_, labels, missing, fewest)
    sizes = {**labels, MISSING: missing}
    assert all(sizes[group] >= fewest for group in kept)
    rest = rows_ - sum(sizes[group] for group in kept)
    assert rest == 0 or rest >= min(fewest, rows_)
    small = [group for group, size in sizes.items() if size < fewest]
    if not others and not any(sizes[group] for group in small):
        assert kept == {group for group in sizes if sizes[group]}


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
    encoder, _, _ = agree([open_source(file, data, ignore=ignored.split())], data, fewest=5)
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

    network = MemoryFederation(["a"]).network("a")
    _, agreed = asyncio.run(agree_encoding(network, source, data, fewest=1, pixels=True))
    encoder, covariance = agreed.encoder, agreed.covariance
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

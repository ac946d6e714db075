"""Wild values move inwards, heavy-tailed columns are told from others, and ordinary ones stay."""

import numpy as np
import pytest

from edge_node.data.encoding.signed_log import SignedLog
from edge_node.data.sums.tails import tail_votes, without_wild

RANDOM = np.random.default_rng(0)
ORDINARY = {
    "normal": RANDOM.normal(size=500),
    "exponential": RANDOM.exponential(size=500),
    "uniform": RANDOM.uniform(size=500),
    "two values": RANDOM.integers(0, 2, 500).astype(float),
    "mostly zeros": (RANDOM.random(500) < 0.01).astype(float),
    "a few": np.arange(10.0),
    "one in ten far from zero": np.where(np.arange(500) % 10 == 0, np.arange(500) / 5.0, 0.0),
}
HEAVY = {
    "lognormal": (np.exp(2.0 * RANDOM.normal(size=500)), 0),
    "negative lognormal": (-np.exp(2.0 * RANDOM.normal(size=500)), 0),
    "Cauchy": (RANDOM.standard_cauchy(500), 1),
    "Cauchy, far from zero": (1000.0 + RANDOM.standard_cauchy(500), 1),
}


def ends(column: np.ndarray) -> tuple[float, float]:
    """Its bounds without wild values."""
    low, high = without_wild(column[:, None], np.array([column.min()]), np.array([column.max()]))
    return low.item(), high.item()


@pytest.mark.parametrize("name", ORDINARY)
def test_an_ordinary_column_keeps_its_bounds_and_gets_no_logarithm(name: str) -> None:
    """To the bit."""
    column = ORDINARY[name]
    assert ends(column) == (column.min(), column.max())
    assert not tail_votes(column[:, None]).any()


@pytest.mark.parametrize("wild", [1e9, -1e9, 1e100])
def test_wild_values_count_as_the_outermost_one_that_is_not(wild: float) -> None:
    """One cell, or one in twenty; and the column isn't called heavy-tailed for it."""
    column = ORDINARY["normal"]
    for rows in (1, 10, 25):
        with_wild = column.copy()
        with_wild[:rows] = wild
        assert ends(with_wild) == (column[rows:].min(), column[rows:].max())
        assert rows > 10 or not tail_votes(with_wild[:, None]).any()


def test_a_wild_value_among_zeros_is_judged_by_the_other_values() -> None:
    """Not by how far it is from the zeros, as these are from each other."""
    column = ORDINARY["one in ten far from zero"].copy()
    column[0] = 1e9
    assert ends(column) == (0.0, column[1:].max())


@pytest.mark.parametrize("name", HEAVY)
def test_heavy_tails_are_seen_and_where_their_logarithm_is_centred(name: str) -> None:
    """Zero if values have one sign, else the mean."""
    column, place = HEAVY[name]
    expected = np.zeros((1, 2))
    expected[0, place] = 1.0
    np.testing.assert_array_equal(tail_votes(column[:, None]), expected)


def test_a_signed_logarithm_is_monotone_and_odd_and_linear_near_its_centre() -> None:
    """A missing value stays one; no value is too large."""
    log = SignedLog(centre=3.0, unit=2.0)
    values = np.array([-1e308, -1e9, 2.0, 3.0, 4.0, 1e9, 1e308])
    assert (np.diff(log(values)) > 0).all()
    np.testing.assert_allclose(log(3.0 + values), -log(3.0 - values))
    assert log(np.array([3.002])).item() == pytest.approx(0.001, rel=1e-6)
    assert np.isnan(log(np.array([np.nan]))).all()

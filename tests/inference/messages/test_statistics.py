"""A node's statistics: what the formulas say, whatever the chunks, the split and the order."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_node.arrays import Matrix
from edge_node.errors import NumericalError
from edge_node.inference.messages.statistics import Statistics
from edge_node.inference.numerics import streaming as module
from edge_node.inference.numerics.streaming import blocks
from edge_node.inference.numerics.symmetric import SymmetricSum
from tests.inference.problems import features_on, normal, regression, split, statistics_of

FEATURES = features_on(normal(5, 15, 3))


def test_they_are_the_sums_of_the_definition() -> None:
    """Lambda = Phi'Phi, eta = Phi'y, n, y'y, sum k(x, x), in more than one block."""
    X, y = regression(0, rows=2 * module.BLOCK_ROWS + 7)
    found, Phi = statistics_of([(X[:9], y[:9]), (X[9:], y[9:])], FEATURES), FEATURES(X)
    assert found.count == len(X)
    np.testing.assert_allclose(found.message.precision, Phi.T @ Phi, rtol=1e-11, atol=1e-9)
    np.testing.assert_allclose(found.message.shift, Phi.T @ y, rtol=1e-11, atol=1e-9)
    np.testing.assert_allclose(found.target_power, y @ y, rtol=1e-12)
    np.testing.assert_allclose(found.prior_power, FEATURES.prior_variance(X).sum(), rtol=1e-12)
    uncovered = FEATURES.covered(X)[1].sum()
    np.testing.assert_allclose(found.uncovered, uncovered, rtol=1e-8)
    assert 0 < found.uncovered_share < 1


def test_several_outputs_share_one_precision() -> None:
    """Columns of Y become columns of eta."""
    X, y = regression(0)
    Y = np.stack([y, 2 * y, -y], axis=1)
    one = statistics_of([(X, y)], FEATURES)
    several = statistics_of([(X, Y)], FEATURES, outputs=3)
    assert several.outputs == 3
    assert np.array_equal(several.message.precision, one.message.precision)
    expected = np.outer(one.message.shift, [1, 2, -1])
    np.testing.assert_allclose(several.message.shift, expected, atol=1e-11)
    np.testing.assert_allclose(several.target_power, 6 * one.target_power)
    again = Statistics.unpack(several.pack(), several.message.size, 3)
    assert np.array_equal(again.message.shift, several.message.shift)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 16), st.integers(0, 2**32 - 1))
def test_any_partition_sums_to_the_pooled_statistics(sites: int, seed: int) -> None:
    """Split over 1 to 16 sites, some without rows, in any order of rows."""
    X, y = regression(1)
    pooled = statistics_of([(X, y)], FEATURES)
    parts = split(np.random.default_rng(seed), X, y, sites)
    vectors = [statistics_of(part, FEATURES).pack() for part in parts]
    total = Statistics.unpack(np.sum(vectors, axis=0), pooled.message.size)
    assert total.count == pooled.count
    np.testing.assert_allclose(total.pack(), pooled.pack(), rtol=1e-12, atol=1e-11)
    added = sum(
        (statistics_of(part, FEATURES) for part in parts[1:]),
        start=statistics_of(parts[0], FEATURES),
    )
    np.testing.assert_allclose(added.pack(), total.pack(), rtol=1e-13, atol=1e-12)


def test_no_more_than_a_block_of_features_is_ever_in_memory() -> None:
    """Blocks cover all rows in order and stay within the limit."""
    X, y = regression(2, rows=900)
    parts = list(blocks([(X[:100], y[:100]), (X[:0], y[:0]), (X[100:], y[100:])]))
    assert max(len(part) for part, _ in parts) <= module.BLOCK_ROWS
    assert np.array_equal(np.concatenate([part for part, _ in parts]), X)
    assert np.array_equal(np.concatenate([part for _, part in parts]), y)


@pytest.mark.parametrize("lay", [np.ascontiguousarray, np.asfortranarray, lambda A: A[:, ::1]])
def test_a_symmetric_sum_takes_any_memory_layout(lay) -> None:
    """C order, Fortran order, a view that is neither; one row."""
    A = normal(0, 30, 8)
    running = SymmetricSum(4)
    for part in (A[:20, ::2], A[20:29, ::2], A[29:, ::2]):
        running.add(lay(part))
    found = running.matrix()
    np.testing.assert_allclose(found, A[:, ::2].T @ A[:, ::2], rtol=1e-12)
    assert np.array_equal(found, found.T)


def test_no_rows_are_the_neutral_element() -> None:
    """A site without rows adds nothing."""
    empty = statistics_of([], FEATURES)
    assert empty.count == 0
    assert not empty.pack().any()
    assert empty.uncovered_share == 0


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_numbers_that_are_not_finite_are_refused(value: float) -> None:
    """Nothing of the kind may be summed."""
    X, y = regression(0)
    y[3] = value
    with pytest.raises(NumericalError, match="not finite"), np.errstate(invalid="ignore"):
        statistics_of([(X, y)], FEATURES)
    vector: Matrix = statistics_of([(X[:2], y[:2])], FEATURES).pack()
    vector[7] = value
    with pytest.raises(NumericalError, match="not finite"):
        Statistics.unpack(vector, len(FEATURES.landmarks))

"""Rows from one or two sums: features finer than the rows, copies, rows far out, cells.

Each attack finds the rows where a sum is as fine as it once could be, and none at the resolution
that is allowed: a third of the distinct rows that remain without the attacker's own.
"""

import numpy as np
import pytest

from benchmarks.disclosure.cells import rows_alone, rows_between
from benchmarks.disclosure.curve import feature_map
from benchmarks.disclosure.directions import (
    rows_in_span,
    rows_of_two_weightings,
    rows_that_dominate,
)
from benchmarks.disclosure.rows import Victims, found
from edge_node.arrays import Matrix
from edge_node.inference.features.landmarks import kmeans_sums
from edge_node.inference.regression.conditional import local_conditional
from tests.attacks.exact_sums import allowed, points, table
from tests.inference.problems import normal, statistics_of

ROWS = 24
TOO_FINE = 30  # features


@pytest.fixture(scope="module")
def victims() -> Victims:
    """Three inputs and a target."""
    return table(1, ROWS, 4)


def in_span(victims: Victims, X: Matrix, size: int) -> int:
    """How many rows of X (n, d) their sum of outer products of so many features gives away."""
    features = feature_map(victims, size)
    Phi = features(X)
    candidates = rows_in_span(Phi.T @ Phi, features, points(victims))
    return int(found(np.unique(X, axis=0), candidates).sum())


def test_a_large_member_reads_the_others_in_the_null_space(victims: Victims) -> None:
    """It subtracts its own rows; what is left is over fewer rows than it has features."""
    X, y = victims.rows[:, :-1], victims.rows[:, -1]
    own = [(normal(5, 500, 3), normal(6, 500))]

    def others_found(size: int) -> int:
        features = feature_map(victims, size)
        everybody, mine = (statistics_of(rows, features) for rows in ([(X, y), *own], own))
        G = everybody.message.precision - mine.message.precision
        return int(found(X, rows_in_span(G, features, points(victims))).sum())

    assert others_found(TOO_FINE) > 0.7 * ROWS
    assert others_found(allowed(ROWS)) == 0


def test_folds_make_few_rows_of_many() -> None:
    """As many features as all rows may have are too many for each fifth of them."""
    victims = table(2, 5 * ROWS, 4)
    fold = victims.rows[::5, :-1]
    assert in_span(victims, fold, allowed(5 * ROWS)) > 0.7 * len(fold)
    assert in_span(victims, fold, allowed(len(fold))) == 0


def test_copies_of_rows_allow_no_finer_sum(victims: Victims) -> None:
    """Five copies of each row: only distinct rows count."""
    X = np.repeat(victims.rows[:, :-1], 5, axis=0)
    assert in_span(victims, X, allowed(len(X))) > 0.7 * ROWS
    assert in_span(victims, X, allowed(ROWS)) == 0


@pytest.mark.parametrize(("size", "hits"), [(TOO_FINE, ROWS), (allowed(ROWS), 0)])
def test_two_weightings_of_few_rows_are_diagonal_in_them(
    victims: Victims, size: int, hits: int
) -> None:
    """Two sums of a search for the noise: each row by itself, exactly."""
    X, y = victims.rows[:, :-1], victims.rows[:, -1]
    features = feature_map(victims, size)
    sums = local_conditional([(X, y)], features, [0.5, 0.02])
    first, second = (each.message.precision for each in sums)
    candidates = rows_of_two_weightings(first, second, features, points(victims, 15))
    assert found(X, candidates).sum() == hits


@pytest.mark.parametrize(("length", "hit"), [(1000.0, True), (4.0, False)])
def test_a_row_far_out_is_found_unless_it_is_winsorised(
    victims: Victims, length: float, hit: bool
) -> None:
    """Its phi is the sum's leading eigenvector; brought in, it is one row of many."""
    features = feature_map(victims, allowed(ROWS))
    X = victims.rows[:, :-1].copy()
    X[0] = length * np.array([0.6, -0.64, 0.48])
    Phi = features(X)
    begin = points(victims)
    candidates = rows_that_dominate(Phi.T @ Phi, features, np.vstack([begin, length * begin]), 3)
    assert (np.abs(candidates - X[0]).max(axis=1).min() < 1e-3 * length) == hit


def test_two_partitions_of_the_same_rows_differ_by_rows() -> None:
    """Cells of five rows and more, in a run with 60 landmarks and one with 66. Kept cells don't."""
    X = normal(21, 1500, 3)

    def cells(landmarks: Matrix) -> Matrix:
        sums = kmeans_sums([(X, X[:, 0])], landmarks)
        return sums[sums[:, 0] >= 5]

    def opened(first: Matrix, second: Matrix) -> int:
        between = rows_between(first, second)
        return sum(np.abs(X - each).max(axis=1).min() < 1e-8 for each in between)

    landmarks = normal(22, 66, 3)
    once, again = cells(landmarks[:60]), cells(landmarks)
    assert opened(once, again) > 0
    assert opened(once, once) == 0


def test_a_cell_of_one_row_is_the_row() -> None:
    """A count of one, and its sum."""
    cells = np.array([[1.0, 0.3, -2.0], [5.0, 1.0, 1.0]])
    np.testing.assert_array_equal(rows_alone(cells), [[0.3, -2.0]])

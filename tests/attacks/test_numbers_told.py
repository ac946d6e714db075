"""Rows from all totals together: it is the count of numbers that gives them away, not their size.

Every sum here has three rows a feature, so that none has a null space. With as many numbers as
there are cells the rows can be solved for; with the share that is told by default they can't.
"""

import math

import numpy as np

from benchmarks.disclosure.census import every_row, rows_of_census
from benchmarks.disclosure.curve import told
from benchmarks.disclosure.rows import Victims, found
from benchmarks.disclosure.solving import neighbourhood, solve_rows
from benchmarks.disclosure.sums import whitened
from tests.attacks.exact_sums import MOST_TOLD, allowed, guessed, table


def solved(victims: Victims, share: float) -> int:
    """How many rows that start finds which fits best, of some; ``share``: numbers per cell."""
    rows, rng = victims.rows, np.random.default_rng(1)
    sums = told(victims, allowed(len(rows)), math.floor(share * rows.size))
    total = sums.of(rows).sum(axis=0)
    equations = whitened(sums, total, len(rows), victims.guesses(rng, 2000))
    starts = [victims.guesses(rng, len(rows)) for _ in range(4)]
    _, best = min(solve_rows(equations, victims, starts), key=lambda each: each[0])
    return int(found(rows, best).sum())


def test_as_many_numbers_as_cells_are_the_rows() -> None:
    """Found are all rows or, with the numbers that may be told, no more than guesses find."""
    victims = table(11, 12, 3)
    assert solved(victims, 2.0) == 12
    assert solved(victims, MOST_TOLD) <= guessed(victims, victims.rows)


def test_the_right_neighbourhood_is_not_enough() -> None:
    """Handed the neighbourhood of every row, and the totals' Gaussian, half the numbers don't do.

    So it isn't the search that fails, but the equations that leave rows open.
    """
    victims, rng = table(12, 30, 6), np.random.default_rng(2)
    for share, hits in ((1.5, 30), (MOST_TOLD, 0)):
        sums = told(victims, allowed(30), math.floor(share * victims.rows.size))
        assert found(victims.rows, neighbourhood(sums, victims, rng)).sum() == hits


def test_cells_of_two_values_are_no_unknowns() -> None:
    """Ten questions of yes or no: less than half of a number per cell is every row, exactly.

    So they aren't counted as cells. A row of nothing else counts as one, and half of that is no
    more than what guesses find.
    """
    victims = table(13, 40, 10).cut(10)
    universe, distinct = every_row(list(victims.levels.T)), np.unique(victims.rows, axis=0)

    def hits(numbers: int) -> int:
        sums = told(victims, allowed(40), numbers)
        total = sums.of(victims.rows).sum(axis=0)
        return int(found(distinct, rows_of_census(sums, total, 40, universe)).sum())

    assert hits(math.floor(MOST_TOLD * victims.rows.size)) == len(distinct)
    assert hits(math.floor(MOST_TOLD * victims.real_cells)) <= guessed(victims, distinct)


def test_known_columns_leave_fewer_unknowns() -> None:
    """The stated limit: for somebody who has two thirds of the columns, half is enough."""
    victims, rng = table(12, 30, 6), np.random.default_rng(2)
    sums = told(victims, allowed(30), math.floor(MOST_TOLD * victims.rows.size))
    hits = [found(victims.rows, neighbourhood(sums, victims, rng, k)).sum() for k in (0, 4)]
    assert hits == [0, 30]

"""Rows from all totals together: it is the count of numbers that gives them away, not their size.

Every sum here has three rows a feature, so that none has a null space. With as many numbers as
there are cells the rows can be solved for; with the share that is told by default they can't.
"""

import math

import numpy as np

from benchmarks.disclosure.census import every_row, rows_of_census
from benchmarks.disclosure.curve import told
from benchmarks.disclosure.rows import Victims, found, victims_of
from benchmarks.disclosure.solving import neighbourhood, solve_rows
from benchmarks.disclosure.sums import whitened
from edge_node.arrays import Matrix
from edge_node.config import Column, DataSpec, Task
from edge_node.data.sources.source import Batch, MemorySource
from edge_node.data.sums.census import Census
from edge_node.data.sums.given import given_by
from edge_node.program.plan.allowances import unknown_columns
from tests.attacks.exact_sums import MOST_TOLD, allowed, guessed, table
from tests.inference.problems import normal


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


def unknowns(*sites: Matrix) -> tuple[int, int]:
    """How many columns of the sites' rows count as unknowns; and how many there are."""
    names = [Column(name=f"x{i}") for i in range(sites[0].shape[1] - 1)]
    data = DataSpec(task=Task.REGRESSION, target="y", columns=tuple(names))
    total = np.zeros(2 + len(names) + 1)
    for rows in sites:
        batch = Batch(rows[:, :-1], np.empty((len(rows), 0), dtype=object), rows[:, -1])
        total += given_by(MemorySource((batch,)), data, 3).census
    return unknown_columns(data, Census.read(total, data).known), unknown_columns(data)


def within_reach(victims: Victims, columns: int) -> int:
    """Rows that the bound finds, where so many columns count as cells."""
    numbers = math.floor(MOST_TOLD * len(victims.rows) * columns)
    sums = told(victims, allowed(len(victims.rows)), numbers)
    return int(found(victims.rows, neighbourhood(sums, victims, np.random.default_rng(2))).sum())


def test_columns_that_follow_from_others_are_no_unknowns() -> None:
    """Four columns, and 27 that are nearly linear in them: half a number a cell is half the rows.

    So those aren't counted as cells, and half of the others' cells tell no row.
    """
    own, mixing = normal(14, 200, 4), normal(15, 4, 27)
    linear = own @ mixing / np.linalg.norm(mixing, axis=0)
    rows = np.hstack([own, linear + 0.05 * normal(16, 200, 27)])
    victims = victims_of(rows[:60])
    counted, all_of_them = unknowns(rows[:100], rows[100:])
    assert (counted, all_of_them) == (4, 31)
    assert within_reach(victims, all_of_them) > 20
    assert within_reach(victims, counted) == 0


def test_missing_cells_are_no_unknowns() -> None:
    """Twelve columns that only the attacker has let others' six be told three times as much.

    The victims' cells of them are missing, and all members know that.
    """
    victims, others = table(17, 30, 6), normal(18, 40, 18)
    rows = np.hstack([np.full((30, 12), np.nan), victims.rows])
    counted, all_of_them = unknowns(rows, others)
    assert (counted, all_of_them) == (6, 18)
    assert within_reach(victims, all_of_them) == 30
    assert within_reach(victims, counted) == 0


def test_known_columns_leave_fewer_unknowns() -> None:
    """The stated limit: for somebody who has two thirds of the columns, half is enough."""
    victims, rng = table(12, 30, 6), np.random.default_rng(2)
    sums = told(victims, allowed(30), math.floor(MOST_TOLD * victims.rows.size))
    hits = [found(victims.rows, neighbourhood(sums, victims, rng, k)).sum() for k in (0, 4)]
    assert hits == [0, 30]

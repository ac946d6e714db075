"""Small tables for the attacks on exact sums, and what the defaults allow to be told of them."""

import numpy as np

from benchmarks.disclosure.rows import Victims, found, victims_of
from edge_node.arrays import Matrix
from edge_node.config import Column, DataSpec, FederationSpec, Task
from edge_node.security.disclosure.allowance import ROWS_PER_FEATURE
from tests.inference.problems import normal

__all__ = ["MOST_TOLD", "allowed", "guessed", "points", "table"]

MOST_TOLD = FederationSpec(
    name="default", data=DataSpec(task=Task.REGRESSION, target="y", columns=(Column(name="x"),))
).most_told
"""Numbers that may be told per cell, unless the spec says otherwise."""


def allowed(rows: int) -> int:
    """The most features of which outer products may be summed over so many rows."""
    return rows // ROWS_PER_FEATURE


def table(seed: int, rows: int, columns: int) -> Victims:
    """Rows of correlated columns; the last is the target."""
    mixing = np.eye(columns) + 0.4 * normal(seed + 1, columns, columns)
    return victims_of(normal(seed, rows, columns) @ mixing)


def points(victims: Victims, count: int = 80) -> Matrix:
    """Inputs like the victims', where searches begin."""
    return victims.relaxed(np.random.default_rng(0), count)[:, :-1]


def guessed(victims: Victims, rows: Matrix) -> int:
    """How many of ``rows`` guesses find, as many guesses as there are victims: the most of 50."""
    rng, count = np.random.default_rng(9), len(victims.rows)
    return max(int(found(rows, victims.guesses(rng, count)).sum()) for _ in range(50))

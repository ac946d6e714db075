"""Blocks of a site's own rows that lie close together, for ``refinement``."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from edge_node.arrays import Matrix, Rows, Vector
from edge_node.inference.numerics.distances import Indices

__all__ = ["Block", "LaterRows", "first_blocks", "nearest_block"]

_ROUNDING = 1e-12
"""Relative error of a row's place: a matrix product's rounding depends on the rows beside it."""


@dataclass(frozen=True)
class Block:
    """Some rows of one site, kept there.

    Attributes:
        inputs: X (n, d), where the metric puts them.
        targets: y (n,).
    """

    inputs: Matrix
    targets: Vector

    @cached_property
    def centre(self) -> Vector:
        """The rows' mean (d,)."""
        centre: Vector = self.inputs.mean(axis=0)
        return centre

    @cached_property
    def radius(self) -> float:
        """The distance from the centre to the farthest row, and what rounding may add to it."""
        farthest = np.sqrt(np.square(self.inputs - self.centre).sum(axis=1).max())
        return float(farthest + _ROUNDING * (farthest + np.linalg.norm(self.centre)))


@dataclass(frozen=True)
class LaterRows:
    """All rows but the first ``skip``."""

    rows: Rows
    skip: int

    def __iter__(self) -> Iterator[tuple[Matrix, Vector]]:
        left = self.skip
        for X, y in self.rows:
            if len(X) > left:
                yield X[left:], y[left:]
            left = max(0, left - len(X))


def first_blocks(rows: Rows, most: int, size: int) -> list[Block]:
    """The first ``most`` rows in blocks of at most ``size``, each of rows that lie close together.

    Args:
        rows: chunks (X (n, d), y (n,)), the inputs where the metric puts them.
        most: how many rows to keep.
        size: rows in a block at most.
    """
    kept, left = [], most
    for X, y in rows:
        if left <= 0:
            break
        kept.append((X[:left], y[:left]))
        left -= len(X)
    if not sum(len(X) for X, _ in kept):
        return []
    X, y = (np.concatenate(parts) for parts in zip(*kept, strict=True))
    return [Block(X[part], y[part]) for part in _halved(X, np.arange(len(X)), size)]


def _halved(X: Matrix, rows: Indices, size: int) -> Iterator[Indices]:
    """Split at the median along the direction of most variance until small enough."""
    if len(rows) <= size:
        yield rows
        return
    centred = X[rows] - X[rows].mean(axis=0)
    _, vectors = np.linalg.eigh(centred.T @ centred)
    order = np.argsort(centred @ vectors[:, -1], kind="stable")
    for half in np.array_split(rows[order], 2):
        yield from _halved(X, half, size)


def nearest_block(X: Matrix, blocks: Sequence[Block]) -> Indices:
    """The index (n,) of the block that each row of X (n, d) belongs to, -1 for none.

    It is the one whose centre is nearest, among the blocks whose radius reaches the row. So each of
    a block's own rows belongs to some block.
    """
    distances = np.column_stack(
        [np.sqrt(np.square(X - block.centre).sum(axis=1)) for block in blocks]
    )
    reached = distances <= np.array([block.radius for block in blocks])
    nearest = np.where(reached, distances, np.inf).argmin(axis=1)
    return np.where(reached.any(axis=1), nearest, -1)

"""Blocks of a site's own rows that lie close together: where a site refines what all share."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np

from edge_node.arrays import Matrix, Rows, Vector
from edge_node.inference.numerics.distances import Indices
from edge_node.inference.numerics.hashing import row_hashes

__all__ = ["Block", "BlockTree", "RowRange", "first_blocks", "halved", "nearest_block"]

_SALT = 4  # the order has nothing to do with other uses of the hash

_ROUNDING = 1e-12
"""Relative error of a row's place: a matrix product's rounding depends on the rows beside it."""


@dataclass(frozen=True)
class Block:
    """Some rows of one site, kept there.

    Attributes:
        inputs: X (n, d), where the metric puts them.
        targets: y (n,).
        shares: (n,), each row's noise in units of s2; None: one.
    """

    inputs: Matrix
    targets: Vector
    shares: Vector | None = None

    @property
    def noise_shares(self) -> Vector:
        """Each row's noise (n,), in units of s2: ones unless targets are Student-t."""
        return np.ones(len(self.targets)) if self.shares is None else self.shares

    def some(self, rows: Indices) -> Self:
        """Those of its rows."""
        shares = None if self.shares is None else self.shares[rows]
        return type(self)(self.inputs[rows], self.targets[rows], shares)

    def shuffled(self) -> Self:
        """Its rows in an order that is as good as random, and their own: however they came, copies
        of a row, of other targets, are in the same order.
        """
        hashes = row_hashes(np.column_stack([self.inputs, self.targets]), _SALT)
        return self.some(np.argsort(hashes, kind="stable"))

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
class RowRange:
    """The rows from ``start`` on, and before ``stop``, if there is one."""

    rows: Rows
    start: int
    stop: int | None = None

    def __iter__(self) -> Iterator[tuple[Matrix, Vector]]:
        before = 0
        for X, y in self.rows:
            first = max(self.start - before, 0)
            last = len(X) if self.stop is None else self.stop - before
            if first < min(last, len(X)):
                yield X[first:last], y[first:last]
            before += len(X)
            if last <= len(X) and self.stop is not None:
                return


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
    return [Block(X[part], y[part]) for part in halved(X, np.arange(len(X)), size)]


def halved(X: Matrix, rows: Indices, size: int) -> Iterator[Indices]:
    """Split ``rows`` of X (n, d) at the median along the direction of most variance until each part
    has at most ``size``.

    Rows stay in their order, so what is next to each other in a block came close in time.
    """
    if len(rows) <= size:
        yield np.sort(rows)
        return
    order = np.argsort(X[rows] @ _main_direction(X[rows]), kind="stable")
    for half in np.array_split(rows[order], 2):
        yield from halved(X, half, size)


@dataclass(frozen=True)
class BlockTree:
    """Which block a row belongs to: on which side of the planes it lies that halved the blocks.

    So a row has the neighbours that a row of the site in its place would have had.

    Attributes:
        blocks: one or more, in the order in which `first_blocks` made them.
        direction: (d,), of the first plane; None: there is one block.
        threshold: of the rows' products with it.
        halves: the trees of both sides.
    """

    blocks: Sequence[Block]
    direction: Vector | None = None
    threshold: float = 0.0
    halves: tuple["BlockTree", "BlockTree"] | None = None

    @classmethod
    def of(cls, blocks: Sequence[Block]) -> Self:
        """Cut where half of the rows are on each side, as `first_blocks` did."""
        if len(blocks) < 2:
            return cls(blocks)
        ends = np.cumsum([len(block.targets) for block in blocks])
        middle = int(np.abs(ends[:-1] - ends[-1] / 2).argmin()) + 1
        X = np.concatenate([block.inputs for block in blocks])
        places = X @ (direction := _main_direction(X))
        first, second = np.split(places, [ends[middle - 1]])
        if first.mean() > second.mean():
            direction, first, second = -direction, -first, -second
        threshold = float(first.max() + second.min()) / 2
        return cls(blocks, direction, threshold, (cls.of(blocks[:middle]), cls.of(blocks[middle:])))

    def block_of(self, X: Matrix) -> Indices:
        """The index (n,) of the block that each row of X (n, d) belongs to, -1 for none.

        A row farther from its block's centre than all of the block's rows belongs to another one
        that reaches as far, if there is one (`nearest_block`).
        """
        owner = self._side_of(X)
        centres = np.array([block.centre for block in self.blocks])
        radii = np.array([block.radius for block in self.blocks])
        far = np.sqrt(np.square(X - centres[owner]).sum(axis=1)) > radii[owner]
        if far.any():
            owner[far] = nearest_block(X[far], self.blocks)
        return owner

    def _side_of(self, X: Matrix) -> Indices:
        """The leaf (n,) of each row."""
        if self.direction is None or self.halves is None:
            return np.zeros(len(X), dtype=np.intp)
        first, second = self.halves
        after = X @ self.direction > self.threshold
        owner = np.empty(len(X), dtype=np.intp)
        owner[~after] = first._side_of(X[~after])
        owner[after] = len(first.blocks) + second._side_of(X[after])
        return owner


def _main_direction(X: Matrix) -> Vector:
    """The direction (d,) of most variance of X (n, d)."""
    centred = X - X.mean(axis=0)
    direction: Vector = np.linalg.eigh(centred.T @ centred)[1][:, -1]
    return direction


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

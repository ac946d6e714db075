"""The kernel graph: each row joined to its nearest rows among those before it in an order.

Vecchia (1988) writes a joint density as a product of each row's given the rows before it, and keeps
of those only the nearest. However few are kept, the product is a proper density: its precision is
B'D^-1 B with B unit triangular in the order (``conditionals``). So a whole site becomes one sparse
model, without the borders that blocks have (Katzfuss & Guinness 2021; with landmarks that carry the
long range, Gyger, Furrer & Sigrist 2025).

The order is a random one, by the rows' own hashes: the same rows give the same graph, however they
came. A row's neighbours then lie on all its sides, the first ones' far away and the last ones'
close by, which says more of the function than an order along a line (Guinness 2018).

Neighbours are nearest by distance where the metric puts the rows. They are found by SciPy's k-d
tree, one for each growing part of the order; a row looks among its part and those before, for a
little more than it needs, and keeps what lies before it. In more than a few dimensions an exact
search visits nearly all rows. So the search may leave out a row that is less than ``slack`` nearer
than one it has found.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from edge_node.arrays import Matrix
from edge_node.inference.numerics.distances import Indices, squared_distances
from edge_node.inference.numerics.hashing import row_hashes
from edge_node.inference.numerics.nearest import nearest, tree_of

if TYPE_CHECKING:
    from scipy.spatial import KDTree

__all__ = ["KernelGraph", "Neighbourhoods", "Neighbours", "random_order"]

Neighbours: TypeAlias = NDArray[np.int32]
"""Numbers of rows (n, k); -1 for none. There are many of them, so they are short."""

_SALT = 3  # the order has nothing to do with other uses of the hash
_FIRST = 512  # rows that are compared pair by pair
_GROWTH = 1.25  # of the part of the order that a tree holds
_SPARE = 8  # rows that are looked for besides
_NUMBERS_AT_ONCE = 1 << 21  # of a search's results, 16 MB
_ROUNDING = 1e-12  # of a place: a matrix product's rounding depends on the rows beside it
_MEASURED = 4000  # rows whose neighbourhoods are measured
_SLACK = 1.0
"""Share by which a row that a search leaves out may be nearer than one it has found."""


@dataclass(frozen=True)
class KernelGraph:
    """Each row's nearest rows among those before it.

    Attributes:
        order: (n,), all rows, the first one first.
        neighbours: (n, k) of each row, in the rows' own numbers, nearest first; -1 where there are
            fewer. Those of ``order[i]`` are among ``order[:i]``.
    """

    order: Indices
    neighbours: Neighbours

    @classmethod
    def of(
        cls, places: Matrix, most: int, *, order: Indices | None = None, slack: float = _SLACK
    ) -> Self:
        """The graph of rows.

        Args:
            places: (n, d), where the metric puts them.
            most: k, at least one.
            order: (n,); None: `random_order`.
            slack: how much nearer than one that is found a row may be that isn't; 0: none is.
        """
        order = random_order(places) if order is None else order
        most = max(min(most, len(places) - 1), 0)
        found = _earlier(np.ascontiguousarray(places[order]), most, slack)
        neighbours, rows = np.empty_like(found), order.astype(np.int32)
        for some in _some(0, len(found), most):  # the whole at once would take as much again
            neighbours[order[some]] = np.where(found[some] >= 0, rows[found[some]], -1)
        return cls(order, neighbours)


@dataclass(frozen=True)
class Neighbourhoods:
    """Where rows lie, to find those near any place.

    Attributes:
        places: (n, d), one or more.
        most: k, how many neighbours a place has, at most n.
        reach: how far the last one of them may be for a place to be among the rows.
        slack: how much nearer than one that is found a row may be that isn't; 0: none is.
    """

    places: Matrix
    most: int
    reach: float
    slack: float = _SLACK

    @classmethod
    def of(cls, places: Matrix, most: int, *, slack: float = _SLACK) -> Self:
        """The reach is the longest that some thousand rows have, each without itself: what is drawn
        as the rows were is among them but for one case in as many.
        """
        found = cls(places, min(most, len(places)), 0.0, slack)
        order = random_order(places)
        some = places[order[:: -(-len(order) // _MEASURED)]]
        others = min(most + 1, len(places))  # a row is its own nearest
        longest = float(nearest(found._tree, some, others, slack=slack)[0].max())
        return replace(found, reach=longest + _ROUNDING * (longest + float(np.abs(places).max())))

    def __call__(self, X: Matrix) -> tuple[Indices, NDArray[np.bool_]]:
        """The rows (m, k) nearest to each place of X (m, d), nearest first, and whether the place
        is among them (m,).
        """
        distances, near = nearest(self._tree, X, self.most, slack=self.slack)
        return near, distances[:, -1] <= self.reach

    @cached_property
    def _tree(self) -> "KDTree":
        return tree_of(self.places)


def random_order(places: Matrix) -> Indices:
    """An order (n,) of rows (n, d) by their hashes: as good as random, and the rows' own."""
    return np.argsort(row_hashes(places, _SALT), kind="stable")


def _earlier(places: Matrix, most: int, slack: float) -> Neighbours:
    """The nearest rows (n, k) among those before each of ``places`` (n, d); -1: there are fewer."""
    found = np.full((len(places), most), -1, dtype=np.int32)
    first = min(len(places), max(_FIRST, 2 * most))
    found[:first] = _earlier_of_few(places[:first], most)
    for start, stop in _parts(first, len(places)):
        tree = tree_of(places[:stop])
        wanted = min(int(_GROWTH * most) + _SPARE, stop)
        late = tree.indices[tree.indices >= start]  # as they lie: the next row's search is nearby
        for some in _some(0, len(late), wanted):
            near = nearest(tree, places[late[some]], wanted, slack=slack)[1]
            found[late[some]] = _kept(near, near < late[some, None], most)
        short = start + np.flatnonzero(found[start:stop, -1:].min(axis=1, initial=0) < 0)
        if len(short):  # among those before this part are enough
            found[short] = nearest(tree_of(places[:start]), places[short], most, slack=slack)[1]
    return found


def _earlier_of_few(places: Matrix, most: int) -> Indices:
    """The same, by all pairs."""
    squares = squared_distances(places, places)
    squares[np.triu_indices(len(places))] = np.inf
    near = np.argsort(squares, axis=1, kind="stable")[:, :most]
    return np.where(np.isfinite(np.take_along_axis(squares, near, axis=1)), near, -1)


def _parts(start: int, stop: int) -> Iterator[tuple[int, int]]:
    """Ranges that grow by a share of what is before them."""
    while start < stop:
        end = min(int(start * _GROWTH) + 1, stop)
        yield start, end
        start = end


def _some(start: int, stop: int, columns: int) -> Iterator[slice]:
    step = max(1, _NUMBERS_AT_ONCE // max(columns, 1))
    return (slice(each, min(each + step, stop)) for each in range(start, stop, step))


def _kept(near: Indices, chosen: NDArray[np.bool_], most: int) -> Indices:
    """The first k ``chosen`` of each row of ``near`` (n, m), -1 where they are fewer."""
    first = np.argsort(~chosen, axis=1, kind="stable")[:, :most]
    taken = np.take_along_axis(near, first, axis=1)
    return np.where(np.take_along_axis(chosen, first, axis=1), taken, -1)

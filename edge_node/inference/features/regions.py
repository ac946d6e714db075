"""Regions of a site, each with the rows around it: what a prediction there takes into account.

A region's own rows lie close together, as a block's do (``blocks``). Unlike a block it looks beyond
its borders: it takes the rows nearest to its centre, too, four times as many as its own.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Self

import numpy as np

from edge_node.arrays import Matrix
from edge_node.inference.features.blocks import halved
from edge_node.inference.numerics.distances import Indices
from edge_node.inference.numerics.nearest import nearest, tree_of

if TYPE_CHECKING:
    from scipy.spatial import KDTree

__all__ = ["Regions"]

_OWN = 250  # rows of a region, at most
_AROUND = 1000  # rows that it takes into account


@dataclass(frozen=True)
class Regions:
    """A site's rows in regions.

    Attributes:
        places: of the rows (n, d).
        rows: each region's, ascending.
    """

    places: Matrix
    rows: tuple[Indices, ...]

    @classmethod
    def of(cls, places: Matrix) -> Self:
        """Regions of rows at ``places`` (n, d), halved along the direction of most variance."""
        return cls(places, tuple(halved(places, np.arange(len(places)), _OWN)))

    @cached_property
    def of_row(self) -> Indices:
        """Each row's region (n,)."""
        regions = np.empty(len(self.places), dtype=np.intp)
        for number, rows in enumerate(self.rows):
            regions[rows] = number
        return regions

    def surroundings(self, number: int) -> Indices:
        """The rows, ascending, that a region takes into account: its own ones and those nearest to
        its centre, a thousand in all.
        """
        own = self.rows[number]
        most = min(_AROUND, len(self.places))
        near = nearest(self._tree, self.places[own].mean(axis=0)[None], most)[1][0]
        others = np.setdiff1d(near, own, assume_unique=True)[: most - len(own)]
        return np.sort(np.concatenate([own, others]))

    @cached_property
    def _tree(self) -> "KDTree":
        return tree_of(self.places)

"""The rows nearest to a place, by SciPy's k-d tree.

SciPy's module is loaded when the first tree is made: it is large, and most nodes need none.
"""

from typing import TYPE_CHECKING

import numpy as np

from edge_node.arrays import Matrix
from edge_node.inference.numerics.distances import Indices

if TYPE_CHECKING:
    from scipy.spatial import KDTree

__all__ = ["nearest", "tree_of"]

_LEAF = 24  # rows that are compared one by one: a search with slack finds more, as fast as with 10


def tree_of(places: Matrix) -> "KDTree":
    """A tree of rows (n, d), one or more."""
    from scipy.spatial import KDTree

    # Halving boxes instead of rows takes time where many rows are copies.
    return KDTree(places, leafsize=_LEAF, balanced_tree=False)


def nearest(tree: "KDTree", X: Matrix, most: int, *, slack: float = 0.0) -> tuple[Matrix, Indices]:
    """Distances (m, k) and rows (m, k) of the k = ``most`` nearest to each row of X (m, d).

    Args:
        tree: of n rows; k is at most n.
        X: places.
        most: k.
        slack: how much nearer than one that is found a row may be that isn't; 0: none is.
    """
    distances, near = tree.query(X, k=np.arange(1, most + 1), eps=slack)
    return np.asarray(distances), np.asarray(near, dtype=np.intp)

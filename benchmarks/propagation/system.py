"""A field's system, as factors and as a matrix.

Its positions are a shaken grid, its covariance Matern-3/2, its factors those of the kernel graph
with eight neighbours among those before in a random order, and its targets noisy. So
A = B' D^-1 B + I / s2 has some 30 entries a row, and as a factor graph one observation of nine
variables a row. Two cases:

    weak      positions half a length apart: plain messages converge, although uncertified
    strong    .15 of a length apart: plain messages diverge

Variables are numbered by place, so that those of a factor are close to each other in memory: at a
million, conjugate gradients take a fifth of the time that they take with numbers at random, and
messages two thirds.
"""

from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.spatial import KDTree

from edge_node.arrays import Matrix, Vector
from edge_node.config import KernelKind
from edge_node.inference.features.conditionals import Conditionals
from edge_node.inference.features.kernel_graph import KernelGraph
from edge_node.inference.kernels.stationary import StationaryKernel
from edge_node.inference.messages.propagation.factors import Observations
from edge_node.inference.messages.propagation.graph import FactorGraph
from edge_node.inference.messages.propagation.solution import Slots

__all__ = ["CASES", "System", "field"]

_NEIGHBOURS = 8
_JITTER = 1e-8
_KERNEL = StationaryKernel(KernelKind.MATERN32, np.sqrt(0.5))  # of a length of one, in the plane
CASES = {"weak": (0.5, 0.1), "strong": (0.15, 0.1)}
"""Each case's spacing in lengths of the covariance, and noise variance s2."""


@dataclass(frozen=True)
class System:
    """A system, as factors.

    Attributes:
        scope, design: each row's Vecchia factor, (n, k + 1): itself, and its neighbours or -1.
        spread: D (n,).
        own, shift: the likelihood's precision and shift of each row, (n,).
    """

    scope: Slots
    design: Matrix
    spread: Vector
    own: Vector
    shift: Vector

    def graph(self) -> FactorGraph:
        """As a factor graph."""
        n = len(self.own)
        design, noise = self.design[..., None, None], self.spread[:, None, None]
        family = Observations(self.scope, design, np.zeros((n, 1, 1)), noise)
        return FactorGraph(self.own[:, None, None], self.shift[:, None, None], (family,))

    def matrix(self) -> "sparse.csc_matrix[np.float64]":
        """As a sparse matrix."""
        n, filled = len(self.own), self.scope >= 0
        rows = np.broadcast_to(np.arange(n)[:, None], filled.shape)[filled]
        B = sparse.csr_matrix((self.design[filled], (rows, self.scope[filled])), shape=(n, n))
        return sparse.csc_matrix(B.T @ sparse.diags(1 / self.spread) @ B + sparse.diags(self.own))


def field(n: int, case: str, seed: int = 0) -> System:
    """A case with n positions, drawn with ``seed``."""
    spacing, noise = CASES[case]
    rng = np.random.default_rng(seed)
    places = _by_place(_shaken_grid(n, rng)) * spacing
    graph = KernelGraph.of(places, _NEIGHBOURS, slack=0.0)
    known = Conditionals.of(graph, lambda rows: _KERNEL.within(places[rows]), _JITTER)
    return System(
        scope=np.column_stack([np.arange(n), graph.neighbours]),
        design=np.column_stack([np.ones(n), -known.coefficients]),
        spread=known.variances,
        own=np.full(n, 1 / noise),
        shift=rng.standard_normal(n) / noise,
    )


def _shaken_grid(n: int, rng: np.random.Generator) -> Matrix:
    """Positions (n, 2) about one apart, in random order."""
    side = int(np.ceil(np.sqrt(n)))
    grid = np.stack(np.divmod(rng.permutation(side**2)[:n], side), axis=1)
    return np.asarray(grid + rng.uniform(-0.3, 0.3, size=(n, 2)))


def _by_place(X: Matrix) -> Matrix:
    """The rows in the order of a k-d tree's leaves: those that are near come near each other."""
    return X[KDTree(X).indices]

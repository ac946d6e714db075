"""The rows' Gaussian process on a graph: each row is joined to its nearest earlier rows.

With f ~ N(0, K), K the kernel between the rows, and any order of the rows,

    p(f) = prod_i p(f_i | f_1 ... f_{i-1}).

On a graph, row i looks only at its k nearest earlier rows N(i) (Vecchia 1988):

    f_i = sum_{j in N(i)} b_ij f_j + e_i,   e_i ~ N(0, D_i),

with b and D of `features.conditionals`. Each row's equation is one factor, and its target with
noise another. In Prim's order (`rows`), k = 1 is the maximum spanning tree of the kernel values: of
all trees the nearest to the process (Chow & Liu 1968). k = n - 1 is the process itself.
"""

from dataclasses import dataclass

import numpy as np

from edge_node.arrays import Matrix, Vector
from edge_node.demo.graph.rows import Handful
from edge_node.inference.features.conditionals import Conditionals
from edge_node.inference.features.kernel_graph import KernelGraph
from edge_node.inference.messages.propagation.factors import Observations
from edge_node.inference.messages.propagation.graph import FactorGraph

__all__ = ["NOISE", "Joined", "joined", "joined_in_pairs"]

NOISE = 0.3
"""The noise of a target, as a share of the targets' variance."""


@dataclass(frozen=True)
class Joined:
    """A graph over the rows, and the exact answer to compare messages with.

    Targets are standardised; f is a row's value without noise.

    Attributes:
        graph: its factors.
        edges: pairs of rows that hear of each other, the later row first.
        mean: the exact posterior mean of f, (n,), by a dense solve.
        deviation: the exact posterior standard deviation of f, (n,).
    """

    graph: FactorGraph
    edges: tuple[tuple[int, int], ...]
    mean: Vector
    deviation: Vector


def joined(rows: Handful, most: int) -> Joined:
    """Each row looks at its nearest earlier rows, ``most`` of them or as many as there are."""
    nearest = _nearest_earlier(rows, most)
    graph = FactorGraph(*_data(rows), (_equations(rows, nearest),))
    edges = [(i, int(j)) for i, near in enumerate(nearest.neighbours) for j in near if j >= 0]
    return Joined(graph, tuple(edges), *_exact(graph))


def joined_in_pairs(rows: Handful) -> Joined:
    """The process itself, as the linear system of its posterior, which has a factor a pair."""
    whole = joined(rows, rows.size - 1)
    system = FactorGraph.of_system(_matrix(whole.graph), whole.graph.total_shift[:, 0])
    return Joined(system, whole.edges, whole.mean, whole.deviation)


def _nearest_earlier(rows: Handful, most: int) -> KernelGraph:
    """Nearest in kernel value."""
    neighbours = np.full((rows.size, most), -1)
    for i, alike in enumerate(rows.kernel):
        near = np.argsort(-alike[:i], kind="stable")[:most]
        neighbours[i, : len(near)] = near
    return KernelGraph(np.arange(rows.size), neighbours)


def _equations(rows: Handful, nearest: KernelGraph) -> Observations:
    """Each row's regression on its neighbours, but for the first row, which has none."""
    found = Conditionals.of(nearest, lambda some: rows.kernel[some[:, :, None], some[:, None, :]])
    design = np.column_stack([np.ones(rows.size), -found.coefficients])
    scope = np.column_stack([nearest.order, nearest.neighbours])
    noise = found.variances[1:, None, None]
    return Observations(scope[1:], design[1:, :, None, None], np.zeros_like(noise), noise)


def _data(rows: Handful) -> tuple[Matrix, Matrix]:
    """What each row knows by itself: precision and shift (n, 1, 1).

    That is its target, with noise; the first row, which looks at no other, has its prior, too.
    """
    precision = np.full(rows.size, 1.0 / NOISE)
    shift = precision * (rows.values - rows.mean) / rows.deviation
    precision[0] += 1.0 / rows.kernel[0, 0]
    return precision.reshape(-1, 1, 1), shift.reshape(-1, 1, 1)


def _matrix(graph: FactorGraph) -> Matrix:
    """A (n, n), dense: each column is A times a unit vector."""
    units = np.eye(graph.size).reshape(graph.size, 1, -1)
    A: Matrix = graph.apply(units)[:, 0]
    return (A + A.T) / 2.0


def _exact(graph: FactorGraph) -> tuple[Vector, Vector]:
    """The posterior's means and standard deviations by a dense solve."""
    covariance = np.asarray(np.linalg.inv(_matrix(graph)), dtype=np.float64)
    return covariance @ graph.total_shift[:, 0, 0], np.sqrt(covariance.diagonal())

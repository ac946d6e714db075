"""Honest variances by local messages: every device adds noise of its own, and the fleet solves.

If each factor's target is drawn anew from the factor's own noise, the mean of the posterior becomes
an exact sample of the posterior (Papandreou & Yuille 2010, section 3). The noise is drawn where the
factors are, so no device has to know the whole. All samples share their precisions with the mean: a
message has one precision and 1 + S shifts. A sample's square is an unbiased estimate of a variance,
with relative error sqrt(2 / S).

What is known needs no sampling (Rao-Blackwell; Siden, Lindgren, Bolin & Villani 2018, section 3.2).
Let B be device i and some devices around it, x a sample and h its right-hand side, so that A x = h.
Given all others, x_B has precision A_BB and mean x_B - A_BB^-1 h_B. With w = A_BB^-1 e_i,

    Var x_i = w_i + Var (x_i - w'h_B),

and only the second term comes from samples. It stays unbiased, whatever B; the more neighbours, the
smaller the term. A_BB and h_B are sums over the factors of the devices in B: each of them tells its
own row of A and its own h once, to those that are near.

The variances that the messages themselves end with are not the posterior's: the graph has loops.
They are no help either: scaled by squares of samples, averaged over neighbours, they stay several
times farther off than blocks (`tests/inference/fields/test_spread.py`).
"""

from typing import Any

import numpy as np
from scipy import sparse

from edge_node.arrays import Matrix, Vector
from edge_node.errors import NumericalError
from edge_node.inference.fields.fleet import Fleet
from edge_node.inference.messages.propagation.graph import FactorGraph
from edge_node.inference.numerics.distances import Indices
from edge_node.inference.numerics.nearest import nearest, tree_of

__all__ = ["BLOCK", "precision_of", "variances"]

BLOCK = 13
"""Devices that a variance is computed with, the device itself one of them."""

_AT_ONCE = 4096  # blocks: some MB


def precision_of(fleet: Fleet) -> "sparse.csr_array[Any]":
    """A (n, n), sparse. Row i is what device i knows once the owner of each regression that it is
    in has told it the coefficients.
    """
    n, D = fleet.size, fleet.conditionals.variances
    B = sparse.eye_array(n) - fleet.conditionals.matrix(fleet.neighbours, n)
    readings = np.where(fleet.devices.measuring, 1.0 / fleet.devices.noise, 0.0)
    return sparse.csr_array(B.T @ sparse.diags_array(1.0 / D) @ B + sparse.diags_array(readings))


def variances(
    fleet: Fleet,
    graph: FactorGraph,
    mean: Matrix,
    *,
    at: Indices | None = None,
    block: int = BLOCK,
) -> Vector:
    """Unbiased estimates (m,) of the posterior variances at devices.

    Args:
        fleet: n devices.
        graph: `graph_of` it.
        mean: its means (n, 1, 1 + S), of the noise in columns 1 to S.
        at: which devices (m,); None: all.
        block: how many devices one's variance is computed with.

    Raises:
        NumericalError: there are no samples.
    """
    if mean.shape[-1] < 2:
        raise NumericalError("variances need samples", remedy="Let the devices draw some")
    at = np.arange(fleet.size) if at is None else at
    blocks = _blocks(fleet, at, min(block, fleet.size))
    A, samples, h = precision_of(fleet), mean[:, 0, 1:], graph.total_shift[:, 0, 1:]
    found = np.empty(len(at))
    for start in range(0, len(at), _AT_ONCE):
        some = blocks[start : start + _AT_ONCE]
        w = _first_columns(A, some)
        beyond = samples[some[:, 0]] - np.einsum("gk,gks->gs", w, h[some])
        found[start : start + _AT_ONCE] = w[:, 0] + np.square(beyond).mean(axis=1)
    return found


def _blocks(fleet: Fleet, at: Indices, size: int) -> Indices:
    """Each device and those nearest to it, itself first (m, size)."""
    places = fleet.devices.places
    near = nearest(tree_of(places), places[at], size)[1]
    row, slot = np.nonzero(near == at[:, None])  # not always the first: places may coincide
    near[row, slot] = near[row, 0]
    near[:, 0] = at
    return near


def _first_columns(A: "sparse.csr_array[Any]", blocks: Indices) -> Matrix:
    """The first column of A_BB^-1 for blocks (g, k): (g, k)."""
    rows, columns = np.broadcast_arrays(blocks[:, :, None], blocks[:, None, :])
    among = np.asarray(A[rows.ravel(), columns.ravel()]).reshape(rows.shape)
    unit = np.zeros((*blocks.shape, 1))
    unit[:, 0] = 1.0
    return np.linalg.solve(among, unit)[..., 0]

"""Honest variances by local messages: every device adds noise of its own, and the fleet solves.

If each factor's target is drawn anew from the factor's own noise, the mean of the posterior becomes
an exact sample of the posterior (Papandreou & Yuille 2010, section 3; Orieux, Feron & Giovannelli
2012). The factors' noise is drawn where the factors are, so no device has to know the whole. All
samples share their precisions with the mean: a message has one precision and 1 + S shifts.

A sample's square is an unbiased estimate of a variance, with relative error sqrt(2 / S). What a
device knows for certain needs no sampling: given all others its variance is 1 / A_ii, and only what
is beyond comes from samples (Rao-Blackwell; Siden, Lindgren, Bolin & Villani 2018, eq. 5):

    Var x_i = 1 / A_ii + Var (x_i - h_i / A_ii),

x a sample, h its right-hand side, so that A x = h and x_i - h_i / A_ii is the mean of x_i given the
others. It stays unbiased, and its error is sqrt(2 / S) times the share of what is beyond. A_ii and
h_i are sums over the factors of device i: each neighbour tells it once.

The variances that the messages themselves end with are not the posterior's: the graph has loops.
Scaling them by squares averaged over neighbours was tried: less noise, but two per cent of bias.
"""

import numpy as np

from edge_node.arrays import Matrix, Vector
from edge_node.errors import NumericalError
from edge_node.inference.fields.fleet import Fleet
from edge_node.inference.messages.propagation.graph import FactorGraph
from edge_node.inference.messages.propagation.stacks import scattered

__all__ = ["diagonal", "variances"]


def diagonal(fleet: Fleet) -> Vector:
    """A_ii (n,): what each device's factors say of it, given all others."""
    D, b = fleet.conditionals.variances, fleet.conditionals.coefficients
    readings = np.where(fleet.devices.measuring, 1.0 / fleet.devices.noise, 0.0)
    total: Vector = readings + 1.0 / D
    total += scattered(fleet.neighbours, np.square(b) / D[:, None], fleet.size)
    return total


def variances(fleet: Fleet, graph: FactorGraph, mean: Matrix) -> Vector:
    """Unbiased estimates (n,) of the posterior variances at the devices.

    Args:
        fleet: n devices.
        graph: `graph_of` it.
        mean: its means (n, 1, 1 + S), of the noise in columns 1 to S.

    Raises:
        NumericalError: there are no samples.
    """
    if mean.shape[-1] < 2:
        raise NumericalError("variances need samples", remedy="Let the devices draw some")
    alone = 1.0 / diagonal(fleet)
    beyond = mean[:, 0, 1:] - alone[:, None] * graph.total_shift[:, 0, 1:]
    total: Vector = alone + np.square(beyond).mean(axis=1)
    return total

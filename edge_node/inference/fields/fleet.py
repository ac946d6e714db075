"""A fleet: devices, each with its regression on its neighbours, as a factor graph.

Device i is variable i. It owns two factors: its regression on the neighbours that came before it,
an `Observations` with H = (1, -b_i), z = 0 and R = D_i, and its reading, the variable's own factor.
The posterior of the field given all readings is their product. Its mean is column 0 of the graph's
right-hand sides; columns 1 to S have noise instead of readings, for the variances (`spread`).

The order of the prior is that in which devices came. So a newcomer adds a factor and changes none.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np

from edge_node.arrays import Matrix
from edge_node.errors import DataError
from edge_node.inference.features.conditionals import Conditionals
from edge_node.inference.features.kernel_graph import KernelGraph
from edge_node.inference.fields.devices import Devices
from edge_node.inference.fields.field import Field
from edge_node.inference.messages.propagation.factors import Observations
from edge_node.inference.messages.propagation.graph import FactorGraph
from edge_node.inference.numerics.distances import Indices

__all__ = ["Fleet", "earlier_neighbours", "graph_of"]


@dataclass(frozen=True)
class Fleet:
    """Devices and their regressions: row i is what device i knows.

    Attributes:
        field: the prior.
        devices: n of them.
        neighbours: (n, k), each device's nearest among those before it, nearest first; -1 where
            there are fewer.
        conditionals: each device's regression on them.
    """

    field: Field
    devices: Devices
    neighbours: Indices
    conditionals: Conditionals

    @classmethod
    def of(cls, field: Field, devices: Devices) -> Self:
        """A fleet from nothing. Raises DataError: there are no more devices than neighbours."""
        neighbours = earlier_neighbours(field, devices.places)
        conditionals = field.conditionals(devices.places, np.arange(len(neighbours)), neighbours)
        return cls(field, devices, neighbours, conditionals)

    @property
    def size(self) -> int:
        """n, the number of devices."""
        return len(self.devices.names)

    @property
    def scope(self) -> Indices:
        """Each regression's devices (n, k + 1), the owner first; -1: the slot is empty."""
        return np.column_stack([np.arange(self.size), self.neighbours])


def earlier_neighbours(field: Field, places: Matrix) -> Indices:
    """Each device's nearest (n, k) among those before it, nearest first; -1: there are fewer.

    Raises DataError: there are no more devices than neighbours.
    """
    n = len(places)
    if n <= field.neighbours:
        raise DataError(
            "the fleet is too small",
            expected=f"more than {field.neighbours} devices",
            found=str(n),
            remedy="Take fewer neighbours",
        )
    graph = KernelGraph.of(places, field.neighbours, order=np.arange(n), slack=0.0)
    return graph.neighbours.astype(np.intp)


def graph_of(fleet: Fleet) -> FactorGraph:
    """The posterior, with 1 + S columns: the readings, and S times noise in their place.

    In a column of noise every factor's target is drawn as the model says: N(0, D_i) for a
    regression, N(0, noise) for a reading.
    """
    devices, D = fleet.devices, fleet.conditionals.variances
    for_regression, for_reading = devices.draws[:, 0], devices.draws[:, 1]
    precision = np.where(devices.measuring, 1.0 / devices.noise, 0.0)
    readings = np.nan_to_num(devices.readings)[:, None]
    shift = np.hstack([readings, np.sqrt(devices.noise)[:, None] * for_reading])
    target = np.hstack([np.zeros_like(readings), np.sqrt(D)[:, None] * for_regression])
    design = np.column_stack([np.ones(fleet.size), -fleet.conditionals.coefficients])
    regressions = Observations(
        fleet.scope, design[:, :, None, None], target[:, None], D[:, None, None]
    )
    return FactorGraph(
        precision[:, None, None], (precision[:, None] * shift)[:, None], (regressions,)
    )

"""A field, devices that measure it, and their exact posterior by a sparse factorisation.

The field is drawn with 30 neighbours, so that it is all but a Gaussian process without Vecchia's
approximation; the fleet's prior has 6. Intervals are judged by the field that was drawn.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import splu, spsolve_triangular

from edge_node.arrays import Matrix, Vector
from edge_node.config import KernelKind
from edge_node.inference.fields.devices import Devices
from edge_node.inference.fields.field import Field
from edge_node.inference.fields.fleet import Fleet
from edge_node.inference.fields.spread import precision_of
from edge_node.inference.kernels.stationary import StationaryKernel
from edge_node.inference.numerics.distances import Indices

__all__ = ["NOISE", "Exact", "a_field", "drawn", "in_a_square"]

NOISE = 0.1
_RANGE = 5.0  # the kernel's length, in distances between devices
_ALL_BUT_ALL = 30  # neighbours of the field that is drawn
_AT_ONCE = 50  # columns of an inverse


def a_field(own: float = 0.02, neighbours: int = 6) -> Field:
    """Matern-3/2 and a part of each device's own; devices are about 1 apart."""
    kernel = StationaryKernel(KernelKind.MATERN32, _RANGE / np.sqrt(2.0))
    return Field(kernel, own, neighbours)


def in_a_square(devices: int, random: np.random.Generator) -> Matrix:
    """Places (n, 2), one a unit of area."""
    places: Matrix = random.random((devices, 2)) * np.sqrt(devices)
    return places


def drawn(
    devices: int, *, measuring: float, samples: int, field: Field | None = None, seed: int = 0
) -> tuple[Fleet, Vector]:
    """A fleet, and the true field at its devices (n,).

    Args:
        devices: n.
        measuring: the share of devices that have a reading.
        samples: columns of noise.
        field: None: `a_field`.
        seed: of all that is drawn.
    """
    random, field = np.random.default_rng(seed), field or a_field()
    places = in_a_square(devices, random)
    nobody = np.full(devices, np.nan)
    fine = Devices.drawn(places, nobody, NOISE, samples=0, random=random)
    model = Fleet.of(replace(field, neighbours=min(_ALL_BUT_ALL, devices - 1)), fine)
    truth = _sample(model, random)
    error = np.sqrt(NOISE) * random.normal(size=devices)
    readings = np.where(random.random(devices) < measuring, truth + error, np.nan)
    made = Devices.drawn(places, readings, NOISE, samples=samples, random=random)
    return Fleet.of(field, made), truth


@dataclass(frozen=True)
class Exact:
    """The posterior as one sparse system, which no device ever sees."""

    fleet: Fleet

    @cached_property
    def precision(self) -> "sparse.csc_array[Any]":
        """A (n, n)."""
        return sparse.csc_array(precision_of(self.fleet))

    @cached_property
    def _factor(self) -> Any:
        return splu(
            self.precision, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0,
            options={"SymmetricMode": True},
        )  # fmt: skip

    @cached_property
    def mean(self) -> Vector:
        """At all devices (n,)."""
        devices = self.fleet.devices
        h = np.where(devices.measuring, devices.readings / devices.noise, 0.0)
        mean: Vector = self._factor.solve(h)
        return mean

    def variances(self, at: Indices) -> Vector:
        """At some devices (m,)."""
        found = np.empty(len(at))
        for start in range(0, len(at), _AT_ONCE):
            some = at[start : start + _AT_ONCE]
            unit = np.zeros((self.fleet.size, len(some)))
            unit[some, np.arange(len(some))] = 1.0
            found[start : start + _AT_ONCE] = self._factor.solve(unit)[some, np.arange(len(some))]
        return found


def _sample(fleet: Fleet, random: np.random.Generator) -> Vector:
    """Device by device in the order of the prior: (I - b) x = noise."""
    rows, slots = np.nonzero(fleet.neighbours >= 0)
    ends = rows, fleet.neighbours[rows, slots]
    b, shape = fleet.conditionals.coefficients[rows, slots], (fleet.size, fleet.size)
    B = sparse.csr_array(sparse.eye_array(fleet.size) - sparse.csr_array((b, ends), shape=shape))
    noise = np.sqrt(fleet.conditionals.variances) * random.normal(size=fleet.size)
    field: Vector = np.asarray(spsolve_triangular(B, noise, unit_diagonal=True))
    return field

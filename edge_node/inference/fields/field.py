"""The prior of a field: what a device's value is, given those of devices near it.

A field is a Gaussian process at places. Each device's value is that of a smooth part, with a
stationary kernel, plus a part of the device's own place that no other shares: what varies over less
than the distance between devices, or how the device is mounted. Vecchia's approximation (1988;
Katzfuss & Guinness 2021, eq. 3) keeps of a device's regression on all that came before it only its
nearest: x_i = b_i' x_N(i) + N(0, D_i). Whatever the neighbours, the product of these is a proper
density, and each factor belongs to one device.

Without a part of their own, values close together are nearly equal: with a smooth kernel the
coefficients alternate in sign, D is tiny, and messages diverge, or take very long. A hundredth of
the variance is enough for them to converge. The other sparse prior, finite elements on triangles
between devices (Lindgren, Rue & Lindstrom 2011), has factors with large coefficients of both signs,
those of a Laplacian, and diverges too; and a newcomer would change its neighbours' factors, where
here it adds one of its own. (`python -m benchmarks field` measures both.)
"""

from dataclasses import dataclass

import numpy as np

from edge_node.arrays import Matrix, Vector
from edge_node.errors import ConfigurationError
from edge_node.inference.features.conditionals import Conditionals, regressions
from edge_node.inference.kernels.kernel import Kernel
from edge_node.inference.numerics.distances import Indices, Stack

__all__ = ["Field"]


@dataclass(frozen=True)
class Field:
    """A Gaussian process with mean zero.

    Attributes:
        kernel: of the smooth part.
        own: the variance of each device's own part, not negative.
        neighbours: k, how many devices another's regression is on, at least one.

    Raises:
        ConfigurationError: a value outside its range.
    """

    kernel: Kernel
    own: float = 0.02
    neighbours: int = 6

    def __post_init__(self) -> None:
        if not (0.0 <= self.own < np.inf and self.neighbours >= 1):
            raise ConfigurationError(
                "this is no field",
                expected="an own variance of 0 or more, and one neighbour or more",
                found=f"{self.own} and {self.neighbours}",
            )

    def variances(self, places: Matrix) -> Vector:
        """The prior variance (n,) of devices at ``places`` (n, 2)."""
        return self.kernel.diagonal(places) + self.own

    def conditionals(self, places: Matrix, rows: Indices, neighbours: Indices) -> Conditionals:
        """The regressions of some devices on others.

        Args:
            places: of all devices (n, 2).
            rows: which devices (m,).
            neighbours: of each of these, (m, k); -1 where there are fewer.
        """

        def between(some: Indices) -> Stack:
            return self.kernel.within(places[some])

        own = np.full(len(places), self.own)
        (found,) = regressions(between, rows, neighbours, [own])
        return found

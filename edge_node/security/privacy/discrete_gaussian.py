"""Discrete Gaussian noise for a sum over the federation: every node adds a share of it.

The total then holds as much noise as one trusted party would add, and no party needs to be trusted
(the distributed discrete Gaussian mechanism; Kairouz, Liu & Steinke 2021). Values are whole
multiples of a grid, and so is the noise, drawn exactly by OpenDP (Canonne, Kamath & Steinke 2020):
no floating-point digit of a total tells noise from data (Mironov 2012).

A member knows its own share. So that ``tolerated`` members who pool theirs see no less noise than
was promised, shares are larger: of variance sigma^2 / (N - tolerated) each. A sum of N discrete
Gaussians isn't quite one; what that adds to the privacy loss, below
10 N exp(-pi^2 (sigma / grid)^2 / N) for each number (Kairouz et al., proposition 7), is zero in any
arithmetic: sigma is at least 2^20 grid steps.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from edge_node.arrays import Vector
from edge_node.config import Level
from edge_node.errors import ConfigurationError, NumericalError, RefusedError
from edge_node.security.privacy.privacy_cost import rho_of

__all__ = ["DiscreteGaussian", "check_noise_available", "draw_integers"]

Draw = Callable[[float, int], Sequence[int]]

_GRID_BITS = 20  # sigma is 2^20 to 2^21 grid steps
_DIGITS = 2.0**53  # whole numbers below it are exact in float64


@dataclass(frozen=True)
class DiscreteGaussian:
    """The noise that the total of one step must hold.

    Attributes:
        level: whose presence it hides.
        multiplier: its standard deviation in units of the sensitivity.
        bound: by how much one row (or site) can change the sum, in the L2 norm, before rounding.
        size: k, how many numbers are summed.
        tolerated: members that may put together what they know of their own shares.
    """

    level: Level
    multiplier: float
    bound: float
    size: int
    tolerated: int = 1

    @property
    def grid(self) -> float:
        """The step, a power of two, of which values and noise are multiples."""
        return 2.0 ** (math.frexp(self.multiplier * self.bound)[1] - 1 - _GRID_BITS)

    @property
    def sensitivity(self) -> float:
        """The L2 sensitivity of what is sent. Rounding to the grid moves either of two neighbouring
        sums by at most half a step in each number; as much again is for the sums' own rounding.
        """
        return self.bound + 2.0 * self.grid * math.sqrt(self.size)

    @property
    def sigma(self) -> float:
        """The standard deviation of the noise that protects, in each number of the total."""
        return self.multiplier * self.sensitivity

    @property
    def rho(self) -> float:
        """What one release costs (zCDP)."""
        return rho_of(self.multiplier)

    def total_sigma(self, cohort: int) -> float:
        """The standard deviation of all shares' sum: what tolerated members add comes on top."""
        return self.sigma * math.sqrt(cohort / self.honest(cohort))

    def rounded(self, vector: Vector) -> Vector:
        """The nearest multiples of the grid.

        Raises:
            NumericalError: another number of values than announced, or one too large for the grid.
        """
        if len(vector) != self.size or not np.abs(vector).max(initial=0.0) < _DIGITS * self.grid:
            raise NumericalError(
                "a sum can't be given noise",
                expected=f"{self.size} numbers below {_DIGITS * self.grid:.3g}",
                found=f"{len(vector)} numbers, or a larger one",
                remedy="Nothing was sent; check the spec's bounds",
            )
        return np.rint(vector / self.grid) * self.grid

    def share(self, cohort: int, draw: Draw | None = None) -> Vector:
        """A new share (k,) of the noise for a cohort of that many, in multiples of the grid.

        Raises:
            RefusedError: the cohort is no larger than the number of members that may collude.
            ConfigurationError: OpenDP is not installed.
        """
        scale = self.sigma / self.grid / math.sqrt(self.honest(cohort))
        integers = (draw or draw_integers)(scale, self.size)
        return np.array(integers, dtype=np.float64) * self.grid

    def honest(self, cohort: int) -> int:
        """How many members' shares make up the noise that was promised: the rest may be known.

        Raises RefusedError: the cohort is no larger than the number of members that may collude.
        """
        if 1 < cohort <= self.tolerated:
            raise RefusedError(
                "the cohort is too small to share the noise",
                where="privacy",
                expected=f"more than {self.tolerated} nodes, which may collude",
                found=f"{cohort}",
                remedy="Wait for more nodes, or lower `privacy.curious_members`",
            )
        return max(1, cohort - self.tolerated)  # alone, a node has nobody to hide from


def draw_integers(scale: float, size: int) -> Sequence[int]:
    """Independent discrete Gaussian integers of mean 0, drawn from the system's randomness.

    Raises:
        ConfigurationError: OpenDP is not installed.
    """
    try:
        from opendp.domains import atom_domain, vector_domain
        from opendp.measurements import make_gaussian
        from opendp.metrics import l2_distance
        from opendp.mod import enable_features
    except ImportError as error:
        raise ConfigurationError(
            "the federation's spec asks for differential privacy, and OpenDP is not installed",
            found=str(error),
            remedy="pip install 'tangent-mesh[privacy]'",
        ) from error
    enable_features("contrib")  # OpenDP's name for what is outside its own vetting process
    domain, metric = vector_domain(atom_domain(T="i64")), l2_distance(T="f64")
    drawn: Sequence[int] = make_gaussian(domain, metric, scale=scale)([0] * size)
    return drawn


def check_noise_available() -> None:
    """Raise ConfigurationError where OpenDP is missing: before a run begins, not in its middle."""
    draw_integers(1.0, 1)

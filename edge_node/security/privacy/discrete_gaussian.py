"""Discrete Gaussian noise for a sum over the federation: every node adds a share of it.

The total then holds as much noise as one trusted party would add, and no party needs to be trusted
(the distributed discrete Gaussian mechanism; Kairouz, Liu & Steinke 2021). What is summed are whole
numbers, and so is the noise, drawn exactly by OpenDP (Canonne, Kamath & Steinke 2020): no
floating-point digit of a total tells noise from data (Mironov 2012).

A member knows its own share. So that ``tolerated`` members who pool theirs see no less noise than
was promised, shares are larger: of variance sigma^2 / (N - tolerated) each. A sum of N discrete
Gaussians isn't quite one; what that adds to the privacy loss, below 10 N exp(-pi^2 sigma^2 / N) for
each number (Kairouz et al., proposition 7), is zero in any arithmetic: sigma is at least 2^20.
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

_LEAST, _MOST = 2.0**20, 2.0**49  # sigma: nearly continuous, and 16 sigma are exact in float64
_EXACT = 2.0**53  # whole numbers below it are exact in float64


@dataclass(frozen=True)
class DiscreteGaussian:
    """The noise that the total of one step must hold.

    Attributes:
        level: whose presence it hides.
        multiplier: its standard deviation in units of the sensitivity.
        sensitivity: by how much one row (or site) can change the sum of whole numbers, in the L2
            norm.
        size: k, how many numbers are summed.
        tolerated: members that may put together what they know of their own shares.

    Raises:
        NumericalError: so much noise has no place in a sum; or so little isn't smooth on whole
            numbers.
    """

    level: Level
    multiplier: float
    sensitivity: float
    size: int
    tolerated: int = 1

    def __post_init__(self) -> None:
        """Check the noise's size."""
        if not _LEAST <= self.sigma < _MOST:
            raise NumericalError(
                "noise of this size can't be added to whole numbers",
                where="privacy",
                expected=f"a standard deviation from {_LEAST:.3g} to {_MOST:.3g}",
                found=f"{self.sigma:.3g}",
                remedy="Set a larger `privacy.epsilon`, or fewer `privacy.rows_per_site`",
            )

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

    def check(self, vector: Vector) -> None:
        """Check that a node's own vector can be given noise.

        Raises:
            NumericalError: it isn't of k whole numbers, or one is too large to be exact.
        """
        whole = np.abs(vector) < _EXACT
        whole &= np.rint(vector) == vector
        if len(vector) != self.size or not whole.all():
            raise NumericalError(
                "a sum can't be given noise",
                expected=f"{self.size} whole numbers below 2^53",
                found=f"{len(vector)} numbers, {np.count_nonzero(~whole)} of them others",
                remedy="Nothing was sent. A site can't take part with more than some ten million"
                " rows",
            )

    def share(self, cohort: int, draw: Draw | None = None) -> Vector:
        """A new share (k,) of the noise for a cohort of that many: whole numbers.

        Raises:
            RefusedError: the cohort is no larger than the number of members that may collude.
            ConfigurationError: OpenDP is not installed.
        """
        scale = self.sigma / math.sqrt(self.honest(cohort))
        return np.array((draw or draw_integers)(scale, self.size), dtype=np.float64)

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

"""What a run of belief propagation ends with: a solution that says how far it goes, or an error.

On a forest, means and variances are exact. On a graph with loops the mean is exact if the run
converges, and the variances are not (Weiss & Freeman 2001). So a solution carries
the kind of its variances, and the residual of its mean, which is recomputed from the graph. A run
that ends otherwise ends with a `PropagationError`, whose cause is a value.
"""

from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from edge_node.arrays import Matrix
from edge_node.errors import NumericalError

__all__ = ["Cause", "Mask", "Method", "PropagationError", "Slots", "Solution", "Variances"]

Slots: TypeAlias = NDArray[np.intp]
"""Variables (F, a) of F factors with a slots each, or other whole numbers."""

Mask: TypeAlias = NDArray[np.bool_]
"""Which slots, or which variables."""


class Variances(Enum):
    """How far a solution's variances can be relied on."""

    EXACT = "exact"  # the graph is a forest
    APPROXIMATE = "approximate"  # the graph has loops


class Method(Enum):
    """How a solution was found."""

    TWO_PASSES = "two passes"  # on a forest
    MESSAGES = "messages"  # by a schedule, until they have converged
    FEEDBACK = "feedback"  # some variables apart, messages on the rest
    DOUBLE_LOOP = "double loop"  # messages on a loaded graph, and corrections


class Cause(Enum):
    """Why there is no answer."""

    SINGULAR = "singular"  # a precision that has to be inverted has no inverse
    NOT_FINITE = "not finite"  # a parameter, or a message, is NaN or infinite
    DIVERGED = "diverged"  # the residual grows beyond all bounds
    NOT_CONVERGED = "not converged"  # the steps are used up, or rounding stops the residual
    IMPROPER = "improper"  # a graph with loops on which a belief's variance is not positive
    INDEFINITE = "indefinite"  # a curvature of the system isn't positive
    LOOPS = "loops"  # two passes were asked for, and the graph is not a forest


class PropagationError(NumericalError):
    """No answer by belief propagation.

    Attributes:
        cause: why.
    """

    def __init__(
        self,
        cause: Cause,
        problem: str,
        *,
        where: str = "belief propagation",
        expected: str = "",
        found: str = "",
        remedy: str = "",
    ) -> None:
        self.cause = cause
        super().__init__(problem, where=where, expected=expected, found=found, remedy=remedy)


@dataclass(frozen=True)
class Solution:
    """The marginals of a factor graph.

    Attributes:
        mean: (n, d, q), the solution of A x = h in each column.
        covariance: (n, d, d), each variable's own block of A^-1.
        variances: whether ``covariance`` is exact.
        residual: |A x - h| / |h|, recomputed from the graph (`FactorGraph.residual`).
        steps: how many steps the schedule took; two passes are 2.
        messages: how many messages were sent.
        method: how it was found.
    """

    mean: Matrix
    covariance: Matrix
    variances: Variances
    residual: float
    steps: int
    messages: int
    method: Method

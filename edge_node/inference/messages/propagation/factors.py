"""Families of factors: couplings of pairs, copies of one variable, observations of several.

Each answers the cavity messages of its variables, all factors at once: `gains` is what follows from
the cavities' precisions, and given these the answer's shifts are linear in the cavities' shifts.
With a variable's cavity N(m, V), V = Lambda^-1 and m = V eta:

    Couplings      exp(-x_i' J x_j):   to i  (-J V_j J',  -J m_j)
    Equalities     x_i = x_j = ...:    to i  the product of what the others say
    Observations   z = sum_l H_l x_l + N(0, R):
                   S = R + sum over others H_k V_k H_k',   r = z - sum over others H_k m_k
                   to l  (H_l' S^-1 H_l,  H_l' S^-1 r)

References: Weiss & Freeman 2001 (couplings); Kschischang, Frey & Loeliger 2001, and
Loeliger et al. 2007 (equality, sum and matrix factors).
"""

from dataclasses import dataclass
from typing import Self

import numpy as np

from edge_node.arrays import Matrix
from edge_node.errors import NumericalError
from edge_node.inference.messages.propagation.solution import Cause, PropagationError, Slots
from edge_node.inference.messages.propagation.stacks import (
    double,
    inverse,
    others,
    positive,
    proper_inverse,
    scattered,
    symmetric,
    times,
    transposed,
)

__all__ = [
    "CouplingGains",
    "Couplings",
    "Equalities",
    "EqualityGains",
    "ObservationGains",
    "Observations",
]


@dataclass(frozen=True)
class Couplings:
    """Pairs of variables: exp(-x_i' J x_j), so A_ij = J and A_ji = J'.

    Attributes:
        scope: i and j, int (E, 2); no slot is empty.
        coupling: J (E, d, d).
    """

    scope: Slots
    coupling: Matrix
    copies = False

    def __post_init__(self) -> None:
        double(self, "coupling")
        E, d = self.coupling.shape[:2]
        _check("couplings", self.scope.shape == (E, 2) and self.coupling.shape == (E, d, d))

    def check(self) -> None:
        """Raises NumericalError: J is not finite, or a slot is empty."""
        _check_finite(self.coupling)
        _check_filled(self.scope)

    def gains(self, precision: Matrix) -> "CouplingGains":
        """Raises PropagationError: a cavity's precision is singular."""
        V = inverse(precision, "a cavity")
        J = np.stack([self.coupling, transposed(self.coupling)], axis=1)
        weights = -times(J, V[:, ::-1])
        return CouplingGains(times(weights, transposed(J)), weights)

    def apply(self, x: Matrix) -> Matrix:
        """J x_j at i, J' x_i at j."""
        i, j = self.scope.T
        ends = times(self.coupling, x[j]), times(transposed(self.coupling), x[i])
        return scattered(self.scope, np.stack(ends, axis=1), len(x))

    def shift(self, size: int) -> Matrix:
        """Zeros."""
        return np.zeros((size, self.coupling.shape[1], 1))

    def take(self, index: Slots | slice) -> Self:
        """Some of the pairs."""
        return type(self)(self.scope[index], self.coupling[index])


@dataclass(frozen=True)
class Equalities:
    """Variables that are copies of one: messages are passed on, and need not be proper.

    Along the edges of a spanning tree, with a site's message as each variable's own factor, this
    is the federation's sum (`gaussian`).

    Attributes:
        scope: the copies, int (E, a), usually pairs.
    """

    scope: Slots
    copies = True

    def check(self) -> None:
        """Raises NumericalError: a slot is empty."""
        _check_filled(self.scope)

    def gains(self, precision: Matrix) -> "EqualityGains":
        """To each copy what the others say."""
        return EqualityGains(others(precision))

    def apply(self, x: Matrix) -> Matrix:
        """Zeros: a constraint has no share of A."""
        return np.zeros_like(x)

    def shift(self, size: int) -> Matrix:
        """A zero: nor of h."""
        return np.zeros((size, 1, 1))

    def take(self, index: Slots | slice) -> Self:
        """Some of the constraints."""
        return type(self)(self.scope[index])


@dataclass(frozen=True)
class Observations:
    """Noisy sums of variables: exp(-1/2 |z - sum_l H_l x_l|^2 in R^-1).

    Vecchia's factor of a row, given k others, is one: H = (1, -b_1, ..., -b_k), z = 0, R = D.
    The cost is linear in the slots, and sums over the other slots don't cancel. A cavity without
    an inverse counts as flat, and a factor with such a one says nothing to the others. That is
    exact where the variable is observed in all p rows (so always for p = d = 1); elsewhere the
    residual of the solution shows it, on a forest also that of a probe.

    Attributes:
        scope: int (F, a); -1: the slot is empty, and its H must be zero.
        design: H (F, a, p, d).
        target: z (F, p, q).
        noise: R (F, p, p), positive definite.
    """

    scope: Slots
    design: Matrix
    target: Matrix
    noise: Matrix
    copies = False

    def __post_init__(self) -> None:
        double(self, "design", "target", "noise")
        (F, a, p), q = self.design.shape[:3], self.target.shape[-1]
        shapes = (self.scope.shape, self.target.shape, self.noise.shape)
        _check("observations", shapes == ((F, a), (F, p, q), (F, p, p)))

    def check(self) -> None:
        """Raises NumericalError: H, z or R is not finite, R isn't symmetric and positive definite,
        or H isn't zero at an empty slot.
        """
        _check_finite(self.design, self.target, self.noise)
        if not (symmetric(self.noise) and positive(self.noise)):
            raise PropagationError(
                Cause.INDEFINITE,
                "an observation's noise is no covariance",
                expected="R symmetric and positive definite",
            )
        if self.design[self.scope < 0].any():
            raise NumericalError(
                "an empty slot has a design", where="factor graph", expected="H = 0"
            )

    def gains(self, precision: Matrix) -> "ObservationGains":
        """Raises PropagationError: R, or what is added to it, is singular."""
        H = self.design
        V, proper = proper_inverse(precision)
        HV = times(H, V)
        spread = self.noise[:, None] + others(times(HV, transposed(H)))
        weights = times(transposed(H), inverse(spread, "an observation"))
        if not proper.all():
            flat = ~proper & (H != 0).any(axis=(2, 3))
            weights = weights * (others(flat.astype(float)) == 0)[..., None, None]
        return ObservationGains(times(weights, H), weights, HV, self.target)

    def apply(self, x: Matrix) -> Matrix:
        """H' R^-1 H x."""
        predicted = times(self.design, x[self.scope]).sum(axis=1)
        return self._weighted(predicted, len(x))

    def shift(self, size: int) -> Matrix:
        """H' R^-1 z."""
        return self._weighted(self.target, size)

    def take(self, index: Slots | slice) -> Self:
        """Some of the observations."""
        return type(self)(
            self.scope[index], self.design[index], self.target[index], self.noise[index]
        )

    def _weighted(self, values: Matrix, size: int) -> Matrix:
        weighted = times(inverse(self.noise, "an observation's noise"), values)
        return scattered(self.scope, times(transposed(self.design), weighted[:, None]), size)


@dataclass(frozen=True)
class CouplingGains:
    """What couplings answer at given cavity precisions.

    Attributes:
        precision: -J V J' (E, 2, d, d).
        weights: -J V (E, 2, d, d).
    """

    precision: Matrix
    weights: Matrix

    def shift(self, incoming: Matrix) -> Matrix:
        """-J V eta of the other end."""
        return times(self.weights, incoming[:, ::-1])


@dataclass(frozen=True)
class EqualityGains:
    """What copies are told at given cavity precisions.

    Attributes:
        precision: (E, a, d, d).
    """

    precision: Matrix

    def shift(self, incoming: Matrix) -> Matrix:
        """The sum of what the others say."""
        return others(incoming)


@dataclass(frozen=True)
class ObservationGains:
    """What observations answer at given cavity precisions.

    Attributes:
        precision: H' S^-1 H (F, a, d, d).
        weights: H' S^-1 (F, a, d, p).
        predictions: H V (F, a, p, d).
        target: z (F, p, q).
    """

    precision: Matrix
    weights: Matrix
    predictions: Matrix
    target: Matrix

    def shift(self, incoming: Matrix) -> Matrix:
        """H' S^-1 r."""
        rest = self.target[:, None] - others(times(self.predictions, incoming))
        return times(self.weights, rest)


def _check(what: str, fits: bool) -> None:
    if not fits:
        raise NumericalError(f"shapes of {what} differ", where="factor graph")


def _check_finite(*arrays: Matrix) -> None:
    if not all(np.isfinite(array).all() for array in arrays):
        raise PropagationError(Cause.NOT_FINITE, "a factor's parameters are not finite")


def _check_filled(scope: Slots) -> None:
    if (scope < 0).any():
        raise NumericalError(
            "a slot is empty", where="factor graph", expected="observations, where some may be"
        )

"""What gradients at several places say of a curvature: the BFGS update.

Between two sweeps the mean moves by s and the gradient falls by y. A curvature B with B s = y
explains that; of all of them, BFGS takes the one nearest to what was believed before (Nocedal &
Wright 2006, section 6.1). It costs no sum, since the gradients have been told already.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np

from edge_node.arrays import Matrix, Vector
from edge_node.errors import NumericalError

__all__ = ["SecantCurvature"]

_LEAST_RATIO = 0.2
"""The least curvature along a step that is believed, as a share of what was believed before. A
smaller one is raised to it (Powell's damping; section 18.3), so B stays positive definite; and
there is no threshold at which two processors' rounding could part."""


@dataclass(frozen=True)
class SecantCurvature:
    """B = diag(diagonal) + columns diag(signs) columns', positive semi-definite.

    Attributes:
        diagonal: (n,), positive where anything is known.
        columns: (n, 2 p) after p steps.
        signs: (2 p,), each 1 or -1.
    """

    diagonal: Vector
    columns: Matrix
    signs: Vector

    @classmethod
    def of(cls, diagonal: Vector) -> Self:
        """Before any step."""
        return cls(diagonal, np.empty((len(diagonal), 0)), np.empty(0))

    def __matmul__(self, x: Vector) -> Vector:
        """B x (n,)."""
        product: Vector = self.diagonal * x + self.columns @ (self.signs * (self.columns.T @ x))
        return product

    def after(self, step: Vector, fall: Vector) -> Self:
        """B once the mean has moved by ``step`` (n,), and the gradient has fallen by ``fall``."""
        believed = self @ step
        before, found = float(step @ believed), float(step @ fall)
        if not before > 0.0:
            return self  # nothing is known along the step, and nothing was learnt
        if found < _LEAST_RATIO * before:
            share = (1.0 - _LEAST_RATIO) * before / (before - found)
            fall = share * fall + (1.0 - share) * believed
            found = float(step @ fall)
        new = np.column_stack([fall / np.sqrt(found), believed / np.sqrt(before)])
        columns = np.concatenate([self.columns, new], axis=1)
        return type(self)(self.diagonal, columns, np.append(self.signs, [1.0, -1.0]))

    def solve(self, x: Vector, ridge: float | Vector) -> Vector:
        """(B + ridge I)^-1 x (n,), for a positive ridge, or diag ridge (n,) (Woodbury).

        Raises:
            NumericalError: rounding leaves no inverse, as where the function grows without end.
        """
        inverse = 1.0 / (self.diagonal + ridge)
        scaled = inverse[:, None] * self.columns
        small = np.diag(self.signs) + self.columns.T @ scaled
        try:
            solution: Vector = inverse * x - scaled @ np.linalg.solve(small, scaled.T @ x)
        except np.linalg.LinAlgError as error:
            raise NumericalError(
                "the steps to the posterior find no end",
                where="the curvature along the steps",
                expected="targets that bound the function from both sides",
                found="a singular matrix",
                remedy="Check the targets: times, for example, need some events that were seen",
            ) from error
        return solution

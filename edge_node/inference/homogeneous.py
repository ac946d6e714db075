"""A bias-free ReLU network's kernel as one function of one number.

Without bias variance the kernel is homogeneous, k(x, z) = |x~| |z~| kappa(cos), so all its layers
are one function of the angle. It has square-root singularities at cos = 1 and cos = -1 and is
smooth in s = sqrt(1 - |cos|) up to both ends. A Chebyshev interpolant in s for each sign of the
cosine makes the kernel cost the same at any depth: a matrix product, a square root, a polynomial.
"""

from dataclasses import dataclass
from functools import lru_cache
from types import ModuleType
from typing import Any

import numpy as np
from numpy.polynomial import chebyshev

from edge_node.config import Activation, KernelKind
from edge_node.inference.arrays import Vector
from edge_node.inference.layers import Signals, network_kernel

__all__ = ["AngularFunction", "fit_angular_function"]

_TOLERANCE = 3e-14  # of the largest value: what rounding leaves of the recursion itself
_DEGREES = (20, 22, 32)  # 22 is enough up to depth 10, 32 up to 20


@dataclass(frozen=True)
class AngularFunction:
    """kappa_L as two polynomials in u = 2 sqrt(1 - |cos|) - 1, highest degree first.

    Attributes:
        acute: coefficients for cos >= 0.
        obtuse: coefficients for cos < 0.
    """

    acute: tuple[float, ...]
    obtuse: tuple[float, ...]

    def __call__(self, xp: ModuleType, gap: Any) -> Any:
        """kappa_L where 1 - cos = ``gap``, by Horner's rule; ``xp`` is numpy or jax.numpy."""
        u = 2.0 * xp.sqrt(xp.minimum(gap, 2.0 - gap)) - 1.0
        return xp.where(gap <= 1.0, _horner(xp, self.acute, u), _horner(xp, self.obtuse, u))


@lru_cache(maxsize=256)
def fit_angular_function(kind: KernelKind, depth: int) -> AngularFunction | None:
    """Interpolate kappa_L, the recursion at sw2 = 2 between unit vectors.

    Returns:
        The function, within 3e-14 of the recursion's largest value on a fine grid; or None where
        the network is so deep that no short polynomial is.
    """
    for degree in _DEGREES:
        function = AngularFunction(
            _interpolate(kind, depth, degree, obtuse=False),
            _interpolate(kind, depth, degree, obtuse=True),
        )
        grid = 2.0 * np.sin(np.linspace(0.0, np.pi / 2.0, 4001)) ** 2
        exact = _recursion(kind, depth, grid)
        if np.abs(function(np, grid) - exact).max() <= _TOLERANCE * exact.max():
            return function
    return None


def _interpolate(kind: KernelKind, depth: int, degree: int, *, obtuse: bool) -> tuple[float, ...]:
    u = chebyshev.chebpts1(degree + 1)
    gap = ((u + 1.0) / 2.0) ** 2
    values = _recursion(kind, depth, 2.0 - gap if obtuse else gap)
    powers = chebyshev.cheb2poly(chebyshev.chebfit(u, values, degree))
    return tuple(float(power) for power in powers[::-1])


def _recursion(kind: KernelKind, depth: int, gap: Vector) -> Vector:
    ones = np.ones_like(gap)
    kernel: Vector = network_kernel(
        np,
        Signals(ones, ones, gap),
        kind=kind,
        activation=Activation.RELU,
        depth=depth,
        weight_variance=2.0,
        bias_variance=0.0,
    )
    return kernel


def _horner(xp: ModuleType, coefficients: tuple[float, ...], u: Any) -> Any:
    value = xp.full_like(u, coefficients[0])
    for coefficient in coefficients[1:]:  # in place where arrays are mutable
        value *= u
        value += coefficient
    return value

"""A bias-free ReLU network's kernel as one function of one number.

Without bias variance the kernel is homogeneous, k(x, z) = |x~| |z~| kappa(cos), so all its layers
are one function of the angle. It has square-root singularities at cos = 1 and cos = -1 and is
smooth in s = sqrt(1 - |cos|) up to both ends. A Chebyshev interpolant in s for each sign of the
cosine makes the kernel cost the same at any depth: a matrix product, a square root, a polynomial.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from types import ModuleType
from typing import Any

import numpy as np
from numpy.polynomial import chebyshev
from numpy.typing import NDArray

from edge_node.arrays import Vector
from edge_node.config import Activation, KernelKind
from edge_node.inference.kernels.activations import Signals
from edge_node.inference.kernels.layers import DenseNetwork

__all__ = ["AngularFunction", "fit_angular_function"]

_TOLERANCE = 3e-14  # of the largest value: what rounding leaves of the recursion itself
_DEGREES = (20, 22, 32)  # 22 is enough up to depth 10, 32 up to 20
_POWERS = 8  # of u in the matrix product: 3 steps for degrees up to 23


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
        """kappa_L where 1 - cos = ``gap``, ``xp`` is numpy or jax.numpy."""
        u = 2.0 * xp.sqrt(xp.minimum(gap, 2.0 - gap)) - 1.0
        acute = gap <= 1.0
        if xp is np:  # few passes over memory: one choice, of two values
            return np.where(acute, *_products(self, u))
        pairs = zip(self.acute, self.obtuse, strict=True)  # compiled, choosing is free: once
        return _horner([xp.where(acute, *pair) for pair in pairs], u)

    @cached_property
    def coincident(self) -> float:
        """kappa_L of a row with itself."""
        return float(self(np, np.zeros(1))[0])


@lru_cache(maxsize=256)
def fit_angular_function(
    kind: KernelKind, depth: int, *, derivative: bool = False
) -> AngularFunction | None:
    """Interpolate kappa_L, the recursion at sw2 = 2 between unit vectors.

    Args:
        kind: NTK or NNGP.
        depth: L.
        derivative: interpolate d kappa_L / dt instead, t the angle; it is as smooth.

    Returns:
        The function, within 3e-14 of the recursion's largest value on a fine grid; or None where
        the network is so deep that no short polynomial is.
    """
    network = DenseNetwork(kind, Activation.RELU, depth, weight_variance=2.0, bias_variance=0.0)
    recursion = partial(_slope if derivative else _kernel, network)
    grid = 2.0 * np.sin(np.linspace(0.0, np.pi / 2.0, 4001)[1:-1]) ** 2
    exact = recursion(grid)
    for degree in _DEGREES:
        function = AngularFunction(
            _interpolate(recursion, degree), _interpolate(lambda gap: recursion(2.0 - gap), degree)
        )
        if np.abs(function(np, grid) - exact).max() <= _TOLERANCE * np.abs(exact).max():
            return function
    return None


def _interpolate(function: Callable[[Vector], Vector], degree: int) -> tuple[float, ...]:
    """Powers of u, highest first, for a function of gap = ((u + 1) / 2)^2 from 0 to 1."""
    u = chebyshev.chebpts1(degree + 1)
    values = function(((u + 1.0) / 2.0) ** 2)
    powers = chebyshev.cheb2poly(chebyshev.chebfit(u, values, degree))
    return tuple(float(power) for power in powers[::-1])


def _kernel(network: DenseNetwork, gap: Vector) -> Vector:
    kernel: Vector = network.kernel(np, Signals(np.ones(1), np.ones(1), gap))
    return kernel


def _slope(network: DenseNetwork, gap: Vector) -> Vector:
    slope: Vector = network.slopes(np, Signals(np.ones(1), np.ones(1), gap)).angle
    return slope


def _horner(coefficients: Sequence[Any], u: Any) -> Any:
    value = coefficients[0] + 0.0 * u
    for coefficient in coefficients[1:]:
        value = value * u + coefficient
    return value


def _products(function: AngularFunction, u: Any) -> NDArray[np.float64]:
    """Both polynomials (2, ...) at u: a matrix product of powers, then few steps of Horner's rule.

    Reference: Paterson & Stockmeyer 1973, algorithm B.
    """
    coefficients, shape = _table(function), np.shape(u)
    powers = np.empty((_POWERS, np.size(u)))
    powers[0], powers[1] = 1.0, np.ravel(u)
    for k in range(2, _POWERS):
        np.multiply(powers[k // 2], powers[k - k // 2], out=powers[k])
    step = powers[_POWERS // 2] * powers[_POWERS - _POWERS // 2]
    parts = (coefficients.reshape(-1, _POWERS) @ powers).reshape(*coefficients.shape[:2], -1)
    value: NDArray[np.float64] = parts[0]
    for part in parts[1:]:
        value *= step
        value += part
    return value.reshape(2, *shape)


@lru_cache(maxsize=256)
def _table(function: AngularFunction) -> NDArray[np.float64]:
    """Coefficients (steps, 2, powers): those of the highest powers first, in each step the last."""
    pair = np.array([function.acute, function.obtuse])[:, ::-1]
    steps = -(-pair.shape[1] // _POWERS)
    padded = np.pad(pair, ((0, 0), (0, steps * _POWERS - pair.shape[1])))
    return np.ascontiguousarray(padded.reshape(2, steps, _POWERS).transpose(1, 0, 2)[::-1])

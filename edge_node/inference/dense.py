"""Kernels of infinitely wide dense networks: NTK and NNGP, ReLU and erf, any depth.

Inputs x (d,) are mapped to x~ = sqrt(d + 1) [x, beta], and the network is that of neural-tangents'
convention with D = d + 1 inputs, so that the first dense layer's covariance is

    S0 = sw2 <x~, z~> / D + sb2 = sw2 (<x, z> + beta^2) + sb2,

an inner product of the signals [sqrt(sw2) x, sqrt(sw2 beta^2 + sb2)]. From there on a kernel is a
function of two lengths and an angle. ReLU without bias variance is homogeneous, and its layers are
one polynomial (``homogeneous``); everything else is the recursion (``layers``).

Large blocks are computed by JAX, in pieces of one fixed shape; small ones by NumPy.
"""

from functools import partial
from types import ModuleType
from typing import Any

import msgspec
import numpy as np

from edge_node.config import Activation, KernelKind
from edge_node.errors import ConfigurationError
from edge_node.inference.arrays import Matrix, Vector
from edge_node.inference.compiled import aligned_empty, compiled
from edge_node.inference.distances import directions, gaps
from edge_node.inference.homogeneous import fit_angular_function
from edge_node.inference.layers import Signals, network_kernel

__all__ = ["DenseKernel", "critical_variances"]

_JAX_FROM = 1 << 19  # kernel values in one call from which loading and compiling pay
_NUMPY_PIECE = 1 << 15  # values at a time: NumPy's temporaries stay in a core's cache
_JAX_PIECE = 1 << 18  # values at a time: one compiled shape, in the shared cache


def critical_variances(activation: Activation) -> tuple[float, float]:
    """(sw2, sb2) at the edge of chaos: signals neither die nor explode with depth.

    At a fixed point q = sw2 E[phi(u)^2] + sb2, u ~ N(0, q), the edge of chaos is
    chi_1 = sw2 E[phi'(u)^2] = 1 (Poole et al. 2016, eq. 3 and 6; Schoenholz et al. 2017, sec. 3).

    ReLU: chi_1 = sw2 / 2, so sw2 = 2, and any q is a fixed point if sb2 = 0 (He et al. 2015).

    erf: E[phi'^2] = (4 / pi) / sqrt(1 + 4 q) and E[phi^2] = (2 / pi) arcsin(2 q / (1 + 2 q)), so

        sw2 = (pi / 4) sqrt(1 + 4 q),   sb2 = q - sqrt(1 + 4 q) arcsin(2 q / (1 + 2 q)) / 2,

    a line with a parameter q. Taken is q = 1, hidden signals of unit variance: (1.756, 0.184).
    phi is erf(u) itself, neural-tangents' ``Erf(a=1, b=1)``.
    """
    if activation is Activation.RELU:
        return 2.0, 0.0
    root = float(np.sqrt(5.0))
    return np.pi / 4.0 * root, 1.0 - root * float(np.arcsin(2.0 / 3.0)) / 2.0


class DenseKernel(msgspec.Struct, frozen=True, tag="dense"):
    """k(x, z) of an infinitely wide dense network. Calling it gives a block of kernel values.

    Attributes:
        kind: NTK (the network trained) or NNGP (the network at random).
        activation: the nonlinearity.
        depth: the number L of hidden layers, at least 1.
        weight_variance: sw2 = W_std^2, positive.
        bias_variance: sb2 = b_std^2, not negative.
        bias: beta, the constant input coordinate.

    Raises:
        ConfigurationError: a value outside its range.
    """

    kind: KernelKind
    activation: Activation
    depth: int
    weight_variance: float
    bias_variance: float
    bias: float = 1.0

    def __post_init__(self) -> None:
        ranges = {
            "depth": ("at least 1", self.depth >= 1),
            "weight_variance": ("positive", 0.0 < self.weight_variance < np.inf),
            "bias_variance": ("zero or positive", 0.0 <= self.bias_variance < np.inf),
            "bias": ("finite", bool(np.isfinite(self.bias))),
        }
        for name, (expected, fits) in ranges.items():
            if not fits:
                raise ConfigurationError(
                    f"a kernel's {name} is out of range",
                    expected=expected,
                    found=str(getattr(self, name)),
                    remedy="Correct `model` in the federation spec",
                )

    def __str__(self) -> str:
        return f"{self.kind} {self.activation} depth {self.depth} bias {self.bias:g}"

    def __call__(self, X: Matrix, Z: Matrix) -> Matrix:
        """The block k(X, Z) (n, m) between rows X (n, d) and Z (m, d), float64, C order."""
        (U, p), (V, q) = directions(self._signals(X)), directions(self._signals(Z))
        block = gaps(U, V, out=aligned_empty((len(U), len(V))))
        large = block.size >= _JAX_FROM
        rows = max(1, (_JAX_PIECE if large else _NUMPY_PIECE) // max(1, len(V)))
        evaluate = partial(self._evaluate_compiled, rows) if large else partial(self.evaluate, np)
        for start in range(0, len(U), rows):
            piece = slice(start, start + rows)
            block[piece] = evaluate(p[piece, None], q[None, :], block[piece])
        return block

    def diagonal(self, X: Matrix) -> Vector:
        """k(x, x) for each row of X (n, d), shape (n,)."""
        _, p = directions(self._signals(X))
        values: Vector = self.evaluate(np, p, p, np.zeros_like(p))
        return values

    def evaluate(self, xp: ModuleType, *arrays: Any) -> Any:
        """The kernel from p, q (squared lengths of signals) and gap (1 - cosine), which broadcast.

        ``xp`` is numpy or jax.numpy; elementwise, and the same formula for both.
        """
        p, q, gap = arrays
        sw2, sb2 = self.weight_variance, self.bias_variance
        if self.activation is Activation.RELU and sb2 == 0.0:
            function = fit_angular_function(self.kind, self.depth)
            if function is not None:
                return ((sw2 / 2.0) ** self.depth * xp.sqrt(p)) * xp.sqrt(q) * function(xp, gap)
        return network_kernel(
            xp,
            Signals(p, q, gap),
            kind=self.kind,
            activation=self.activation,
            depth=self.depth,
            weight_variance=sw2,
            bias_variance=sb2,
        )

    def _evaluate_compiled(self, rows: int, p: Matrix, q: Matrix, gap: Matrix) -> Matrix:
        """``evaluate`` by JAX; a last, shorter piece is padded, so that one program serves all."""
        spare = ((0, rows - len(gap)), (0, 0))
        if len(gap) < rows:
            p, gap = np.pad(p, spare), np.pad(gap, spare)
        return compiled(self)(p, q, gap)[: rows - spare[0][1]]

    def _signals(self, X: Matrix) -> Matrix:
        """[sqrt(sw2) x, sqrt(sw2 beta^2 + sb2)]: inner products are S0."""
        n, d = X.shape
        signals = np.empty((n, d + 1))
        np.multiply(X, np.sqrt(self.weight_variance), out=signals[:, :d])
        signals[:, d] = np.sqrt(self.weight_variance * self.bias**2 + self.bias_variance)
        return signals

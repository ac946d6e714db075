"""Finite dense networks in the NTK parametrisation, whose limit is a ``DenseKernel``.

neural-tangents' convention: with inputs h_0 = sqrt(d + 1) [x, beta] and D = d + 1 of them,

    z_l = sqrt(sw2 / n_{l-1}) h_{l-1} W_l + sqrt(sb2) b_l,    h_l = phi(z_l),    f = z_{L+1},

with n_0 = D, n_1 = ... = n_L the width, and all of W and b standard normal (Jacot et al. 2018,
section 2.1; Lee et al. 2019, eq. 1). The factor before W scales its gradient, too. That is why a
learning rate needn't know the width, and why training has a limit.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import erf

from edge_node.arrays import Matrix
from edge_node.config import Activation
from edge_node.inference.kernels.dense import DenseKernel

__all__ = ["Network", "Parameters"]

Parameters: TypeAlias = Sequence[tuple[Any, Any]]
"""W (n_{l-1}, n_l) and b (n_l,) of each layer."""

_ACTIVATIONS: dict[Activation, Callable[[Any], Any]] = {
    Activation.RELU: jax.nn.relu,
    Activation.ERF: erf,
    Activation.GELU: lambda z: jax.nn.gelu(z, approximate=False),
}


@dataclass(frozen=True)
class Network:
    """A network with one output.

    Attributes:
        kernel: its limit; only its architecture counts, not its kind.
        width: of all its hidden layers.
    """

    kernel: DenseKernel
    width: int

    def draw(self, random: np.random.Generator, inputs: int) -> Parameters:
        """W and b at initialisation, for rows of ``inputs`` numbers."""
        sizes = [inputs + 1, *[self.width] * self.kernel.depth, 1]
        return [
            (random.standard_normal(shape), random.standard_normal(shape[1]))
            for shape in pairwise(sizes)
        ]

    def outputs(self, parameters: Parameters, X: Any) -> Any:
        """F (n,) at X (n, d)."""
        phi = _ACTIVATIONS[self.kernel.activation]
        bias = jnp.full((len(X), 1), self.kernel.bias)
        z = math.sqrt(X.shape[1] + 1) * jnp.hstack([X, bias])
        for layer, (W, b) in enumerate(parameters):
            h = phi(z) if layer else z
            z = math.sqrt(self.kernel.weight_variance / len(W)) * (h @ W)
            z += math.sqrt(self.kernel.bias_variance) * b
        return z[:, 0]

    def tangent_kernel(self, parameters: Parameters, X: Matrix, Z: Matrix) -> Matrix:
        """The network's own NTK, the inner products of its gradients: (n, m)."""
        total = np.zeros((len(X), len(Z)))
        ours, others = (jax.tree.leaves(_jacobian(self, parameters, rows)) for rows in (X, Z))
        for A, B in zip(ours, others, strict=True):
            total += np.asarray(A).reshape(len(X), -1) @ np.asarray(B).reshape(len(Z), -1).T
        return total


@partial(jax.jit, static_argnums=0)
def _jacobian(network: Network, parameters: Parameters, X: Any) -> Any:
    return jax.jacobian(network.outputs)(parameters, X)

"""(f) What a finite width adds first goes by depth / width.

For one row and ReLU without bias S_{l+1} = S_l (2 / n) sum relu(u)^2, u standard normal, so that
exactly

    Var(S_L) / E[S_L]^2 = (1 + 5 / n)^L - 1 = 5 L / n + ...

Three times this is the output's excess kurtosis, its fourth cumulant over its variance squared
(Hanin 2018; Roberts, Yaida & Hanin 2022, chapter 4). Infinite width has zero, whatever the depth.
The tangent kernel of a network fluctuates likewise: Var / E^2 grows by depth / width (Hanin & Nica
2020, theorem 1), about a mean that is the NTK at any width (ReLU, one row).
"""

from collections.abc import Iterator, Sequence

import jax
import numpy as np

from benchmarks.figures import Row
from benchmarks.width.initial import covariances
from benchmarks.width.networks import Network
from edge_node.arrays import Matrix, Vector
from edge_node.config import Activation, KernelKind
from edge_node.inference.kernels.dense import DenseKernel

__all__ = ["correction", "tangent_correction"]


def correction(
    X: Matrix,
    *,
    widths: Sequence[int],
    depths: Sequence[int],
    draws: int,
    random: np.random.Generator,
) -> Iterator[Row]:
    """Var(S_L) / E[S_L]^2 at a row X (1, d), over initialisations."""
    for depth in depths:
        kernel = DenseKernel(KernelKind.NNGP, Activation.RELU, depth, 2.0, 0.0)
        for width in widths:
            S = covariances(kernel, X, width, draws, random)[-1, :, 0, 0]
            yield {"claim": "f", "series": "NNGP", **_place(depth, width)} | {
                "value": S.var() / S.mean() ** 2,
                "expected": (1.0 + 5.0 / width) ** depth - 1.0,
                "draws": draws,
            }


def tangent_correction(
    X: Matrix,
    *,
    widths: Sequence[int],
    depths: Sequence[int],
    draws: int,
    random: np.random.Generator,
) -> Iterator[Row]:
    """Var / E^2 of a network's own tangent kernel at a row X (1, d), and E beside the NTK."""
    for depth in depths:
        kernel = DenseKernel(KernelKind.NTK, Activation.RELU, depth, 2.0, 0.0)
        for width in widths:
            found = _tangent_powers(Network(kernel, width), X, draws, random)
            common = {"claim": "f", "draws": draws, **_place(depth, width)}
            variance = found.var() / found.mean() ** 2
            yield common | {"series": "NTK", "value": variance}
            ratio = found.mean() / kernel.diagonal(X)[0]
            yield common | {"series": "NTK's mean", "value": ratio, "expected": 1.0}


def _place(depth: int, width: int) -> Row:
    return {"network": f"relu, depth {depth}", "x": depth / width}


def _tangent_powers(network: Network, X: Matrix, draws: int, random: np.random.Generator) -> Vector:
    """The squared lengths of gradients at X (1, d): (draws,)."""

    @jax.jit
    def power(parameters: object) -> object:
        slope = jax.grad(lambda each: network.outputs(each, X)[0])(parameters)
        return sum((each**2).sum() for each in jax.tree.leaves(slope))

    return np.array([float(power(network.draw(random, X.shape[1]))) for _ in range(draws)])

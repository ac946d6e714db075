"""Claims about networks at initialisation: Gaussian outputs, signals with depth.

Nothing is differentiated here, so no weight need be drawn. Given the layer before, a layer's
pre-activations are independent Gaussians, one for each of its n neurons, with the covariance

    S_{l+1} = (sw2 / n) sum over neurons of phi(z_l) phi(z_l)' + sb2

over rows (Lee et al. 2018, section 2.2). Drawing z from S, layer by layer, is drawing the network.
Its output, given the last hidden layer, is Gaussian with the covariance S; so over initialisations
its excess kurtosis is 3 Var(S) / E[S]^2, which is what is measured: S instead of outputs loses
nothing, and takes fewer draws. For infinite width S is the NNGP kernel.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import erf

from benchmarks.figures import Row
from edge_node.arrays import Matrix
from edge_node.config import Activation, KernelKind
from edge_node.inference.kernels.dense import DenseKernel, critical_variances

__all__ = ["covariances", "gaussian_outputs", "signals_by_depth"]

Draws = NDArray[np.float64]

_ACTIVATIONS: dict[Activation, Callable[[Draws], Draws]] = {
    Activation.RELU: lambda z: np.maximum(z, 0.0),
    Activation.ERF: erf,
}
_BATCH = 1 << 20  # normal numbers at a time


def covariances(
    kernel: DenseKernel, X: Matrix, width: int, draws: int, random: np.random.Generator
) -> Draws:
    """S of each layer after the first, (depth, draws, m, m), in networks of one width at X (m, d).

    The last is the covariance of the outputs.
    """
    most = max(1, _BATCH // (width * len(X)))
    sizes = [min(most, draws - start) for start in range(0, draws, most)]
    parts = [np.stack(list(_layers(kernel, X, width, size, random))) for size in sizes]
    return np.concatenate(parts, axis=1)


def _layers(
    kernel: DenseKernel, X: Matrix, width: int, draws: int, random: np.random.Generator
) -> Iterator[Draws]:
    phi, signals = _ACTIVATIONS[kernel.activation], kernel.signals(X)
    S = np.broadcast_to(signals @ signals.T, (draws, len(X), len(X)))
    for _ in range(kernel.depth):
        w, V = np.linalg.eigh(S)
        root = V * np.sqrt(np.maximum(w, 0.0))[:, None, :]
        h = phi(root @ random.standard_normal((draws, len(X), width)))
        S = kernel.weight_variance / width * (h @ h.swapaxes(1, 2)) + kernel.bias_variance
        yield S


def gaussian_outputs(
    activation: Activation,
    depth: int,
    X: Matrix,
    *,
    widths: Sequence[int],
    draws: int,
    random: np.random.Generator,
) -> Iterator[Row]:
    """(d) Outputs become Gaussian, with the NNGP's covariance.

    The excess kurtosis (mean over rows) falls as 1 / width. A single network's S is off the NNGP's
    by a relative error (Frobenius, root mean square over draws) that falls as 1 / sqrt(width).
    """
    kernel = DenseKernel(KernelKind.NNGP, activation, depth, *critical_variances(activation))
    limit, name = kernel(X, X), f"{activation}, depth {depth}"
    for width in widths:
        S = covariances(kernel, X, width, draws, random)[-1]
        power = np.diagonal(S, axis1=1, axis2=2)
        kurtosis = 3.0 * np.mean(power.var(axis=0) / power.mean(axis=0) ** 2)
        off = np.linalg.norm(S - limit, axis=(1, 2)) / np.linalg.norm(limit)
        found = {"excess kurtosis": kurtosis, "covariance error": np.sqrt(np.mean(off**2))}
        for quantity, value in found.items():
            yield {"claim": "d", "series": quantity, "network": name, "x": width} | {
                "value": value, "draws": draws
            }  # fmt: skip


def signals_by_depth(
    kernel: DenseKernel,
    name: str,
    X: Matrix,
    *,
    width: int,
    draws: int,
    random: np.random.Generator,
) -> Iterator[Row]:
    """(e) Variance and correlation of two rows X (2, d) by depth, in networks and in their limit.

    Off the critical line the variance (ReLU) or the correlation (erf) goes to where it forgets the
    rows, exponentially; on it, if at all, by a power of the depth (Poole et al. 2016; Schoenholz et
    al. 2017).
    """
    found = covariances(kernel, X, width, draws, random)
    for layer in range(kernel.depth):
        limit = DenseKernel(
            KernelKind.NNGP,
            kernel.activation,
            layer + 1,
            kernel.weight_variance,
            kernel.bias_variance,
        )(X, X)
        pairs = zip(_signals(found[layer]), _signals(limit[None]), strict=True)
        for quantity, (ours, theirs) in zip(("variance", "1 - correlation"), pairs, strict=True):
            yield {"claim": "e", "series": quantity, "network": name, "x": layer + 1} | {
                "value": ours, "expected": theirs, "draws": draws
            }  # fmt: skip


def _signals(S: Draws) -> tuple[float, float]:
    """The mean variance, and the mean of 1 - correlation, over draws of S (draws, 2, 2)."""
    power = np.diagonal(S, axis1=1, axis2=2)
    gap = 1.0 - S[:, 0, 1] / np.sqrt(power[:, 0] * power[:, 1])
    return float(power.mean()), float(gap.mean())

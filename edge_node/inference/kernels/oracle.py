"""neural-tangents: an oracle for dense kernels, and the source of convolutional ones.

No other module imports neural-tangents. Its version 0.6.5 imports TensorFlow for one experimental
corner; an empty module stands in for that corner, so TensorFlow is never needed. It works on JAX
0.5.3. Dense kernels are compared with it, but never computed by it.
"""

import importlib
import math
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_node.arrays import Matrix, Vector
from edge_node.config import Activation
from edge_node.errors import ConfigurationError
from edge_node.inference.kernels.dense import DenseKernel
from edge_node.inference.numerics.compiled import double_precision

__all__ = ["ImageNetwork", "Images", "image_network", "oracle"]

Images = NDArray[np.float64]  # (n, height, width, channels)

_EXPERIMENTAL = "neural_tangents.experimental"


def oracle(kernel: DenseKernel, *, jit: bool = False) -> Callable[[Matrix, Matrix], Matrix]:
    """neural-tangents' version of ``kernel``: from X (n, d), Z (m, d) to (n, m), float64.

    Args:
        kernel: the kernel.
        jit: compile the whole block, once per shape: faster from the second call on.

    Raises:
        ConfigurationError: neural-tangents can't be imported.
    """
    stax = _import_stax()
    scales = _scales(kernel.weight_variance, kernel.bias_variance)
    dense, activation = _quietly(stax.Dense, 1, **scales), _activation(stax, kernel.activation)
    _, _, kernel_fn = _quietly(stax.serial, *([dense, activation] * kernel.depth), dense)
    jax = importlib.import_module("jax")
    block = partial(kernel_fn, get=kernel.kind.value)
    block = jax.jit(block) if jit else block

    def evaluate(X: Matrix, Z: Matrix) -> Matrix:
        with double_precision(jax):
            inputs = (_network_inputs(A, kernel.bias) for A in (X, Z))
            return np.asarray(_quietly(block, *inputs))

    return evaluate


@dataclass(frozen=True)
class ImageNetwork:
    """The NTK of an infinitely wide convolutional network with pooling, compiled once per shape.

    Attributes:
        block: from images (n, height, width, channels) and (m, ...) to (n, m).
        diagonal: from images (n, ...) to k(x, x), (n,).
    """

    block: Callable[[Images, Images], Matrix]
    diagonal: Callable[[Images], Vector]


@lru_cache(maxsize=32)
def image_network(
    activation: Activation, depth: int, weight_variance: float, bias_variance: float
) -> ImageNetwork:
    """``depth`` times a 3 x 3 convolution and a nonlinearity, a mean over pixels, a dense layer.

    Args:
        activation: the nonlinearity.
        depth: the number of convolutions.
        weight_variance: sw2.
        bias_variance: sb2.

    Raises:
        ConfigurationError: neural-tangents can't be imported.
    """
    stax = _import_stax()
    jax = importlib.import_module("jax")
    scales = _scales(weight_variance, bias_variance)
    convolution = _quietly(stax.Conv, 1, (3, 3), padding="SAME", **scales)
    hidden = [convolution, _activation(stax, activation)] * depth
    readout = _quietly(stax.GlobalAvgPool), _quietly(stax.Dense, 1, **scales)
    _, _, kernel_fn = _quietly(stax.serial, *hidden, *readout)
    block = jax.jit(partial(kernel_fn, get="ntk"))
    diagonal = jax.jit(jax.vmap(lambda x: kernel_fn(x[None], None, "ntk")[0, 0]))

    def evaluate(function: Callable[..., Any], *images: Images) -> Matrix:
        with double_precision(jax):
            return np.asarray(_quietly(function, *images))

    return ImageNetwork(partial(evaluate, block), partial(evaluate, diagonal))


def _scales(weight_variance: float, bias_variance: float) -> dict[str, float]:
    return {"W_std": math.sqrt(weight_variance), "b_std": math.sqrt(bias_variance)}


def _activation(stax: Any, activation: Activation) -> Any:
    layers = {
        Activation.RELU: stax.Relu,
        Activation.ERF: stax.Erf,
        Activation.GELU: stax.Gelu,
    }
    return layers[activation]()


def _network_inputs(X: Matrix, bias: float) -> Matrix:
    """x~ = sqrt(d + 1) [x, beta]."""
    n, d = X.shape
    return math.sqrt(d + 1.0) * np.hstack([X, np.full((n, 1), bias)])


def _import_stax() -> Any:
    sys.modules.setdefault(_EXPERIMENTAL, ModuleType(_EXPERIMENTAL))
    try:
        return _quietly(importlib.import_module, "neural_tangents.stax")
    except (ImportError, AttributeError) as error:  # AttributeError: on JAX newer than it knows
        raise ConfigurationError(
            "neural-tangents can't be imported",
            found=str(error),
            remedy="Install the extra: pip install 'tangent-mesh[neural-tangents]'",
        ) from error


def _quietly(function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """Call without the deprecation warnings of an unmaintained library."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return function(*arguments, **options)

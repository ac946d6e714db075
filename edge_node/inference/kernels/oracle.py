"""neural-tangents: an oracle that kernels are compared with. None is computed by it.

No other module imports neural-tangents. Its version 0.6.5 imports TensorFlow for one experimental
corner; an empty module stands in for that corner, so TensorFlow is never needed. It works on JAX
0.5.3.
"""

import importlib
import math
import sys
import warnings
from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import Any

import numpy as np

from edge_node.arrays import Matrix
from edge_node.config import Activation
from edge_node.errors import ConfigurationError
from edge_node.inference.kernels.dense import DenseKernel
from edge_node.inference.numerics.compiled import double_precision

__all__ = ["oracle", "stax_layers"]

_EXPERIMENTAL = "neural_tangents.experimental"


def oracle(kernel: DenseKernel, *, jit: bool = False) -> Callable[[Matrix, Matrix], Matrix]:
    """neural-tangents' version of ``kernel``: from X (n, d), Z (m, d) to (n, m), float64.

    Args:
        kernel: the kernel.
        jit: compile the whole block, once per shape: faster from the second call on.

    Raises:
        ConfigurationError: neural-tangents can't be imported.
    """
    stax = stax_layers()
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


def stax_layers() -> Any:
    """neural-tangents' layers, ``stax``. Raises ConfigurationError if they can't be imported."""
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

"""A block of a dense ReLU network's NTK, three layers, against neural-tangents on the same JAX.

The figure is one call, NumPy in and NumPy out; the limit is neural-tangents' of the same block,
compiled as a whole by ``jax.jit``. Some landmarks duplicate a row or nearly do: there
neural-tangents loses half its digits (the arc cosine of a rounded cosine), so that a pair of rows
at such a small angle is compared with the recursion in extended precision.
"""

import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from benchmarks.result import result
from edge_node.arrays import Matrix
from edge_node.config import Activation, KernelKind
from edge_node.inference.kernels.dense import DenseKernel
from edge_node.inference.kernels.oracle import oracle

__all__ = ["measure_kernel"]

_INPUTS, _DEPTH = 20, 3
_MANY = 1 << 26  # values of a kernel
_KERNEL = DenseKernel(KernelKind.NTK, Activation.RELU, _DEPTH, 2.0, 0.0)
_DISTANCES = (0.0, 1e-9, 1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2)


def measure_kernel(rows: int, landmarks: int, repeats: int) -> dict[str, Any]:
    """The best of several interleaved repeats of each, in seconds; the largest relative errors.

    Raises:
        ConfigurationError: neural-tangents can't be imported.
    """
    X, Z, close = _rows(rows, landmarks)
    tasks: dict[str, Callable[[Matrix, Matrix], Matrix]] = {
        "ours": _KERNEL,
        "neural-tangents": oracle(_KERNEL, jit=True),
        "uncompiled": oracle(_KERNEL),
        "gemm": lambda X, Z: X @ Z.T,
    }
    blocks, seconds, processor = {}, dict.fromkeys(tasks, np.inf), dict.fromkeys(tasks, np.inf)
    for _ in range(1 + _MANY // (rows * landmarks)):  # until JAX, loaded and compiled, takes over
        tasks["ours"](X, Z)
    for _ in range(repeats + 1):  # the first compiles
        for name, task in tasks.items():
            began, used = time.perf_counter(), time.process_time()
            blocks[name] = task(X, Z)
            seconds[name] = min(seconds[name], time.perf_counter() - began)
            processor[name] = min(processor[name], time.process_time() - used)
    ours, theirs = blocks["ours"], blocks["neural-tangents"]
    pairs = np.arange(close), np.arange(close)
    exact = _recursion(X[:close], Z[:close])
    apart = np.abs(ours / theirs - 1.0)
    apart[pairs] = 0.0
    return result(
        "kernel",
        seconds["ours"],
        seconds["neural-tangents"],
        "s",
        rows=rows,
        landmarks=landmarks,
        times_faster=seconds["neural-tangents"] / seconds["ours"],
        processor_times_less=processor["neural-tangents"] / processor["ours"],
        uncompiled_seconds=seconds["uncompiled"],
        gemm_seconds=seconds["gemm"],
        error=float(apart.max()),
        error_near=_largest_error(ours[pairs], exact),
        neural_tangents_error_near=_largest_error(theirs[pairs], exact),
        jax=jax.__version__,
    )


def _rows(rows: int, landmarks: int) -> tuple[Matrix, Matrix, int]:
    """Rows X, landmarks Z, and how many pairs (X[i], Z[i]) are close, from duplicates up."""
    random = np.random.default_rng(0)
    X, Z = random.normal(size=(rows, _INPUTS)), random.normal(size=(landmarks, _INPUTS))
    close = min(rows, landmarks) // 2
    distances = np.resize(_DISTANCES, close)[:, None]
    Z[:close] = X[:close] + distances * Z[:close]
    return X, Z, close


def _recursion(X: Matrix, Z: Matrix) -> Any:
    """k(x_i, z_i) from the formulas of docs/model.md as they stand, in long double: (n,)."""
    X, Z = X.astype(np.longdouble), Z.astype(np.longdouble)
    p, q, s = (2.0 * (np.sum(A * B, axis=1) + 1.0) for A, B in ((X, X), (Z, Z), (X, Z)))
    length, theta, pi = np.sqrt(p * q), s, 4.0 * np.arctan(np.longdouble(1.0))
    for _ in range(_DEPTH):
        angle = np.arccos(np.minimum(s / length, 1.0))
        s = (length * np.sin(angle) + (pi - angle) * s) / pi
        theta = s + (pi - angle) / pi * theta
    return theta


def _largest_error(values: Any, exact: Any) -> float:
    return float(np.abs(values / exact - 1.0).max(initial=0.0))

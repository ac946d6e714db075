"""Compile array functions with JAX, in double precision, without touching anybody's settings.

JAX computes in single precision unless a global flag says otherwise. The flag belongs to whoever
runs the process, so 64-bit mode is entered for the call alone. JAX itself is imported at the first
call and not before: a node that answers a few queries never loads it.
"""

import math
from collections.abc import Callable, Hashable
from contextlib import AbstractContextManager
from functools import lru_cache
from types import ModuleType
from typing import Any, Protocol, cast

import numpy as np

from edge_node.inference.arrays import Matrix

__all__ = ["ArrayFunction", "aligned_empty", "compiled", "double_precision"]


class ArrayFunction(Hashable, Protocol):
    """A pure function of arrays, written for any array namespace; equal functions hash alike."""

    def evaluate(self, xp: ModuleType, *arrays: Any) -> Any:
        """The function's value; ``xp`` is numpy or jax.numpy."""
        ...


@lru_cache(maxsize=128)
def compiled(function: ArrayFunction) -> Callable[..., Matrix]:
    """``function.evaluate`` on float64 NumPy arrays, compiled once per shape.

    The result is complete when the call returns: arguments may then be overwritten.
    """
    import jax
    import jax.numpy as jnp

    jitted = jax.jit(lambda *arrays: function.evaluate(jnp, *arrays))

    def call(*arrays: Matrix) -> Matrix:
        with double_precision(jax):
            return np.asarray(jitted(*arrays))

    return call


def aligned_empty(shape: tuple[int, int]) -> Matrix:
    """A float64 matrix aligned to 64 bytes, which JAX reads in place instead of copying it."""
    size = 8 * math.prod(shape)
    memory = np.empty(size + 64, dtype=np.uint8)
    start = -memory.ctypes.data % 64
    return memory[start : start + size].view(np.float64).reshape(shape)


def double_precision(jax: ModuleType) -> AbstractContextManager[Any]:
    """JAX's scoped 64-bit mode; it moved from ``jax.experimental`` to ``jax`` in 0.8."""
    if hasattr(jax, "enable_x64"):
        return cast(AbstractContextManager[Any], jax.enable_x64(True))
    from jax.experimental import enable_x64

    return enable_x64(True)

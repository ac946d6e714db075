"""Compile array functions with JAX, in double precision, without touching anybody's settings.

JAX computes in single precision unless a global flag says otherwise. The flag belongs to whoever
runs the process, so 64-bit mode is entered for the call alone.

Loading JAX and compiling a function take about a second of a processor, as much as NumPy takes for
tens of millions of values. So a process loads JAX once it has computed that many, and not before: a
node with some thousand rows, or one that answers queries, never does. (The two differ by rounding.)
"""

import math
from collections.abc import Callable, Hashable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import lru_cache
from types import ModuleType
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from edge_node.arrays import Matrix, Vector

__all__ = ["ArrayFunction", "Pieces", "aligned_empty", "compiled", "double_precision"]

_JAX_FROM = 1 << 25  # values of a function in this process from which loading JAX pays
_JAX_BLOCK = 1 << 19  # values in one call from which calling it pays
_NUMPY_PIECE = 1 << 15  # values at a time: NumPy's temporaries stay in a core's cache
_JAX_PIECE = 1 << 18  # values at a time: one compiled shape, in the shared cache

_OPTIONS = {"xla_cpu_prefer_vector_width": 512}  # a third less time where the processor has AVX-512


class ArrayFunction(Hashable, Protocol):
    """A pure function of arrays, written for any array namespace; equal functions hash alike."""

    def evaluate(self, xp: ModuleType, *arrays: Any) -> Any:
        """The function's value; ``xp`` is numpy or jax.numpy."""
        ...


@lru_cache(maxsize=128)
def compiled(function: ArrayFunction) -> Callable[..., Any]:
    """``function.evaluate`` on float64 NumPy arrays, compiled once per shape.

    The result is a JAX array that may still be under way when the call returns: arguments must not
    be overwritten before it has been read, by ``np.asarray``.
    """
    import jax
    import jax.numpy as jnp

    jitted = jax.jit(lambda *arrays: function.evaluate(jnp, *arrays), compiler_options=_OPTIONS)

    def call(*arrays: Matrix) -> Any:
        with double_precision(jax):
            return jitted(*arrays)

    return call


class Pieces:
    """An elementwise function of p (n, 1), q (1, m) or (n, m) and gap (n, m), some rows at a time.

    NumPy computes the first millions of values and all small blocks; then JAX takes over, in pieces
    of one shape.

    Attributes:
        rows: how many rows make a piece.
    """

    def __init__(self, function: ArrayFunction, shape: tuple[int, int]) -> None:
        """For a block of ``shape`` in all."""
        self._function = function
        size, work = math.prod(shape), _work(function)
        work.values += size
        self._large = size >= _JAX_BLOCK and work.values >= _JAX_FROM
        most = max(1, (_JAX_PIECE if self._large else _NUMPY_PIECE) // max(1, shape[1]))
        self.rows = 1 << (most.bit_length() - 1)  # a power of two divides most blocks

    def __call__(self, p: Matrix, q: Matrix, gap: Matrix) -> NDArray[np.float64]:
        """The function of one piece: (..., n, m)."""
        return np.asarray(self._start(p, q, gap))[..., : len(gap), :]

    def fill(
        self,
        block: Matrix,
        p: Vector,
        q: Vector | Matrix,
        prepare: Callable[[slice], object] | None = None,
    ) -> None:
        """Fill ``block`` (n, m), whose shape is the whole block's, with values of the function.

        Args:
            block: ``aligned_empty``, so that JAX reads pieces of it in place.
            p: (n,).
            q: (m,), or (n, m) where it differs from row to row.
            prepare: puts the gaps of a piece's rows into ``block``. The next piece's are prepared
                while JAX computes, so that no core waits. None: they are there.
        """
        waiting: tuple[slice, Any] | None = None
        for start in range(0, len(block), self.rows):
            piece = slice(start, start + self.rows)
            if prepare:
                prepare(piece)
            others = q[None, :] if q.ndim == 1 else q[piece]
            started = self._start(p[piece, None], others, block[piece])
            if waiting:
                _finish(block, *waiting)
            waiting = piece, started
        if waiting:
            _finish(block, *waiting)

    def _start(self, p: Matrix, q: Matrix, gap: Matrix) -> Any:
        """The function of one piece, perhaps still under way. A short one is padded for JAX."""
        if not self._large:
            return self._function.evaluate(np, p, q, gap)
        if len(gap) < self.rows:
            spare = ((0, self.rows - len(gap)), (0, 0))
            p, gap = np.pad(p, spare, mode="edge"), np.pad(gap, spare)
            q = q if len(q) == 1 else np.pad(q, spare, mode="edge")
        return compiled(self._function)(p, q, gap)


@dataclass
class _Work:
    """How many values of a function this process was asked for."""

    values: int = 0


@lru_cache(maxsize=128)
def _work(_: ArrayFunction) -> _Work:
    return _Work()


def _finish(block: Matrix, piece: slice, values: Any) -> None:
    rows = block[piece]
    rows[:] = np.asarray(values)[: len(rows)]


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

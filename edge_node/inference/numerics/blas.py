"""BLAS routines that run while other threads run Python.

SciPy's wrappers keep the interpreter's lock, so that threads take turns. Here the routines are
called at the addresses that SciPy publishes for Cython (``scipy.linalg.cython_blas``), by ctypes,
which releases the lock. Matrices are float64 in C order; BLAS, which counts in columns, sees their
transposes.
"""

import ctypes
from collections.abc import Callable

import numpy as np
from scipy.linalg import cython_blas

from edge_node.arrays import Matrix

__all__ = ["add_gram", "solve_rows", "subtract_product"]


def _routine(name: str, arguments: int) -> Callable[..., None]:
    """A routine whose arguments are all passed by address."""
    capsule = dict[str, object](cython_blas.__pyx_capi__)[name]
    signature = ctypes.pythonapi.PyCapsule_GetName
    signature.restype, signature.argtypes = ctypes.c_char_p, [ctypes.py_object]
    address = ctypes.pythonapi.PyCapsule_GetPointer
    address.restype, address.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    prototype = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * arguments)
    return prototype(address(capsule, signature(capsule)))


_dgemm, _dsyrk = _routine("dgemm", 13), _routine("dsyrk", 10)
_dtrsm, _dtrsv = _routine("dtrsm", 11), _routine("dtrsv", 8)


def add_gram(A: Matrix, total: Matrix) -> None:
    """Add A'A to the lower triangle of ``total`` (r, r), for A (n, r). Raises ValueError."""
    n, r = _shape(A, "A", (None, None))
    _shape(total, "total", (r, r))
    size, one = _integer(r), _number(1.0)
    _dsyrk(b"U", b"N", size, _integer(n), one, _data(A), size, one, _data(total), size)


def subtract_product(A: Matrix, B: Matrix, total: Matrix) -> None:
    """Subtract A B' from ``total`` (n, r), for A (n, t) and B (r, t). Raises ValueError.

    A and B are copied where they aren't in C order: they are thin.
    """
    A, B = np.ascontiguousarray(A), np.ascontiguousarray(B)
    n, t = _shape(A, "A", (None, None))
    r, _ = _shape(B, "B", (None, t))
    _shape(total, "total", (n, r))
    inner, size = _integer(t), _integer(r)
    _dgemm(b"T", b"N", size, _integer(n), inner, _number(-1.0), _data(B), inner, _data(A), inner,
           _number(1.0), _data(total), size)  # fmt: skip


def solve_rows(L: Matrix, A: Matrix) -> None:
    """Put L^-1 a in the place of each row a of A (n, r), in C order; L (r, r) is lower triangular,
    in either order. Raises ValueError.
    """
    n, r = _shape(A, "A", (None, None))
    if L.flags.c_contiguous:
        triangle, transposed = b"U", b"T"
        _shape(L, "L", (r, r))
    else:
        triangle, transposed = b"L", b"N"
        _shape(L.T, "L'", (r, r))
    size, one = _integer(r), _number(1.0)
    if n == 1:  # without copying L
        _dtrsv(triangle, transposed, b"N", size, _data(L), size, _data(A), _integer(1))
    else:
        _dtrsm(b"L", triangle, transposed, b"N", size, _integer(n), one, _data(L), size, _data(A),
               size)  # fmt: skip


def _shape(matrix: Matrix, name: str, expected: tuple[int | None, int | None]) -> tuple[int, int]:
    """The matrix's shape, checked: an address says nothing of shape, type and order."""
    fits = matrix.ndim == 2 and all(
        wanted in (None, found) for wanted, found in zip(expected, matrix.shape, strict=True)
    )
    if not fits or matrix.dtype != np.float64 or not matrix.flags.c_contiguous:
        raise ValueError(
            f"{name}: expected float64 in C order, shape {expected}; "
            f"found {matrix.dtype}, strides {matrix.strides}, shape {matrix.shape}"
        )
    rows, columns = matrix.shape
    return rows, columns


def _data(matrix: Matrix) -> int:
    return matrix.ctypes.data


def _integer(value: int) -> object:
    return ctypes.byref(ctypes.c_int(value))


def _number(value: float) -> object:
    return ctypes.byref(ctypes.c_double(value))

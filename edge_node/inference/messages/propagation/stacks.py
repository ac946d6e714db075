"""Stacks of small matrices: products, inverses and sums over slots, with no loop over the stack.

NumPy's batched products and inverses cost some hundred nanoseconds a matrix, however small. Where
matrices are 1 x 1 they are products and divisions of numbers, a hundred times cheaper; that is the
usual case.
"""

from math import prod

import numpy as np

from edge_node.arrays import Matrix, Vector
from edge_node.inference.messages.propagation.solution import Cause, Mask, PropagationError, Slots

__all__ = [
    "double",
    "inverse",
    "norms",
    "others",
    "positive",
    "proper_inverse",
    "scattered",
    "symmetric",
    "times",
    "transposed",
]

_SINGULAR = 1e-13  # a reciprocal condition number below which an inverse is noise
_ASYMMETRY = 1e-8  # beside a matrix' largest entry: rounding of what it was computed from
_FEW = 64  # slots up to which their square costs less than their memory's stride


def times(A: Matrix, B: Matrix) -> Matrix:
    """A B for stacks A (..., i, j) and B (..., j, k)."""
    product: Matrix = A * B if A.shape[-1] == 1 else A @ B
    return product


def transposed(A: Matrix) -> Matrix:
    """A' for a stack."""
    return A.swapaxes(-1, -2)


def double(owner: object, *names: str) -> None:
    """Makes arrays of a frozen dataclass float64, as sums that are formed in place need them."""
    for name in names:
        object.__setattr__(owner, name, np.asarray(getattr(owner, name), dtype=np.float64))


def symmetric(A: Matrix) -> bool:
    """Whether all of a stack (..., d, d) are, to rounding."""
    if A.shape[-1] == 1:
        return True
    difference, largest = (np.abs(each).max(axis=(-1, -2)) for each in (A - transposed(A), A))
    return bool((difference <= _ASYMMETRY * largest).all())


def positive(blocks: Matrix) -> bool:
    """Whether all blocks (..., d, d) are positive definite."""
    if blocks.shape[-1] == 1:
        return bool((blocks > 0).all())
    try:
        np.linalg.cholesky(blocks)
    except np.linalg.LinAlgError:
        return False
    return True


def norms(x: Matrix) -> Vector:
    """Each column's Euclidean norm (q,), for x (n, d, q). Squares of tiny or huge numbers don't
    underflow or overflow.
    """
    largest = np.abs(x).max(axis=(0, 1), initial=0.0)
    scaled = x / np.where(largest > 0, largest, 1.0)
    return np.asarray(largest * np.sqrt(np.square(scaled).sum(axis=(0, 1))))


def inverse(A: Matrix, what: str) -> Matrix:
    """A^-1 for a stack (..., d, d).

    Raises:
        PropagationError: SINGULAR, and ``what`` it is.
    """
    inverted, proper = proper_inverse(A)
    if not proper.all():
        raise PropagationError(
            Cause.SINGULAR,
            f"the precision of {what} is singular",
            found=f"{np.count_nonzero(~proper)} of {proper.size}",
            remedy="Give each variable a precision of its own, or solve the system directly",
        )
    return inverted


def proper_inverse(A: Matrix) -> tuple[Matrix, Mask]:
    """A^-1 (..., d, d) where A has an inverse and 0 elsewhere; and where it has one, (...)."""
    if A.shape[-1] == 1:
        proper = A[..., 0, 0] != 0
        if proper.all():
            return 1.0 / A, proper
        return np.divide(1.0, A, out=np.zeros(A.shape), where=A != 0), proper
    sizes = np.abs(A).max(axis=(-1, -2))
    with np.errstate(all="ignore"):
        inverted = _inverted(A)
        proper = sizes * np.abs(inverted).max(axis=(-1, -2)) < 1.0 / _SINGULAR
    proper |= ~np.isfinite(sizes)  # not singular: the caller finds it
    return np.where(proper[..., None, None], inverted, 0.0), proper


def _inverted(A: Matrix) -> Matrix:
    """A^-1, not finite where LAPACK finds an exact zero pivot."""
    inverted: Matrix
    try:
        inverted = np.asarray(np.linalg.inv(A), dtype=np.float64)
    except np.linalg.LinAlgError:
        regular = np.linalg.slogdet(A).sign != 0  # a determinant may underflow
        inverted = np.full(A.shape, np.inf)
        inverted[regular] = np.linalg.inv(A[regular])
    return inverted


def others(values: Matrix) -> Matrix:
    """For each slot the sum over the other slots: (F, a, ...) to (F, a, ...).

    A total less one's own would cancel. So numbers of few slots are multiplied by a matrix of ones
    with zeros on its diagonal (the processor's fastest path, several times faster than what
    follows), and others are summed from the left and from the right.
    """
    factors, slots = values.shape[:2]
    if slots == 2:
        return values[:, ::-1]
    if values.size == factors * slots and slots <= _FEW:
        numbers: Matrix = values.reshape(factors, slots) @ (1.0 - np.eye(slots))
        return numbers.reshape(values.shape)
    sums = np.empty_like(values)
    running = np.zeros_like(values[:, 0])
    for slot in range(slots):
        sums[:, slot] = running
        running = running + values[:, slot]
    running = np.zeros_like(running)
    for slot in reversed(range(slots)):
        sums[:, slot] += running
        running += values[:, slot]
    return sums


def scattered(scope: Slots, values: Matrix, size: int) -> Matrix:
    """Sums by variable: values (F, a, ...) at variables ``scope`` (F, a) to (size, ...).

    Slots of variable -1 are left out: their sum is the one too many.
    """
    numbers = values.reshape(scope.size, prod(values.shape[2:]))
    sums = np.zeros((numbers.shape[1], size + 1))
    for column, total in zip(numbers.T, sums, strict=True):
        np.add.at(total, scope.ravel(), column)
    return np.ascontiguousarray(sums[:, :-1].T).reshape(size, *values.shape[2:])

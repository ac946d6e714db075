"""Gradients of kernel functions, from how the kernel changes with a length and an angle.

A kernel of two signals u and v, with p = |u|^2, q = |v|^2 and t the angle between them, has

    grad_u k(p, q, t) = 2 k_p u - (k_t / |u|) e,    e = (v - (u'v / p) u) / (|v| sin t),

k_p at a fixed angle and e the unit vector that leads from u to v. Sums over many v are matrix
products with v / sin t, and u's share is projected out afterwards. Where sin t is small that would
cancel: those pairs are listed, and their e is computed from v - u.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from edge_node.arrays import Matrix
from edge_node.inference.kernels.activations import sine
from edge_node.inference.numerics.distances import NEAR, PAIRS_AT_ONCE, Indices, directions, gaps

__all__ = ["Slopes", "angular_gradient"]

Slopes = Callable[[Matrix, Matrix, Matrix], NDArray[np.float64]]
"""From p (n, 1), q (1, m) and gap (n, m) to k_p and k_t, stacked: (2, n, m)."""

_TINY = 1e-200  # stands for a squared length of zero: ratios of lengths stay finite


def angular_gradient(slopes: Slopes, rows: int, U: Matrix, V: Matrix, W: Matrix) -> Matrix:
    """The gradients of f_c(u_i) = sum_j W[c, i, j] k(u_i, v_j) at each row of U.

    Args:
        slopes: the kernel's.
        rows: how many rows of U to take at a time.
        U: signals (n, k).
        V: signals (m, k).
        W: weights (q, n, m), or (q, 1, m) where they are the same for all rows.

    Returns:
        Shape (q, n, k). In one direction (t = 0) or opposite ones, e is zero.
    """
    (U1, p), (V1, q) = directions(U), directions(V)
    p, q = np.maximum(p, _TINY), np.maximum(q, _TINY)
    W = np.broadcast_to(W, (len(W), len(U), len(V)))
    gradient = np.empty((len(W), len(U), U.shape[1]))
    for start in range(0, len(U), rows):
        piece = slice(start, start + rows)
        u, lengths, weights = U[piece], np.sqrt(p[piece, None]), W[:, piece]
        gap = gaps(U1[piece], V1, out=np.empty((len(u), len(V))))
        by_power, by_angle = slopes(p[piece, None], q[None, :], gap)
        pull = weights * (by_angle / lengths)
        near = np.minimum(gap, 2.0 - gap) < NEAR
        i, j = np.nonzero(near)
        turned = _turned(u, V, i, j, pull[:, i, j].T)
        opposite = sine(np, gap) * np.sqrt(q)
        opposite[near] = np.inf
        turned += (pull / opposite) @ V
        turned -= u * (np.einsum("cik,ik->ci", turned, u) / p[piece])[:, :, None]
        along = np.einsum("cij,ij->ci", weights, by_power)
        gradient[:, piece] = 2.0 * u * along[:, :, None] - turned
    return gradient


def _turned(U: Matrix, V: Matrix, i: Indices, j: Indices, weights: Matrix) -> Matrix:
    """The sum over listed pairs (i, j) of weights (pairs, q) times e: (q, n, k)."""
    total = np.zeros((len(U), weights.shape[1], U.shape[1]))
    step = max(1, PAIRS_AT_ONCE // max(1, total[0].size))
    for start in range(0, len(i), step):
        chosen = slice(start, start + step)
        u = U[i[chosen]]
        apart = V[j[chosen]] - u
        across = apart - u * (np.sum(apart * u, axis=1) / np.sum(u * u, axis=1))[:, None]
        length, size = (np.sqrt(np.sum(np.square(d), axis=1)) for d in (across, apart))
        real = length > 8.0 * np.finfo(float).eps * size  # else rounding alone points anywhere
        e = across * np.where(real, 1.0 / np.where(real, length, 1.0), 0.0)[:, None]
        np.add.at(total, i[chosen], weights[chosen, :, None] * e[:, None, :])
    return total.transpose(1, 0, 2)

"""Whitening a sum over rows instead of every row, without losing digits.

Phi = K L^-T for the block K = k(X, Z), so Phi'Phi = L^-1 (K'K) L^-T: one triangular solve for all
rows, after they are summed. But a kernel's values are mostly what all landmarks have in common.
Summed as they are, they leave rounding of that size in every entry of K'K, and L^-1 magnifies it:
measured, posteriors lose from 3 to 13 digits.

So the few directions in which all landmarks agree are first turned onto coordinates of their own,
by a reflection H = I - W W' (H = H' = H^-1). Each column of K H is then only as large as what it
adds, and so are the entries of the Gram matrix (K H)'(K H) and their errors. With M = L^-1 H,

    Phi'Phi = M (K H)'(K H) M',    Phi'Y = M (K H)'Y.

With some leading eigenvectors of K_ZZ turned, the same posteriors lose 1 to 5 digits. Where that
isn't enough, because landmarks nearly coincide, rows are whitened one by one. A node decides by
itself: what is summed over the federation is the same.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.linalg import lapack, solve_triangular

from edge_node.arrays import Matrix, Vector
from edge_node.inference.numerics.blas import solve_rows, subtract_product
from edge_node.inference.numerics.symmetric import mirror

__all__ = ["Whitening", "reflector", "row_by_row", "whitening"]

_DIRECTIONS = (4, 16)
"""How many directions are turned: the first number that is enough. Turning more costs digits again,
because directions that matter less are known less well; 16 were best for 13 of 16 kernels."""

_SWEEPS = 4  # of subspace iteration: the directions needn't be exact
_FEW = 128  # landmarks that cost little row by row
_LARGEST_MAGNIFICATION = 1e3
"""Posteriors with s2 = 0.01 then agree to 2e-10 (ReLU and GELU, NTK and NNGP, 1 to 20 inputs)."""


class Whitening(Protocol):
    """A way from blocks k(X, Z) to sums over rows of Phi."""

    def turn(self, K: Matrix) -> None:
        """Prepare a block K (n, r) for summing, in place."""
        ...

    def gram(self, turned: Matrix) -> Matrix:
        """Phi'Phi (r, r) from the sum of A'A over prepared blocks A, which is overwritten."""
        ...

    def shift(self, turned: Vector) -> Vector:
        """Phi'Y, (r,) or (r, q), from the sum of A'Y over prepared blocks A."""
        ...


def whitening(cholesky: Matrix) -> Whitening:
    """After the sum where that keeps enough digits, else row by row; L (r, r) factorises K_ZZ."""
    size = len(cholesky)
    if size < _FEW:
        return _RowByRow(cholesky)
    random = np.random.default_rng(0).normal(size=(size, max(_DIRECTIONS)))
    directions = random
    for _ in range(_SWEEPS):
        directions = np.linalg.qr(cholesky @ (cholesky.T @ directions)).Q
    for count in _DIRECTIONS:
        E = directions[:, :count]
        if _magnification(cholesky, E, random) <= _LARGEST_MAGNIFICATION:
            return _AfterTheSum(cholesky, reflector(E))
    return _RowByRow(cholesky)


def row_by_row(cholesky: Matrix) -> Whitening:
    """Before the sum: without the r^3 that whitening a sum costs."""
    return _RowByRow(cholesky)


@dataclass(frozen=True)
class _RowByRow:
    """Blocks of Phi itself.

    Attributes:
        cholesky: L (r, r).
    """

    cholesky: Matrix

    def turn(self, K: Matrix) -> None:
        """Overwrite K (n, r) with Phi."""
        solve_rows(self.cholesky, K)

    def gram(self, turned: Matrix) -> Matrix:
        """The sum as it is."""
        return turned

    def shift(self, turned: Vector) -> Vector:
        """The sum as it is."""
        return turned


@dataclass(frozen=True)
class _AfterTheSum:
    """Blocks K H.

    Attributes:
        cholesky: L (r, r).
        reflector: W (r, t), t < r.
    """

    cholesky: Matrix
    reflector: Matrix

    def turn(self, K: Matrix) -> None:
        """Overwrite K (n, r) with K H."""
        subtract_product(K @ self.reflector, self.reflector, K)

    def gram(self, turned: Matrix) -> Matrix:
        """Phi'Phi (r, r), symmetric, from (K H)'(K H) (r, r).

        What is large stays apart: with G in blocks and M1 = L^-1 H1 the turned directions' part,
        Phi'Phi = L^-1 H2 G22 H2' L^-T + X M1' + M1 X', where X = L^-1 H2 G21 + M1 G11 / 2.
        """
        W, t = self.reflector, self.reflector.shape[1]
        M1, G11, cross = self._leading(), turned[:t, :t].copy(), turned[:, :t].copy()
        rest = turned  # in place from here: matrices are large
        rest[:t], rest[:, :t], cross[:t] = 0.0, 0.0, 0.0
        self.turn(rest)
        subtract_product(W, (W.T @ rest).T, rest)
        upper, _ = lapack.dsygst(rest.T, self.cholesky, lower=1, overwrite_a=1)
        X = self._solve(self._reflect(cross)) + 0.5 * M1 @ G11
        total = upper.T
        subtract_product(-X, M1, total)
        subtract_product(-M1, X, total)
        return mirror(total.T).T

    def shift(self, turned: Vector) -> Vector:
        """Phi'Y, (r,) or (r, q), from (K H)'Y."""
        t = self.reflector.shape[1]
        rest = turned.copy()
        rest[:t] = 0.0
        return self._solve(self._reflect(rest)) + self._leading() @ turned[:t]

    def _leading(self) -> Matrix:
        """M1 (r, t) = L^-1 H1."""
        size, t = self.reflector.shape
        return self._solve(self._reflect(np.eye(size, t)))

    def _reflect(self, columns: Matrix) -> Matrix:
        """H times some columns (r, ...)."""
        reflected: Matrix = columns - self.reflector @ (self.reflector.T @ columns)
        return reflected

    def _solve(self, columns: Matrix) -> Matrix:
        """L^-1 times some columns (r, ...)."""
        solved: Matrix = solve_triangular(self.cholesky, columns, lower=True, check_finite=False)
        return solved


def reflector(E: Matrix) -> Matrix:
    """W (r, t) with (I - W W') E = -[S; 0], for orthonormal E (r, t) and some orthogonal S (t, t).

    With E1 = S P the first rows' polar decomposition and V = E + [S; 0], V'V = 2 (I + P), so that
    I - V (I + P)^-1 V' is the reflection at V's orthogonal complement.
    """
    t = E.shape[1]
    U, values, Vt = np.linalg.svd(E[:t])
    V = E.copy()
    V[:t] += U @ Vt
    P = (Vt.T * values) @ Vt
    root = np.linalg.cholesky(np.eye(t) + P)
    W: Matrix = solve_triangular(root, V.T, lower=True).T
    return np.ascontiguousarray(W)


def _magnification(L: Matrix, E: Matrix, random: Matrix) -> float:
    """How much larger whitening makes an entry's rounding, estimated with ``random`` vectors.

    The size of an entry of K_ZZ without the directions E, times tr K_ZZ^-1.
    """
    size, probes = random.shape
    rest = random - E @ (E.T @ random)
    rest = L @ (L.T @ rest)
    rest -= E @ (E.T @ rest)
    entry = np.linalg.norm(rest) / np.sqrt(probes) / size
    inverse = solve_triangular(L, random, lower=True, check_finite=False)
    return float(entry * np.square(inverse).sum() / probes)

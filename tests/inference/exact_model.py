"""The dense model of a few rows in 60 digits: from floats, which are exact, to the answers."""

from dataclasses import dataclass
from decimal import Decimal, localcontext

import numpy as np

from edge_node.arrays import Matrix, Vector

__all__ = [
    "DIGITS", "Conditioned", "cholesky", "condition", "covariance", "decimals", "log_determinant",
    "solve",
]  # fmt: skip

DIGITS = 60
PI = Decimal("3.14159265358979323846264338327950288419716939937510582097494459")
Column = list[Decimal]


def decimals(matrix: Matrix) -> np.ndarray:
    """The same numbers, exactly."""
    return np.vectorize(Decimal, otypes=[object])(np.asarray(matrix, dtype=np.float64))


def cholesky(C: np.ndarray) -> np.ndarray:
    """L lower with L L' = C."""
    L = np.full(C.shape, Decimal(0), dtype=object)
    for j in range(len(C)):
        L[j, j] = (C[j, j] - L[j, :j] @ L[j, :j]).sqrt() if j else C[j, j].sqrt()
        for i in range(j + 1, len(C)):
            L[i, j] = (C[i, j] - (L[i, :j] @ L[j, :j] if j else 0)) / L[j, j]
    return L


def solve(L: np.ndarray, B: np.ndarray) -> np.ndarray:
    """L^-1 B."""
    W = B.copy()
    for i in range(len(L)):
        W[i] = (W[i] - (L[i, :i] @ W[:i] if i else 0)) / L[i, i]
    return W


def log_determinant(L: np.ndarray) -> Decimal:
    """log|L L'|."""
    return 2 * sum(entry.ln() for entry in np.diag(L))


@dataclass(frozen=True)
class Conditioned:
    """What is known of y ~ N(0, a C), and of f at other inputs.

    Attributes:
        amplitude: a = y'C^-1 y / n, the best.
        log_evidence: log N(y; 0, a C).
        mean: of f, (m,).
        variance: of f over a, (m,).
    """

    amplitude: float
    log_evidence: float
    mean: Vector
    variance: Vector


def covariance(Phi: Matrix, residual: Matrix, noise: float) -> np.ndarray:
    """C = Phi Phi' + residual + noise I (n, n)."""
    with localcontext(prec=DIGITS):
        F = decimals(Phi)
        C = F @ F.T + decimals(residual)
        C[np.diag_indices(len(F))] += Decimal(noise)
        return C


def condition(C: np.ndarray, y: Vector, cross: Matrix, prior: Vector) -> Conditioned:
    """Condition y ~ N(0, a C) and f on y.

    Args:
        C: (n, n).
        y: targets (n,).
        cross: (n, m), the covariance of y with f at other inputs, over a.
        prior: (m,), that of f.
    """
    with localcontext(prec=DIGITS):
        n, L = len(y), cholesky(C)
        white = solve(L, decimals(np.column_stack([y, cross])))
        target, inputs = white[:, 0], white[:, 1:]
        amplitude = target @ target / n
        log_evidence = -(n * ((2 * PI * amplitude).ln() + 1) + log_determinant(L)) / 2
        mean = inputs.T @ target
        variance = decimals(prior) - (inputs * inputs).sum(axis=0)
        return Conditioned(
            float(amplitude),
            float(log_evidence),
            mean.astype(np.float64),
            variance.astype(np.float64),
        )

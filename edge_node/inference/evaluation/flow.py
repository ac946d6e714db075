"""Predictions after a finite training time, and when to stop.

A network of infinite width, trained by gradient descent in infinitesimal steps, is a linear model
in its kernel's features (Jacot et al. 2018; Lee et al. 2019). From zero, under the posterior's
likelihood with its prior left out,

    du/dt = eta - Lambda u,     u(0) = 0,
    f_t(x) = phi(x)' V diag((1 - exp(-t w)) / w) V' eta,        Lambda = V diag(w) V',

where Lambda = Phi'R^-1 Phi and eta = Phi'R^-1 y are the federation's message, which the posterior
still holds: it has I + Lambda, and eta = (I + Lambda) mu. So any node has f_t for every t, from one
eigendecomposition and with no traffic.

Time has no unit: it is in steps of R^-1, where the noise is one. (For flow on squared errors that
aren't divided by the noise, multiply t by s2.) Its meaning is by comparison with the prior, under
which 1 / (w + 1) stands in place of (1 - exp(-t w)) / w. At t = 1 no direction is fitted less than
by the posterior's mean, nor more than 1.3 times as much; t is a prior of variance about t (Ali,
Kolter & Tibshirani 2019). For t to infinity f_t is least squares without regularisation.

No evidence can choose t. The prior under which f_t would be a posterior mean has the variance
(exp(t w) - 1) / w along V. It depends on the rows, so its marginal likelihood compares nothing. And
with a prior that doesn't, the evidence has already chosen: s2, and t = 1. So ``best_time`` looks at
rows that were held out: sums again, one number for each t.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from edge_node.arrays import Matrix, Rows, Vector
from edge_node.errors import DataError, NumericalError
from edge_node.inference.features.nystrom import Features
from edge_node.inference.numerics.streaming import blocks
from edge_node.inference.regression.posterior import Posterior

__all__ = ["TIMES", "GradientFlow", "best_time", "choose_time", "local_scores"]

TIMES: tuple[float, ...] = tuple(np.geomspace(1e-4, 1e4, 33).tolist())
"""Where to look for the best time: four a decade, around that of the posterior's mean."""


@dataclass(frozen=True)
class GradientFlow:
    """A linear model's weights u(t) at any training time t.

    Attributes:
        features: phi, r of them.
        eigenvalues: w (r,), positive: those lost in rounding are raised to its level.
        vectors: V (r, r), in columns.
        projections: V'eta (r,); zero where it is lost in rounding.
    """

    features: Features
    eigenvalues: Vector
    vectors: Matrix
    projections: Vector

    @classmethod
    def of(cls, posterior: Posterior) -> Self:
        """The flow towards the rows that a posterior was learnt from."""
        precision = posterior.factor @ posterior.factor.T  # I + Lambda
        eigenvalues, V = np.linalg.eigh(precision)
        rounding = len(precision) * np.finfo(np.float64).eps * eigenvalues[-1]
        projections = V.T @ (precision @ posterior.mean)
        projections[np.abs(projections) < rounding * np.linalg.norm(posterior.mean)] = 0.0
        return cls(posterior.features, np.maximum(eigenvalues - 1.0, rounding), V, projections)

    def weights(self, t: float) -> Vector:
        """u(t) (r,). Raises DataError unless t >= 0; it may be infinite."""
        if not t >= 0:
            raise DataError("not a training time", where="t", expected="t >= 0", found=str(t))
        learnt: Vector = -np.expm1(-t * self.eigenvalues) / self.eigenvalues
        return self.vectors @ (learnt * self.projections)

    def predict(self, X: Matrix, t: float) -> Vector:
        """f_t (n,) at X (n, d), in standardised units. Raises DataError unless t >= 0."""
        u, mean = self.weights(t), np.empty(len(X))
        done = 0
        for part, _ in blocks([(X, mean)]):
            mean[done : done + len(part)] = self.features(part) @ u
            done += len(part)
        return mean


def local_scores(rows: Rows, flow: GradientFlow, times: Sequence[float] = TIMES) -> Vector:
    """A node's part of the choice: n, then the sum of (y - f_t(x))^2 for each t of ``times``.

    Args:
        rows: chunks (X (n, d), y (n,)) that the posterior was *not* learnt from.
        flow: the flow.
        times: the times to compare.

    Returns:
        A vector (1 + len(times),) that ``network.sum`` adds.
    """
    U = np.column_stack([flow.weights(t) for t in times])
    scores = np.zeros(1 + len(times))
    for X, y in blocks(rows):
        errors = y[:, None] - flow.features(X) @ U
        scores += np.concatenate([[len(y)], np.square(errors).sum(axis=0)])
    return scores


def choose_time(total: Vector, times: Sequence[float] = TIMES) -> float:
    """The time with the least error, from the sum of all nodes' ``local_scores``.

    Among times whose errors differ by rounding only, as they do when all is learnt, the first.

    Raises:
        NumericalError: no rows were held out, or the scores are not those of ``times``.
    """
    if np.shape(total) != (1 + len(times),) or not (np.isfinite(total).all() and total[0] > 0):
        raise NumericalError(
            "the training time can't be chosen",
            where="held-out scores",
            expected=f"at least one row, and {len(times)} finite sums",
            found=f"shape {np.shape(total)}, {total[0]:g} rows" if np.size(total) else "nothing",
            remedy="Hold out some rows at some node",
        )
    errors = total[1:]
    return times[int(np.argmax(errors <= errors.min() * (1 + 1e-9)))]


def best_time(rows: Rows, flow: GradientFlow) -> float:
    """The time of ``TIMES`` that predicts held-out ``rows`` best.

    Raises:
        NumericalError: there are no rows.
    """
    return choose_time(local_scores(rows, flow))

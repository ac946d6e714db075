"""Variational Gaussian-process classification of a few rows, with their whole covariance.

The contrasts g_j (j = 1 .. q) of n rows are independent a priori, g_j ~ N(m_j, C_j), and meet in
the softmax likelihood. The posterior is approximated by Gaussians that are independent, too. At the
best of them (Opper & Archambeau 2009) each is what a regression's would be, in which each row has a
target and a noise of its own, a Gaussian factor instead of its likelihood:

    precision  C_j^-1 + D_j,     D_j = diag of the rows' E [Q' (diag p - p p') Q]_jj,
    mean       where C_j^-1 (g_j - m_j) = E [Q' (onehot(y) - p)]_j.

We iterate the two, which is a step along the natural gradient (Khan & Lin 2017), and go half as far
after a step that lowers the bound. With B_j = I + D_j^1/2 C_j D_j^1/2 = L L' and
alpha_j = D_j^1/2 B_j^-1 D_j^1/2 (targets - m_j), predictions are those of regression (Rasmussen &
Williams 2006, section 3.4): m(x) + c(x)'alpha_j and c(x, x) - |L^-1 D_j^1/2 c(x)|^2.
"""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from scipy.linalg import cho_solve, lapack, solve_triangular

from edge_node.arrays import Matrix, Vector
from edge_node.inference.classification.classes import contrast, one_hot
from edge_node.inference.classification.likelihood import Expectations, average, pairs
from edge_node.inference.messages.gaussian import cholesky
from edge_node.inference.numerics.distances import Indices

__all__ = ["DensePosterior", "Labels", "Marginals", "Prior", "Sites", "fit"]

_MOST_STEPS = 25
_LEAST_SHARE = 1 / 32  # of the way to the next factors
_TOLERANCE = 1e-3  # nats a row; a smaller gain is the last
_LEAST_CURVATURE = 1e-7
"""Of a row, in units of its variance's inverse: a sure row's target is far, and cancels."""


@dataclass(frozen=True)
class Prior:
    """N(mean_j, covariance_j) of the contrasts of n rows, each by itself.

    Attributes:
        mean: (n, q).
        covariances: q of (n, n).
    """

    mean: Matrix
    covariances: tuple[Matrix, ...]

    @property
    def marginals(self) -> "Marginals":
        """The contrasts, where no row says anything."""
        return Marginals(self.mean, np.column_stack([np.diag(C) for C in self.covariances]))

    def of_rows(self, rows: Indices) -> Self:
        """Of some of the rows."""
        return type(self)(self.mean[rows], tuple(C[np.ix_(rows, rows)] for C in self.covariances))

    def given(
        self, rows: Indices, sites: "Sites", posterior: "DensePosterior", at: Indices
    ) -> "Marginals":
        """The contrasts of other rows, given the factors of some.

        Args:
            rows: the positions of those that have factors.
            sites: the factors.
            posterior: what they make of the prior of ``rows``.
            at: the positions of the others.
        """
        mean, variance = self.mean[at].copy(), np.empty((len(at), self.mean.shape[1]))
        for j, C in enumerate(self.covariances):
            across = C[np.ix_(rows, at)]
            D = sites.precision[:, j]
            factor = scaled_factor(C[np.ix_(rows, rows)], D)
            explained = np.square(whiten(factor, np.sqrt(D)[:, None] * across)).sum(axis=0)
            mean[:, j] += across.T @ posterior.weights[:, j]
            variance[:, j] = np.diag(C)[at] - explained
        return Marginals(mean, np.maximum(variance, 0.0))


@dataclass(frozen=True)
class Marginals:
    """Mean (n, q) and variance (n, q) of the contrasts of n rows."""

    mean: Matrix
    variance: Matrix

    def of_rows(self, rows: Indices) -> Self:
        """Of some of the rows."""
        return type(self)(self.mean[rows], self.variance[rows])


@dataclass(frozen=True)
class Sites:
    """The rows' likelihood as Gaussian factors, exp(shift g - precision g^2 / 2) each.

    Attributes:
        shift: (n, q).
        precision: D (n, q), positive.
    """

    shift: Matrix
    precision: Matrix

    def of_rows(self, rows: Indices) -> Self:
        """Of some of the rows."""
        return type(self)(self.shift[rows], self.precision[rows])

    def towards(self, other: Self, share: float) -> Self:
        """Part of the way to others."""
        return type(self)(
            self.shift + share * (other.shift - self.shift),
            self.precision + share * (other.precision - self.precision),
        )


@dataclass(frozen=True)
class Labels:
    """The softmax likelihood of rows, in a basis of the contrasts' space.

    Attributes:
        offsets: fixed means of the logits (C,).
        basis: R (q, q), orthonormal: contrasts are R times the coordinates used here.
        targets: one-hot labels (n, C).
    """

    offsets: Vector
    basis: Matrix
    targets: Matrix

    @classmethod
    def of(cls, y: Vector, offsets: Vector, basis: Matrix) -> Self:
        """Of class indices y (n,)."""
        return cls(offsets, basis, one_hot(y, len(offsets)))

    def of_rows(self, rows: Indices) -> Self:
        """Of some of the rows."""
        return replace(self, targets=self.targets[rows])

    def averages(self, marginals: Marginals) -> Expectations:
        """The likelihood's averages, of as many rows as ``marginals`` has."""
        R = self.basis
        covariance = (R * marginals.variance[:, None, :]) @ R.T
        return average(self.offsets, marginals.mean @ R.T, covariance)

    def log_likelihood(self, expected: Expectations) -> float:
        """Sum of E log p_y, nats."""
        return float(np.vdot(self.targets, expected.log_probabilities))

    def gradient(self, expected: Expectations) -> Matrix:
        """E [Q' (onehot(y) - p)] (n, q)."""
        gradient = (self.targets - expected.probabilities) @ contrast(len(self.offsets))
        return gradient @ self.basis

    def sites(self, expected: Expectations, marginals: Marginals) -> Sites:
        """The factors that the rows' likelihood is like, around ``marginals``."""
        j, k = np.array(pairs(len(self.basis))).T
        weights = np.where(j == k, 1.0, 2.0)[:, None] * self.basis[j] * self.basis[k]
        precision = expected.curvature @ weights
        precision = np.maximum(precision, _LEAST_CURVATURE / marginals.variance)
        return Sites(precision * marginals.mean + self.gradient(expected), precision)

    def scores(self, marginals: Marginals) -> Vector:
        """Log E p_y of each row (n,), nats."""
        probabilities = (self.targets * self.averages(marginals).probabilities).sum(axis=1)
        scores: Vector = np.log(np.maximum(probabilities, np.finfo(float).tiny))
        return scores


@dataclass(frozen=True)
class DensePosterior:
    """What the rows' factors make of a prior.

    Attributes:
        marginals: of the rows.
        weights: alpha (n, q).
        divergence: from the prior, nats.
    """

    marginals: Marginals
    weights: Matrix
    divergence: float

    @classmethod
    def of(cls, prior: Prior, sites: Sites) -> Self:
        """Multiply prior and factors."""
        found = [
            _contrast(C, sites.shift[:, j] - sites.precision[:, j] * prior.mean[:, j], D)
            for j, (C, D) in enumerate(zip(prior.covariances, sites.precision.T, strict=True))
        ]
        moves, variances, weights, divergences = zip(*found, strict=True)
        mean = prior.mean + np.column_stack(moves)
        marginals = Marginals(mean, np.column_stack(variances))
        return cls(marginals, np.column_stack(weights), float(sum(divergences)))


def _contrast(C: Matrix, shift: Vector, D: Vector) -> tuple[Vector, Vector, Vector, float]:
    """Of one contrast: how far the mean moves, variances, alpha and the divergence.

    ``shift`` is D times (targets - prior mean).
    """
    factor, root = scaled_factor(C, D), np.sqrt(D)
    inverse, failed = lapack.dpotri(factor, lower=1)  # of B; its lower triangle
    assert not failed  # noqa: S101 - no eigenvalue of B is less than one
    alpha = root * cho_solve((factor, True), shift / root, check_finite=False)
    move = C @ alpha
    variance = np.maximum((1.0 - np.diag(inverse)) / D, np.finfo(float).tiny)
    volume = 2.0 * float(np.log(np.diag(factor)).sum())
    divergence = 0.5 * (float(alpha @ move) + volume - float(D @ variance))
    return move, variance, alpha, divergence


def scaled_factor(C: Matrix, D: Vector) -> Matrix:
    """L (n, n) lower, L L' = I + D^1/2 C D^1/2."""
    root = np.sqrt(D)
    B = C * root * root[:, None]
    B[np.diag_indices(len(D))] += 1.0
    return cholesky(B, what="a block's scaled covariance")


def fit(prior: Prior, labels: Labels, start: Marginals) -> tuple[Sites, DensePosterior]:
    """The rows' factors, and the posterior that they make.

    Args:
        prior: of the rows' contrasts.
        labels: the likelihood.
        start: where the likelihood is looked at first.
    """
    kept, bound, share = None, -np.inf, 1.0
    sites = target = labels.sites(labels.averages(start), start)
    for _ in range(_MOST_STEPS):
        posterior = DensePosterior.of(prior, sites)
        expected = labels.averages(posterior.marginals)
        value = labels.log_likelihood(expected) - posterior.divergence
        gain, least = value - bound, _TOLERANCE * len(start.mean)
        if kept is None or gain > 0.0:
            kept, bound = (sites, posterior), value
            target = labels.sites(expected, posterior.marginals)
        else:
            share /= 2.0
        if abs(gain) < least or share < _LEAST_SHARE:
            break
        sites = kept[0].towards(target, share)
    assert kept is not None  # noqa: S101 - the first trial is always kept
    return kept


def whiten(factor: Matrix, columns: Matrix) -> Matrix:
    """L^-1 columns."""
    white: Matrix = solve_triangular(factor, columns, lower=True, check_finite=False)
    return white

"""A variational posterior by quasi-Newton steps, one small sum over rows a step.

Model: latent functions g(x) are Gaussian processes with variance a k(x, x):
g(x) = U'phi(x) + a residual of variance a (k(x, x) - phi'phi), U ~ N(0, a I). For classes they are
contrasts of the logits (q = C - 1, ``classes.contrast``), p = softmax(offsets + Q g); other
likelihoods have one, and parameters theta (`inference.likelihoods`). The posterior of U is
approximated by a Gaussian q(U), and

    F = sum over rows of E_q log p(y | g, theta)  -  KL(q(U) || N(0, a I))   <=   log p(y)

(Hensman, Matthews & Ghahramani 2015), whatever q is. It is the counterpart of regression's
collapsed bound: what landmarks don't cover costs evidence. F of the approximation that is kept has
been summed, so it is a bound and no estimate of one.

We search among the Gaussians of precision W (x) G + I / a (`approximation`): the mean U by BFGS
from the gradients (`secants`), with W (x) G as what is believed before any step; W by its fixed
point, the rows' mean curvature; and the amplitude a by what the quadratic model at hand says of F,

    1/2 eta' (B + I/a)^-1 eta - 1/2 log|I + a W (x) G| - a u,   eta = B vec U + the gradient,

with u the expansion's ``uncovered`` (cf. Adam, Chang, Khan & Solin 2021). A full curvature, as
natural-gradient steps take it (Khan & Lin 2017), tells r / 2 times as many numbers a step for two
classes, and its posteriors predict no better: docs/model.md,
`tests/inference/classification/test_variational.py`.

Theta moves with U, by the same quasi-Newton steps: what is believed of its curvature before any is
what the first sweep has summed of it, and its prior is flat. The first step moves theta alone. How
its gradient falls together with that of U then shows how far both explain the same: a kernel with a
bias knows a constant function, too. No step moves a parameter by more than two, and
the amplitude changes by a factor of four at most.

The start of a classifier is label regression, read as logits: its mean divided by w, its covariance
by w kappa. Kappa is what regression leaves unexplained of the labels (its noise variance), and w is
the geometric mean of kappa and the curvature at the class proportions. It needs no sum of its own.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import Self

import numpy as np

from edge_node.arrays import Matrix, Vector
from edge_node.errors import NumericalError
from edge_node.inference.classification.approximation import Approximation
from edge_node.inference.classification.expansion import Expansion
from edge_node.inference.classification.expected import NO_PARAMETERS, pairs
from edge_node.inference.classification.likelihood import softmax_curvature
from edge_node.inference.messages.evidence import Evidence, maximum
from edge_node.inference.messages.statistics import Statistics
from edge_node.inference.numerics.eigenbasis import Eigenbasis
from edge_node.inference.numerics.secants import SecantCurvature

__all__ = ["SweepChoice", "VariationalState", "amplitudes_of", "from_label_regression"]

AMPLITUDE_RANGE = (1e-4, 1e4)
"""Prior variances of a contrast considered; the ceiling (100 logits) is for separable data."""

BOUND_TOLERANCE = (0.1, 1e-4)
"""Nats, and nats a row, whichever is more. A sweep that changes F by less is the last."""

_LONGEST = 2.0
"""No step moves a parameter by more."""

_LONGEST_FACTOR = 4.0
"""Where there are parameters, no step changes the amplitude by a larger factor: the quadratic model
hardly knows how they and U explain the same."""

_LEAST_BEND = 1e-3
"""The least curvature in a parameter that is believed; where the rows say nothing, it rests."""


@dataclass(frozen=True)
class SweepChoice:
    """What the root decides from one sweep, for all nodes.

    Attributes:
        accepted: the approximation that was swept is kept.
        converged: there is no further sweep.
        bound: F of the approximation kept, nats.
        amplitude: a of the next approximation.
    """

    accepted: bool
    converged: bool
    bound: float
    amplitude: float

    def pack(self) -> Vector:
        """As four numbers."""
        flags = [float(self.accepted), float(self.converged)]
        return np.array([*flags, self.bound, self.amplitude])

    @classmethod
    def unpack(cls, vector: Vector) -> Self:
        """The inverse of ``pack``. Raises NumericalError."""
        if np.shape(vector) != (4,):
            raise NumericalError("a choice has four numbers", found=str(np.shape(vector)))
        accepted, converged, *numbers = np.asarray(vector).tolist()
        return cls(bool(accepted), bool(converged), *numbers)


def from_label_regression(
    statistics: Statistics, evidence: Evidence, offsets: Vector
) -> Approximation:
    """Label regression's posterior, read as one of logits: the start, without a sweep.

    Args:
        statistics: the federation's, on ``classes.LabelRows``.
        evidence: their noise s2 and amplitude.
        offsets: fixed means of the logits (C,).
    """
    own = [j == k for j, k in pairs(statistics.outputs)]
    proportional = float(softmax_curvature(np.exp(offsets)[None])[0, own].mean())
    w = np.sqrt(proportional * min(proportional, evidence.noise_variance))
    gram = Eigenbasis.of(statistics.message.precision)
    lower, upper = amplitudes_of(statistics)
    amplitude = float(np.clip(1.0 / (w * evidence.noise), lower, upper))
    shrinkage = w * gram.values + 1.0 / amplitude
    mean = gram.vectors @ ((gram.vectors.T @ statistics.message.shift) / shrinkage[:, None])
    return Approximation(mean, w * np.eye(statistics.outputs), gram, amplitude)


def amplitudes_of(statistics: Statistics) -> tuple[float, float]:
    """The least and largest amplitude of latent functions."""
    scale = statistics.prior_power / statistics.count
    return AMPLITUDE_RANGE[0] / scale, AMPLITUDE_RANGE[1] / scale


@dataclass(frozen=True)
class VariationalState:
    """How far the iteration is: sweep at ``trial``, ``choose`` at the root, ``advance`` everywhere.

    Attributes:
        trial: the approximation to be swept next.
        kept: the best approximation so far.
        bound: its F, nats; -inf before the first sweep.
        amplitudes: the least and largest a.
        around: what was summed at ``kept``; None before the first sweep.
        path: what was swept, and what was summed there.
        losses: how many sweeps since ``kept`` have lost.
        converged: ``kept`` is the result. (Before that, too, ``bound`` is a valid bound of it.)
        limits: the least and the greatest theta (h,) each.
    """

    trial: Approximation
    kept: Approximation
    bound: float
    amplitudes: tuple[float, float]
    around: Expansion | None = None
    path: tuple[tuple[Approximation, Expansion], ...] = ()
    losses: int = 0
    converged: bool = False
    limits: tuple[Vector, Vector] = (NO_PARAMETERS, NO_PARAMETERS)

    @classmethod
    def start(cls, statistics: Statistics, evidence: Evidence, offsets: Vector) -> Self:
        """Before a classifier's first sweep, which is at ``from_label_regression``."""
        first = from_label_regression(statistics, evidence, offsets)
        return cls(first, first, -np.inf, amplitudes_of(statistics))

    def choose(self, expansion: Expansion) -> SweepChoice:
        """What to do with the federation's ``expansion`` at ``trial``: the root's part."""
        bound = expansion.log_likelihood - self.trial.divergence
        comparable = self.around is not None and self.around.count == expansion.count
        accepted = not comparable or bound > self.bound
        least, a_row = BOUND_TOLERANCE
        small = abs(bound - self.bound) < max(least, a_row * expansion.count)
        converged = comparable and small and not self._moves_theta_alone
        after = self._after(expansion, accepted)
        rests = converged or after._moves_theta_alone
        amplitude = after.kept.amplitude if rests else after._next_amplitude()
        return SweepChoice(accepted, converged, bound if accepted else self.bound, amplitude)

    def advance(self, expansion: Expansion, choice: SweepChoice) -> Self:
        """The next state. After losses, the next trial is nearer to the approximation kept."""
        after = replace(
            self._after(expansion, choice.accepted), bound=choice.bound, converged=choice.converged
        )
        return after if choice.converged else after._proposed(choice.amplitude)

    def _after(self, expansion: Expansion, accepted: bool) -> Self:
        """With the sweep at ``trial`` taken in. A node's loss ends what earlier sweeps say."""
        lost = self.around is not None and self.around.count != expansion.count
        path = (*(() if lost else self.path), (self.trial, expansion))
        if not accepted:
            return replace(self, path=path, losses=self.losses + 1)
        return replace(self, path=path, losses=0, kept=self.trial, around=expansion)

    @property
    def _moves_theta_alone(self) -> bool:
        """Whether the sweep after those of the path is one that only theta has moved for."""
        return len(self.path) == 1 and len(self.kept.parameters) > 0

    @property
    def _reach(self) -> float:
        """How far to go of the way that the model at hand asks for."""
        return 0.5**self.losses

    @cached_property
    def _model(self) -> "_Model":
        """F as a quadratic function of the mean, around ``kept``."""
        assert self.around is not None  # noqa: S101 - there is a sweep before any proposal
        W = self.kept.curvature + self._reach * (self.around.curvature - self.kept.curvature)
        return _Model.of(self.kept, W, self.around, self.path)

    def _next_amplitude(self) -> float:
        best, now = self._model.best_amplitude(*self.amplitudes), self.kept.amplitude
        if len(self.kept.parameters):
            best = float(np.clip(best, now / _LONGEST_FACTOR, now * _LONGEST_FACTOR))
        return float(now * (best / now) ** self._reach)

    def _proposed(self, amplitude: float) -> Self:
        kept = self.kept
        mean, parameters = self._model.best(amplitude)
        step, turn = mean - kept.mean, parameters - kept.parameters
        reach = self._reach * min(1.0, _LONGEST / np.abs(turn).max(initial=_LONGEST))
        if self._moves_theta_alone:
            step = np.zeros_like(step)
        return replace(
            self,
            trial=Approximation(
                kept.mean + reach * step,
                self._model.curvature,
                kept.gram,
                amplitude,
                np.clip(kept.parameters + reach * turn, *self.limits),
            ),
        )


@dataclass(frozen=True)
class _Model:
    """A quadratic model of F; vectors are coordinates in the eigenbases of G and W, and of what
    was summed of theta's curvature.

    Attributes:
        curvature: W (q, q).
        basis: V, R and T, the eigenvectors of G, of W, and of theta's curvature.
        secants: B, the curvature of the likelihood.
        shift: eta = B (vec U, theta) + the gradient, at the approximation kept.
        uncovered: u.
    """

    curvature: Matrix
    basis: tuple[Matrix, Matrix, Matrix]
    secants: SecantCurvature
    shift: Vector
    uncovered: float

    @classmethod
    def of(
        cls,
        kept: Approximation,
        W: Matrix,
        around: Expansion,
        path: tuple[tuple[Approximation, Expansion], ...],
    ) -> Self:
        contrasts = Eigenbasis.of(W)
        bends, T = np.linalg.eigh(around.bends)
        V, R = kept.gram.vectors, contrasts.vectors

        def turned(matrix: Matrix, parameters: Vector) -> Vector:
            return np.concatenate([(V.T @ matrix @ R).ravel(), parameters @ T])

        weights = np.outer(kept.gram.values, contrasts.values).ravel()
        secants = SecantCurvature.of(np.append(weights, np.maximum(np.abs(bends), _LEAST_BEND)))
        for (here, there), (later, beyond) in pairwise(path):
            step = turned(later.mean - here.mean, later.parameters - here.parameters)
            fall = turned(there.gradient - beyond.gradient, there.slopes - beyond.slopes)
            secants = secants.after(step, fall)
        shift = secants @ turned(kept.mean, kept.parameters)
        shift += turned(around.gradient, around.slopes)
        return cls(W, (V, R, T), secants, shift, around.uncovered)

    def best(self, a: float) -> tuple[Matrix, Vector]:
        """The U (r, q) and the theta (h,) at which F is greatest, for the amplitude a."""
        V, R, T = self.basis
        found, size = self._solution(a), len(V) * len(R)
        return V @ found[:size].reshape(len(V), len(R)) @ R.T, T @ found[size:]

    def _solution(self, a: float) -> Vector:
        """The same, as coordinates: the prior of theta is flat."""
        ridge = np.zeros(len(self.shift))
        ridge[: len(ridge) - len(self.basis[2])] = 1.0 / a
        return self.secants.solve(self.shift, ridge)

    def best_amplitude(self, lower: float, upper: float) -> float:
        """The a, in a range, at which F is greatest."""
        size = len(self.shift) - len(self.basis[2])
        volumes, cost = self.secants.diagonal[:size], self.uncovered

        def value(a: float) -> float:
            fit = self.shift @ self._solution(a)
            return float(0.5 * (fit - np.log1p(a * volumes).sum()) - a * cost)

        def slope(a: float) -> float:  # in the logarithm of a
            mean = self._solution(a)[:size]
            volume = (a * volumes / (1.0 + a * volumes)).sum()
            return float(0.5 * (mean @ mean / a - volume) - a * cost)

        return maximum(value, slope, lower, upper)

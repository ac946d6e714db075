"""Classification: a variational posterior by natural-gradient steps, one sum over all rows a step.

Model: contrasts g(x) of the logits (q = C - 1, ``classes.contrast``) are Gaussian processes with
variance a k(x, x): g(x) = U'phi(x) + a residual of variance a (k(x, x) - phi'phi), U ~ N(0, a I),
p = softmax(offsets + Q g). The posterior of U is approximated by the Gaussian q(U) that maximises

    F = sum over rows of E_q log p(y | g)  -  KL(q(U) || N(0, a I))   <=   log p(y)

(Hensman, Matthews & Ghahramani 2015). It is the counterpart of regression's collapsed bound: what
landmarks don't cover costs evidence. A natural-gradient step of length one multiplies the prior by
the Gaussian message of ``expansion`` (Khan & Lin 2017). It costs what Newton's method for Laplace's
approximation costs, and calibrates better: Laplace's mode lies nearer zero than the posterior's
mean, so its averaged probabilities are too timid, and far too timid where classes separate well.

The amplitude is chosen on the way, at no cost: with messages fixed, F depends on it as

    1/2 eta' (H + I/a)^-1 eta - 1/2 log|I + a H| - a u,    u = the expansion's ``uncovered``

(Adam, Chang, Khan & Solin 2021), from one eigendecomposition of H.
"""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from edge_node.arrays import Vector
from edge_node.errors import NumericalError
from edge_node.inference.classification.approximation import Approximation
from edge_node.inference.classification.expansion import Expansion
from edge_node.inference.messages.evidence import maximum
from edge_node.inference.messages.gaussian import Gaussian

__all__ = ["SweepChoice", "VariationalState"]

AMPLITUDE_RANGE = (1e-4, 1e4)
"""Prior variances of a contrast considered; the ceiling (100 logits) is for separable data."""

BOUND_TOLERANCE = 0.1
"""Nats. A sweep that gains less is the last; one that loses more goes back halfway."""

LONGEST_LEAP = 4.0
"""The factor by which one sweep may change a: a sweep's messages are good near its own a only."""


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


@dataclass(frozen=True)
class VariationalState:
    """How far the iteration is: sweep at ``trial``, ``choose`` at the root, ``advance`` everywhere.

    Attributes:
        trial: the approximation to be swept next.
        kept: the best approximation so far.
        bound: its F, nats; -inf before the first sweep.
        prior_scale: the mean of k(x, x).
        expansions: how many were used so far; the first came from labels.
        converged: ``kept`` is the result. (Before that, too, ``bound`` is a valid bound of it.)
    """

    trial: Approximation
    kept: Approximation
    bound: float
    prior_scale: float
    expansions: int = 0
    converged: bool = False

    @classmethod
    def start(cls, size: int, outputs: int, prior_scale: float) -> Self:
        """Before the first expansion, which is ``Expansion.from_labels``."""
        nothing = Approximation(Gaussian.flat(size * outputs), 1.0 / prior_scale, outputs)
        return cls(nothing, nothing, -np.inf, prior_scale)

    def choose(self, expansion: Expansion) -> SweepChoice:
        """What to do with the federation's ``expansion`` at ``trial``: the root's part."""
        first = self.expansions == 0
        bound = -np.inf if first else expansion.log_likelihood - self.trial.divergence
        if bound < self.bound - BOUND_TOLERANCE:
            halfway = float(np.sqrt(self.kept.amplitude * self.trial.amplitude))
            return SweepChoice(False, False, self.bound, halfway)
        if bound < self.bound + BOUND_TOLERANCE:
            better = bound > self.bound
            kept = self.trial if better else self.kept
            return SweepChoice(better, True, max(bound, self.bound), kept.amplitude)
        now, best = self.trial.amplitude, self._best_amplitude(expansion)
        leap = np.inf if first else LONGEST_LEAP
        return SweepChoice(True, False, bound, float(np.clip(best, now / leap, now * leap)))

    def advance(self, expansion: Expansion, choice: SweepChoice) -> Self:
        """The next state. A trial that lost is drawn halfway back to the approximation kept."""
        after = replace(
            self, bound=choice.bound, expansions=self.expansions + 1, converged=choice.converged
        )
        if choice.converged:
            return replace(after, kept=self.trial if choice.accepted else self.kept)
        if choice.accepted:
            message = expansion.message(self.trial.weights)
            trial = Approximation(message, choice.amplitude, self.trial.outputs)
            return replace(after, trial=trial, kept=self.trial)
        back, forth = self.kept.message, self.trial.message
        middle = Gaussian(
            0.5 * (back.precision + forth.precision), 0.5 * (back.shift + forth.shift)
        )
        return replace(after, trial=replace(self.trial, message=middle, amplitude=choice.amplitude))

    def _best_amplitude(self, expansion: Expansion) -> float:
        """The a that maximises the bound with the messages fixed."""
        message = expansion.message(self.trial.weights)
        eigenvalues, V = np.linalg.eigh(message.precision)
        w, c2 = np.maximum(eigenvalues, 0.0), np.square(V.T @ message.shift)
        cost = expansion.uncovered

        def value(a: float) -> float:
            return float(0.5 * (c2 * a / (1 + a * w) - np.log1p(a * w)).sum() - a * cost)

        def slope(a: float) -> float:
            return float(0.5 * a * (c2 / (1 + a * w) ** 2 - w / (1 + a * w)).sum() - a * cost)

        lower, upper = (bound / self.prior_scale for bound in AMPLITUDE_RANGE)
        return maximum(value, slope, lower, upper)

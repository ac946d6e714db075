"""Landmarks, metric and posterior mean move together, uphill in the uncollapsed bound.

Landmarks are parameters of the bound, not of the model: a higher bound is a better approximation of
the same posterior, and no better fit of these rows alone (Titsias 2009). Each place costs one small
sum, of the bound and its gradient (``uncollapsed``). The steps are quasi-Newton ones: what the
gradients at several places say of the curvature needs no further sum (``secants``). A place with a
lower bound is dropped, and the next is nearer.

The variables are x = [C^-1 (mu - mu_0) / sqrt(a), Z, S]: the mean in units in which its curvature
is one, the landmarks where the metric puts them, and what multiplies the metric, S T.
"""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from edge_node.arrays import Matrix, Vector
from edge_node.inference.features.landmarks import independent_landmarks
from edge_node.inference.features.metric import MetricKind
from edge_node.inference.features.nystrom import Features
from edge_node.inference.messages.uncollapsed import Belief, BoundSums
from edge_node.inference.numerics.secants import SecantCurvature

__all__ = ["Ascent", "Places"]

_LANDMARK_CURVATURE = 3.0
"""Believed before any step: nats per squared unit of a coordinate, for each row per landmark, times
the targets' variance in units of the noise."""

_METRIC_CURVATURE = 1.0  # the same for an entry of S, for each row

_REACH = 0.1
"""The farthest that a landmark goes in one step, times the root of the inputs: points of unit
variance are 14 such steps apart."""

_STRETCH = 1.0  # as far as a row of unit variance may go in a step, because the metric changes
_MEAN_REACH = 10.0
"""The farthest that the mean goes in a step, times the root of the rows and of the targets' power
in units of the noise: ten times what would explain all of it."""

_SHORTER, _LONGER = 0.5, 1.2  # the next step, after one that lowered or raised the bound
_RIDGE = 1e-9  # added to a curvature that is positive already
_HALVINGS = 8  # of a step at whose end landmarks are no longer independent


@dataclass(frozen=True)
class Places:
    """What is moved, and how it is written as one vector x: known to all nodes.

    Attributes:
        start: phi, before any move.
        belief: q(u) at the start; V, s2 and a are held.
        kind: what of the metric is moved; None: nothing.
        rows: n; bounds of other counts are scaled to it.
        contrast: the variance of the targets in units of the noise variance.
    """

    start: Features
    belief: Belief
    kind: MetricKind | None
    rows: int
    contrast: float

    @property
    def first(self) -> Vector:
        """X at the start."""
        d = self.start.landmarks.shape[1]
        stretch = {None: np.zeros(0), MetricKind.DIAGONAL: np.ones(d), MetricKind.FULL: np.eye(d)}
        zero = np.zeros(self.belief.mean.size)
        return np.concatenate([zero, self.start.landmarks.ravel(), stretch[self.kind].ravel()])

    @property
    def curvature(self) -> Vector:
        """What is believed of the bound's curvature before any step, one number for each of x."""
        mean, Z, stretch = self._parts(np.ones(len(self.first)))
        Z = Z * (_LANDMARK_CURVATURE * self.contrast * self.rows / len(Z))
        stretch = stretch * (_METRIC_CURVATURE * self.contrast * self.rows)
        return np.concatenate([mean.ravel(), Z.ravel(), stretch])

    def mean(self, x: Vector) -> Matrix:
        """The belief's mean (r, q)."""
        whitened, _, _ = self._parts(x)
        scale = np.sqrt(self.belief.amplitude)
        mean: Matrix = self.belief.mean + scale * (self.belief.factor @ whitened)
        return mean

    def landmarks(self, x: Vector) -> Matrix:
        """Z (r, d)."""
        return self._parts(x)[1].copy()

    def features(self, x: Vector) -> Features:
        """Phi at a place. Raises NumericalError if landmarks depend on each other."""
        T, (_, Z, stretch) = self.start.metric, self._parts(x)
        if self.kind is not None and T is not None:
            T = (
                stretch[:, None] * T
                if self.kind is MetricKind.DIAGONAL
                else self._square(stretch) @ T
            )
        return Features.build(self.start.kernel, Z.copy(), T)

    def independent(self, x: Vector) -> bool:
        """Whether all landmarks are, as `independent_landmarks` sees it: for the root to decide."""
        Z = self.landmarks(x)
        return len(independent_landmarks(self.start.kernel, Z)) == len(Z)

    def read(self, x: Vector, sums: BoundSums) -> tuple[float, Vector]:
        """The bound at x, and its gradient, for as many rows as ``rows``."""
        mean, scale, T = self.mean(x), self.rows / sums.count, self.start.metric
        slope = (
            np.sqrt(self.belief.amplitude) * self.belief.factor.T @ sums.slope(self.belief, mean)
        )
        stretch = sums.metric
        if self.kind is MetricKind.FULL and T is not None:
            stretch = stretch @ T.T
        elif T is not None and self.kind is MetricKind.DIAGONAL:
            stretch = stretch * np.diag(T)
        gradient = np.concatenate([slope.ravel(), sums.landmarks.ravel(), stretch.ravel()])
        return scale * sums.value(self.belief, mean), scale * gradient

    def farthest(self, x: Vector, y: Vector) -> float:
        """The longest way from x to y of a landmark, of a typical row under the metric, or of the
        mean, in units of the reach of a step.
        """
        mean, Z, stretch = self._parts(y - x)
        way = float(np.sqrt(np.square(Z).sum(axis=1).max() / Z.shape[1])) / _REACH
        if self.kind is not None and self.start.metric is not None:
            S = np.diag(stretch) if self.kind is MetricKind.DIAGONAL else self._square(stretch)
            moved = float(np.linalg.norm(S @ self.start.metric)) / np.sqrt(len(S))
            way = max(way, moved / _STRETCH)
        apart = float(np.linalg.norm(mean))
        reach = _MEAN_REACH * float(np.sqrt(self.rows * (1.0 + self.contrast)))
        return max(way, apart / reach)

    def _parts(self, x: Vector) -> tuple[Matrix, Matrix, Vector]:
        shapes = self.belief.mean.shape, self.start.landmarks.shape
        first, second = np.prod(shapes[0]), np.prod(shapes[0]) + np.prod(shapes[1])
        mean, Z, stretch = np.split(x, [int(first), int(second)])
        return mean.reshape(shapes[0]), Z.reshape(shapes[1]), stretch

    def _square(self, stretch: Vector) -> Matrix:
        d = self.start.landmarks.shape[1]
        return stretch.reshape(d, d)


@dataclass(frozen=True)
class Ascent:
    """The best place so far, and what was learnt of the bound around it.

    Attributes:
        places: what x means.
        best: x, of the highest bound so far.
        bound: its bound, nats.
        gradient: of the bound there.
        noise: s2 that fits best there.
        secants: what is believed of the curvature.
        share: how much of a quasi-Newton step is tried.
    """

    places: Places
    best: Vector
    bound: float
    gradient: Vector
    noise: float
    secants: SecantCurvature
    share: float = 1.0

    @classmethod
    def begun(cls, places: Places, sums: BoundSums) -> Self:
        """From the sums at the first place."""
        x = places.first
        secants = SecantCurvature.of(places.curvature)
        noise = sums.noise(places.belief, places.mean(x))
        return cls(places, x, *places.read(x, sums), noise, secants)

    def rises(self, x: Vector, sums: BoundSums) -> bool:
        """Whether the bound is higher at x: for the root to decide, since rounding differs."""
        bound, _ = self.places.read(x, sums)
        return bound > self.bound

    def after(self, x: Vector, sums: BoundSums, *, accepted: bool) -> Self:
        """Once x was tried; it is the best place if the root has ``accepted`` it."""
        bound, gradient = self.places.read(x, sums)
        step = x - self.best
        secants = self.secants.after(step, self.gradient - gradient) if step.any() else self.secants
        if not accepted:
            return replace(self, secants=secants, share=_SHORTER * self.share)
        share = min(1.0, _LONGER * self.share)
        noise = sums.noise(self.places.belief, self.places.mean(x))
        return replace(
            self,
            best=x,
            bound=bound,
            gradient=gradient,
            noise=noise,
            secants=secants,
            share=share,
        )

    def proposed(self) -> Vector:
        """The next place, where landmarks are independent: for the root to decide."""
        step = self.share * self.secants.solve(self.gradient, _RIDGE)
        step /= max(1.0, self.places.farthest(self.best, self.best + step))
        for _ in range(_HALVINGS):
            if self.places.independent(self.best + step):
                return self.best + step
            step *= _SHORTER
        return self.best

"""Messages whose precisions have settled: what is left of a step is a linear map of the shifts.

Precisions don't depend on shifts. So once they have converged, right-hand sides can come and go:
each costs messages of shifts only, for which nothing is inverted, starts from silence, and its mean
after some steps is a fixed linear function of it. `double_loop` uses that as an approximate
inverse. `shift_radius` looks at the map itself: its spectral radius is the factor by which the
means' error falls in a step, and they converge if and only if it is below one (Du, Ma, Wu, Kar &
Moura 2018).
"""

from dataclasses import dataclass, replace

import numpy as np

from edge_node.arrays import Matrix
from edge_node.inference.messages.propagation.factors import Observations
from edge_node.inference.messages.propagation.graph import FactorGraph
from edge_node.inference.messages.propagation.messages import Factors, Gains, Inbox
from edge_node.inference.messages.propagation.schedules import cavities, responses
from edge_node.inference.messages.propagation.solution import Cause, PropagationError
from edge_node.inference.messages.propagation.stacks import (
    inverse,
    positive,
    scattered,
    times,
)

__all__ = ["Settled", "homogeneous", "settle", "shift_radius"]


@dataclass(frozen=True)
class Settled:
    """A graph whose precisions have settled.

    Attributes:
        graph: without any shift of its own.
        gains: what each family answers to cavities of the settled precisions.
        covariance: each belief's (n, d, d); approximate, where the graph has loops.
        steps: until they had settled.
    """

    graph: FactorGraph
    gains: tuple[Gains, ...]
    covariance: Matrix
    steps: int

    def means(self, shift: Matrix, steps: int) -> Matrix:
        """The beliefs' means (n, d, q) when ``shift`` (n, d, q) is each variable's own, after
        ``steps`` synchronous steps from silence. With 0 steps: each variable by itself.
        """
        belief = self.spread(shift, self.silence(shift.shape[2]), steps)[0]
        return times(self.covariance, belief)

    def spread(
        self, shift: Matrix, messages: tuple[Matrix, ...], steps: int
    ) -> tuple[Matrix, tuple[Matrix, ...]]:
        """The beliefs' shifts (n, d, q), and the messages' (F, a, d, q), after more steps."""
        belief = self._beliefs(shift, messages)
        for _ in range(steps):
            messages = tuple(
                gains.shift(belief[family.scope] - sent)
                for family, gains, sent in zip(
                    self.graph.families, self.gains, messages, strict=True
                )
            )
            belief = self._beliefs(shift, messages)
        return belief, messages

    def silence(self, columns: int) -> tuple[Matrix, ...]:
        """Shifts of messages that say nothing."""
        d = self.graph.shift.shape[1]
        return tuple(np.zeros((*f.scope.shape, d, columns)) for f in self.graph.families)

    def _beliefs(self, shift: Matrix, messages: tuple[Matrix, ...]) -> Matrix:
        belief = shift
        for family, sent in zip(self.graph.families, messages, strict=True):
            belief = belief + scattered(family.scope, sent, self.graph.size)
        return belief


def settle(graph: FactorGraph, *, tolerance: float = 1e-12, most_steps: int = 1000) -> Settled:
    """Precisions, from silence until no belief's changes by more than a share ``tolerance``.

    Raises:
        PropagationError: they don't settle, a cavity is singular, or a belief isn't proper.
    """
    plain = homogeneous(graph)
    inbox, belief = plain.silence(), plain.own
    for step in range(1, most_steps + 1):
        inbox, before = responses(plain, inbox), belief
        belief = plain.beliefs(inbox)
        if not belief.finite:
            raise PropagationError(Cause.NOT_FINITE, "precisions of messages are not finite")
        change = np.abs(belief.precision - before.precision).max(initial=0.0)
        if change <= tolerance * np.abs(belief.precision).max(initial=0.0):
            return _settled(plain, inbox, step)
    raise PropagationError(
        Cause.NOT_CONVERGED, "precisions of messages don't settle", found=f"{most_steps} steps"
    )


def _settled(graph: FactorGraph, inbox: Inbox, steps: int) -> Settled:
    covariance = inverse(graph.beliefs(inbox).precision, "a belief")
    if not positive(covariance):
        raise PropagationError(Cause.IMPROPER, "a belief's variance is not positive")
    pairs = zip(graph.families, cavities(graph, inbox), strict=True)
    gains = tuple(family.gains(cavity.precision) for family, cavity in pairs)
    return Settled(graph, gains, covariance, steps)


def shift_radius(settled: Settled, *, steps: int = 60, seed: int = 0) -> float:
    """An estimate, no bound, of the factor by which an error of the means falls in a step.

    The root of how much the norm of random shifts changes over the later half of ``steps``.
    """
    random = np.random.default_rng(seed)
    messages = tuple(random.normal(size=each.shape) for each in settled.silence(1))
    nothing, logarithms = np.zeros_like(settled.graph.shift[..., :1]), []
    for _ in range(steps):
        _, messages = settled.spread(nothing, messages, 1)
        norm = np.sqrt(sum(np.square(each).sum() for each in messages))
        if norm == 0:
            return 0.0
        messages = tuple(each / norm for each in messages)
        logarithms.append(np.log(norm))
    return float(np.exp(np.mean(logarithms[steps // 2 :])))


def homogeneous(graph: FactorGraph) -> FactorGraph:
    """The same precisions, and no shift: one column of zeros."""
    families = tuple(_without_target(family) for family in graph.families)
    return FactorGraph(graph.precision, np.zeros_like(graph.shift[..., :1]), families)


def _without_target(family: Factors) -> Factors:
    if isinstance(family, Observations):
        return replace(family, target=np.zeros_like(family.target[..., :1]))
    return family

"""What is known about belief propagation on a graph before it runs.

    forest        two passes give exact means and variances (Weiss & Freeman 2001)
    converges     proved: messages converge from silence, and the mean is exact
    unknown       they may converge or not; the certificate says what is known

The proof for couplings is walk-summability (Malioutov, Johnson & Willsky 2006, Propositions 16 and
21): the mean after k synchronous steps is a sum over walks, all those of up to k steps among them;
where the sum over all walks converges absolutely, so do the messages. The proof needs one number,
a bound below one of the spectral radius of `walks.Walks`.

The proof for observations has two parts. Where each variable has a precision of its own, their
messages' precisions converge, always, and to one limit (Du, Ma, Wu, Kar & Moura 2018).
At these precisions the shifts are a linear map, and its k-fold application is again a sum over the
walks of the computation tree, whose steps weigh no more than those of `walks.Walks`. So the same
bound below one proves that means converge. With a single loop they converge anyway (Du et al.).

The bound is sufficient, not necessary. `settled.shift_radius` estimates the map's own spectral
radius, which decides; but an estimate is no proof.
"""

from dataclasses import dataclass, replace
from enum import Enum
from math import ceil, inf, log, nan

from edge_node.inference.messages.guarantees.settled import settle, shift_radius
from edge_node.inference.messages.guarantees.walks import radius_bounds, walks
from edge_node.inference.messages.propagation.factors import Couplings, Observations
from edge_node.inference.messages.propagation.graph import FactorGraph
from edge_node.inference.messages.propagation.solution import PropagationError
from edge_node.inference.messages.propagation.stacks import positive

__all__ = ["Certificate", "Reason", "Verdict", "certify"]


class Verdict(Enum):
    """What is proved."""

    FOREST = "forest"  # exact in two passes
    CONVERGES = "converges"  # the absolute partial correlations have a spectral radius below one
    UNKNOWN = "unknown"  # nothing is proved


class Reason(Enum):
    """Why nothing is proved, where nothing is."""

    NONE = "it is proved"
    WEIGHTS = "absolute walks do not converge: plain messages may, or may not"
    UNDECIDED = "the bounds have one between them: more steps of power iteration may decide"
    FAMILIES = "nothing is known of such factors on a graph with loops"
    IMPROPER = "a variable's precision, or its own factor's, is not positive definite"


@dataclass(frozen=True)
class Certificate:
    """What is known before a run.

    Attributes:
        verdict: what is proved.
        reason: why nothing is, where the verdict is unknown.
        loops: how many independent loops the graph of variables and factors has.
        lower, upper: proved bounds of the spectral radius of the absolute partial correlations;
            nan and inf where there are none.
        precisions_converge: whether that is proved, of precisions and so of variances.
        estimate: of the factor by which an error of the means falls in a step; no bound. None:
            not asked for, or precisions don't settle.
    """

    verdict: Verdict
    reason: Reason
    loops: int
    lower: float
    upper: float
    precisions_converge: bool
    estimate: float | None = None

    @property
    def converges(self) -> bool:
        """Whether the exact mean is proved to be found, rounding aside: by two passes on a forest
        where no pivot is singular, by a synchronous run elsewhere.
        """
        return self.verdict is not Verdict.UNKNOWN

    def steps(self, tolerance: float) -> float:
        """Synchronous steps within which the walks left out fall to a share ``tolerance`` of the
        bound on all walks; inf where nothing is proved, or nothing by weights. For observations
        they count from where precisions have settled.

        What walks of more than k steps add is at most upper^(k + 1) / (1 - upper), in the norm
        weighted by the radius' bound and in units of h; all walks together at most
        1 / (1 - upper).
        """
        if not (self.converges and self.upper < 1):
            return inf
        return 0 if self.upper <= 0 else max(0, ceil(log(tolerance) / log(self.upper)) - 1)

    def summary(self) -> str:
        """In words, for people."""
        if self.verdict is Verdict.FOREST:
            return "a forest: two passes give exact means and variances"
        bounds = f"spectral radius of absolute partial correlations {self.lower:.4g}"
        bounds += f" to {self.upper:.4g}" if self.upper - self.lower > 1e-4 else ""
        known = f"{self.loops} independent loops"
        known += f"; {bounds}" if self.upper < inf else ""
        if self.verdict is Verdict.CONVERGES:
            return f"converges to the exact mean; variances are approximate ({known})"
        known += "; precisions converge" if self.precisions_converge else ""
        known += f"; estimated rate {self.estimate:.3g} a step" if self.estimate else ""
        return f"unknown: {self.reason.value} ({known})"


def certify(
    graph: FactorGraph, *, steps: int = 100, gap: float = 1e-3, estimate: bool = False
) -> Certificate:
    """The certificate of a graph.

    Args:
        graph: to run on.
        steps: of power iteration, at most; one takes as long as a step of message passing.
        gap: stop when the bounds of the spectral radius are as close as that.
        estimate: whether to estimate the shifts' rate, too; precisions must settle for that.
    """
    found = _proved(graph, steps, gap)
    return replace(found, estimate=_estimated(graph)) if estimate else found


def _estimated(graph: FactorGraph) -> float | None:
    try:
        return shift_radius(settle(graph))
    except PropagationError:
        return None


def _proved(graph: FactorGraph, steps: int, gap: float) -> Certificate:
    absolute, forest = walks(graph), graph.is_forest
    settled = forest or _precisions_converge(graph)
    if absolute is None:
        known = (Verdict.FOREST, Reason.NONE) if forest else (Verdict.UNKNOWN, _obstacle(graph))
        return Certificate(*known, graph.loops, nan, inf, settled)
    bounds = radius_bounds(absolute, steps=0 if forest else steps, gap=gap)
    found = bounds.lower, bounds.upper
    if forest:
        return Certificate(Verdict.FOREST, Reason.NONE, 0, *found, settled)
    if settled and graph.loops == 1:
        reason = Reason.NONE
    elif not bounds.upper < 1:
        reason = Reason.WEIGHTS if bounds.lower >= 1 else Reason.UNDECIDED
    else:
        reason = Reason.NONE if settled or _all_are(graph, Couplings) else _obstacle(graph)
    verdict = Verdict.CONVERGES if reason is Reason.NONE else Verdict.UNKNOWN
    return Certificate(verdict, reason, graph.loops, *found, settled or reason is Reason.NONE)


def _precisions_converge(graph: FactorGraph) -> bool:
    """Observations of variables with proper own factors."""
    return _all_are(graph, Observations) and positive(graph.precision)


def _all_are(graph: FactorGraph, kind: type) -> bool:
    return all(isinstance(family, kind) for family in graph.families)


def _obstacle(graph: FactorGraph) -> Reason:
    """Why the proof does not apply, whatever the bounds."""
    alike = _all_are(graph, Couplings) or _all_are(graph, Observations)
    return Reason.IMPROPER if alike else Reason.FAMILIES

"""An answer for whatever graph: the method is chosen by what is proved before it runs.

    forest              two passes                   means and variances exact
    few loops           feedback variables           means and variances exact
    certified           synchronous messages         mean exact, variances approximate
    anything else       the double loop              mean exact, variances approximate

The solution says which it was, and whether its variances are exact. Exact variances go before
approximate ones, as long as `MOST_FEEDBACK` variables take all loops away. A certificate that
promises thousands of steps isn't taken up: the double loop needs fewer.

How wrong approximate variances are can be measured: `measured_error`.
"""

from dataclasses import dataclass, replace

import numpy as np

from edge_node.arrays import Vector
from edge_node.inference.messages.guarantees.certificate import Verdict, certify
from edge_node.inference.messages.guarantees.double_loop import double_loop
from edge_node.inference.messages.guarantees.feedback import feedback, feedback_set, units, without
from edge_node.inference.messages.guarantees.settled import homogeneous
from edge_node.inference.messages.propagation.graph import FactorGraph
from edge_node.inference.messages.propagation.solution import Method, Slots, Solution
from edge_node.inference.messages.propagation.solve import solve

__all__ = ["MOST_FEEDBACK", "VarianceError", "answer", "choose", "measured_error"]

MOST_FEEDBACK = 20
"""Feedback variables are tried as long as that many do: each is a column more."""

_PROMISED = 300  # steps of synchronous messages that are worth waiting for


@dataclass(frozen=True)
class VarianceError:
    """How far variances are from exact ones, at variables drawn at random.

    Attributes:
        variables: which, (k,).
        ratios: approximate over exact variance, (k, d).
    """

    variables: Slots
    ratios: Vector

    @property
    def median(self) -> float:
        """The ratio in the middle."""
        return float(np.median(self.ratios))

    @property
    def worst(self) -> float:
        """The ratio farthest from one, by its logarithm."""
        return float(self.ratios.flat[np.argmax(np.abs(np.log(self.ratios)))])


def answer(graph: FactorGraph, *, tolerance: float = 1e-10, most_steps: int = 10_000) -> Solution:
    """The mean of any positive definite graph of couplings and observations, and of any forest.

    Args:
        graph: variables and factors.
        tolerance: of the mean's residual |A x - h| / |h|.
        most_steps: of the double loop.

    Raises:
        NumericalError: a graph with loops has other factors, and isn't certified.
        PropagationError: there is no answer; its `cause` says why.
    """
    method, chosen = choose(graph, tolerance)
    if method is Method.FEEDBACK:
        return feedback(graph, chosen, tolerance=tolerance)
    if method is Method.DOUBLE_LOOP:
        return double_loop(graph, tolerance=tolerance, most_steps=most_steps)
    return solve(graph, tolerance=tolerance)


def choose(graph: FactorGraph, tolerance: float = 1e-10) -> tuple[Method, Slots]:
    """The method for a graph, and the feedback variables for it (none for other methods)."""
    nobody = np.zeros(0, dtype=np.intp)
    certificate = certify(graph)
    if certificate.verdict is Verdict.FOREST:
        return Method.TWO_PASSES, nobody
    if certificate.upper < np.inf:
        chosen = feedback_set(graph, MOST_FEEDBACK)
        if len(chosen) < graph.size and without(graph, chosen).is_forest:
            return Method.FEEDBACK, chosen
    if certificate.converges and certificate.steps(tolerance) <= _PROMISED:
        return Method.MESSAGES, nobody
    return Method.DOUBLE_LOOP, nobody


def measured_error(
    graph: FactorGraph,
    solution: Solution,
    probes: int = 8,
    *,
    seed: int = 0,
    tolerance: float = 1e-9,
) -> VarianceError:
    """A solution's variances against exact ones of some variables, drawn at random.

    The exact ones are from A x = e_i, a column for each coordinate of each variable, by the double
    loop. That takes about as long as another run, times the columns.

    Raises:
        PropagationError: the double loop ends without an answer.
    """
    n, d = graph.shift.shape[:2]
    chosen = np.sort(np.random.default_rng(seed).choice(n, min(probes, n), replace=False))
    asked = replace(homogeneous(graph), shift=units(n, d, chosen))
    columns = double_loop(asked, tolerance=tolerance).mean.reshape(n, d, len(chosen), d)
    exact = np.einsum("kiki->ki", columns[chosen])
    return VarianceError(chosen, np.einsum("kii->ki", solution.covariance[chosen]) / exact)

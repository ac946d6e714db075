"""A right-hand side drawn at random, beside those that are asked for.

A residual of h says nothing of precisions where h is zero. One of a random column does: wrong
precisions don't solve it. The draw leaves variables without a precision of their own without a
shift, too: such factors are improper, and not every family can pass them on.
"""

from dataclasses import replace

import numpy as np

from edge_node.inference.messages.propagation.factors import Observations
from edge_node.inference.messages.propagation.graph import FactorGraph
from edge_node.inference.messages.propagation.messages import Factors
from edge_node.inference.messages.propagation.stacks import times

__all__ = ["columns", "probed"]


def probed(graph: FactorGraph) -> FactorGraph:
    """The graph with one more column, the last."""
    rng, (n, d, q) = np.random.default_rng(0), graph.total_shift.shape
    own = times(graph.precision, rng.standard_normal((n, d, 1)))
    shift = np.concatenate([np.broadcast_to(graph.shift, (n, d, q)), own], axis=2)
    families = tuple(_probed(family, q, rng) for family in graph.families)
    return FactorGraph(graph.precision, shift, families)


def _probed(family: Factors, columns: int, rng: np.random.Generator) -> Factors:
    if not isinstance(family, Observations):
        return family
    F, p = family.target.shape[:2]
    target = np.broadcast_to(family.target, (F, p, columns))
    scale = np.sqrt(np.einsum("fpp->fp", family.noise))[..., None]
    drawn = scale * rng.standard_normal((F, p, 1))
    return replace(family, target=np.concatenate([target, drawn], axis=2))


def columns(graph: FactorGraph, some: slice) -> FactorGraph:
    """Some right-hand sides of a graph that `probed` made."""
    families = tuple(
        replace(family, target=family.target[..., some])
        if isinstance(family, Observations)
        else family
        for family in graph.families
    )
    return FactorGraph(graph.precision, graph.shift[..., some], families)

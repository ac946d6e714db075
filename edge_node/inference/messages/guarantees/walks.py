"""Absolute partial correlations of a factor graph, as an operator, and how large they are.

Let D_i be the whole precision of variable i given all others, L_i L_i' = D_i, and let factor f
couple variables i and j by the block A^f_ij of the joint precision. The sum

    W_ij = sum_f | L_i^-1 A^f_ij L_j^-T |      (spectral norms; W_ii = 0)

bounds the weight of every step that a walk on the graph can take. If its spectral radius is below
one, the sum over all walks converges absolutely, and so does Gaussian belief propagation. For
couplings that is walk-summability (Malioutov, Johnson & Willsky 2006, Propositions 1, 16 and 21;
for vectors and factor graphs see Malioutov 2008, chapter 4). The argument needs only the
computation tree, and that has each factor whole. So it holds for `Observations`, too, once their
precisions have converged: `certificate` says when.

W is applied factor by factor and never built. For a `Coupling` the bound is exact; for an
`Observation` |R^-1/2 H_l L^-T| of each slot is taken, whose products bound the blocks' norms
(and equal them where observations and variables are numbers).

W is symmetric and not negative. So for every positive v

    v'Wv / v'v  <=  radius  <=  max_i (W v)_i / v_i       (Rayleigh; Collatz 1942, Wielandt 1950),

whatever v is: power iteration makes the bounds tight, and rounding is added outwards.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from edge_node.arrays import Matrix, Vector
from edge_node.inference.messages.propagation.factors import Couplings, Observations
from edge_node.inference.messages.propagation.graph import FactorGraph
from edge_node.inference.messages.propagation.messages import Factors
from edge_node.inference.messages.propagation.solution import Slots
from edge_node.inference.messages.propagation.stacks import (
    inverse,
    others,
    positive,
    scattered,
    times,
    transposed,
)

__all__ = ["RadiusBounds", "Walks", "diagonal", "radius_bounds", "walks"]

_LEAST = 1e-100  # of a weight, beside the largest: v stays positive, and no step underflows


@dataclass(frozen=True)
class Walks:
    """W as an operator.

    Attributes:
        size: n, the number of variables.
        scopes: each family's variables, (F, a).
        reaches: each family's bounds (F, a): factor f adds reach_fl reach_fk to W between its
            variables l and k.
        rounding: which share of W's entries rounding may have changed: blocks' inverse roots lose
            as many digits as their condition numbers have.
    """

    size: int
    scopes: tuple[Slots, ...]
    reaches: tuple[Vector, ...]
    rounding: float

    def apply(self, v: Vector) -> Vector:
        """W v (n,) for v (n,)."""
        total = np.zeros(self.size)
        for scope, reach in zip(self.scopes, self.reaches, strict=True):
            total += scattered(scope, reach * others(reach * v[scope]), self.size)
        return total

    @property
    def degree(self) -> int:
        """The most terms that an entry of W v adds up."""
        slots = [scattered(s, np.full(s.shape, s.shape[1] - 1.0), self.size) for s in self.scopes]
        return int(sum(slots, np.zeros(self.size)).max(initial=0.0))


@dataclass(frozen=True)
class RadiusBounds:
    """What is proved of the spectral radius of W.

    Attributes:
        lower, upper: the radius is not outside.
        weights: v (n,) > 0 with W v <= upper v.
        steps: of power iteration.
    """

    lower: float
    upper: float
    weights: Vector
    steps: int


def walks(graph: FactorGraph) -> Walks | None:
    """W of a graph whose families are couplings and observations; None where another is among
    them, or where a variable's precision given all others isn't positive definite.
    """
    if any(type(family) not in _REACHES for family in graph.families):
        return None
    whole = diagonal(graph)
    if not positive(whole):
        return None
    families, roots = graph.families, _inverse_roots(whole)
    reaches = tuple(_REACHES[type(family)](family, roots) for family in families)
    noises = [family.noise for family in families if isinstance(family, Observations)]
    condition = sum(_condition(blocks) for blocks in (whole, *noises))
    rounding = float(np.finfo(float).eps * 8 * condition)
    return Walks(graph.size, tuple(family.scope for family in families), reaches, rounding)


def diagonal(graph: FactorGraph) -> Matrix:
    """D (n, d, d), each variable's precision given all others: the blocks of A's diagonal."""
    whole = graph.precision.copy()
    for family in graph.families:
        if isinstance(family, Observations):
            H, weight = family.design, inverse(family.noise, "an observation's noise")[:, None]
            own = times(transposed(H), times(weight, H))
            whole += scattered(family.scope, own, graph.size)
    return whole


def radius_bounds(walks: Walks, *, steps: int = 100, gap: float = 1e-3) -> RadiusBounds:
    """Bounds by power iteration on W + I, whose upper bound never rises.

    Args:
        walks: W.
        steps: at most; one takes as long as a step of message passing.
        gap: stop when the bounds are as close as that.
    """
    v = np.ones(walks.size)
    product = walks.apply(v)
    upper = float(np.max(product, initial=0.0))
    lower = _rayleigh(v, product)
    done = 0
    while done < steps and upper - lower > gap:
        v = v + product
        v = np.maximum(v / v.max(), _LEAST)
        product = walks.apply(v)
        upper, lower = float(np.max(product / v)), max(lower, _rayleigh(v, product))
        done += 1
    rounding = np.finfo(float).eps * (walks.size + 4 * walks.degree + 64)
    outwards = 1 + rounding + walks.rounding
    return RadiusBounds(lower / outwards, upper * outwards, v, done)


def _rayleigh(v: Vector, product: Vector) -> float:
    return float(v @ product / (v @ v)) if len(v) else 0.0


def _coupling_reach(family: Factors, roots: Matrix) -> Vector:
    """Both ends of a coupling get the root of its block's norm."""
    assert isinstance(family, Couplings)  # noqa: S101 - by _REACHES
    first, second = family.scope.T
    blocks = times(times(roots[first], family.coupling), transposed(roots[second]))
    return np.repeat(np.sqrt(_norms(blocks))[:, None], 2, axis=1)


def _observation_reach(family: Factors, roots: Matrix) -> Vector:
    """|R^-1/2 H_l L^-T| of each slot l."""
    assert isinstance(family, Observations)  # noqa: S101 - by _REACHES
    white = _inverse_roots(family.noise)[:, None]
    reach = _norms(times(times(white, family.design), transposed(roots[family.scope])))
    return np.where(family.scope >= 0, reach, 0.0)


def _inverse_roots(blocks: Matrix) -> Matrix:
    """L^-1 (..., d, d) of positive definite blocks L L'."""
    if blocks.shape[-1] == 1:
        return np.asarray(1.0 / np.sqrt(blocks))
    return np.linalg.inv(np.linalg.cholesky(blocks))


def _condition(blocks: Matrix) -> float:
    """A bound of the condition numbers of positive definite blocks, from Frobenius' norms."""
    if blocks.shape[-1] == 1:
        return 1.0
    sizes, roots = np.linalg.norm(blocks, axis=(-2, -1)), _inverse_roots(blocks)
    return float((sizes * np.square(roots).sum(axis=(-2, -1))).max(initial=1.0))


def _norms(blocks: Matrix) -> Vector:
    """Spectral norms of (..., d, d)."""
    if blocks.shape[-2:] == (1, 1):
        return np.abs(blocks[..., 0, 0])
    return np.asarray(np.linalg.norm(blocks, 2, axis=(-2, -1)))


_REACHES: dict[type, Callable[[Factors, Matrix], Vector]] = {
    Couplings: _coupling_reach,
    Observations: _observation_reach,
}

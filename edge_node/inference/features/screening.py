"""Which inputs matter, before any model is there: sums of one input each, and of pairs.

A metric is learnt from a model's gradients. Where few of many inputs matter, a coarse model learns
nothing, and its gradients are noise. So inputs are first looked at one by one (sure independence
screening, Fan & Lv 2008): with z an input and t a target, both centred,

    sum of h(z) t    over sqrt(sum of (h(z) t)^2),     h(z) = z and |z| - E |z|

is nearly standard normal if they are independent. The second h finds what is even in an input. For
regression t is y and y^2 - 1: two inputs that matter only as a product change no mean of y, but its
variance. Where as many numbers may be told,

    sum of t z_i z_j   over its largest sd   sqrt(E t^2) (sum of z_i^4  sum of z_j^4)^1/4

finds such pairs more surely (principal Hessian directions, Li 1992; the bound is Cauchy and
Schwarz's). An input is taken if any of its figures, or of its pairs', is beyond what the largest of
as many standard normal numbers exceeds in one case of a hundred (Bonferroni).
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from math import inf
from statistics import NormalDist
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from edge_node.arrays import Matrix, Vector
from edge_node.packing import Layout, Symmetric

__all__ = ["Screening"]

_MEAN_ABSOLUTE = 0.8  # E |z| of a standard normal z, about
_FALSE = 0.01  # probability that any input is taken if none matters

Enough: TypeAlias = NDArray[np.bool_]


@dataclass(frozen=True)
class Screening:
    """The sums over rows that say which inputs matter; those of disjoint rows add.

    Attributes:
        inputs: J, how many inputs are looked at.
        targets: how many targets t are centred: a regression's, or indicators of classes.
        squared: whether t^2 - E t^2 are targets, too (regression).
        pairs: whether pairs of inputs are looked at.
    """

    inputs: int
    targets: int
    squared: bool
    pairs: bool
    _layout: Layout = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        single = (2, 1 + self.squared, self.targets, self.inputs)
        parts: dict[str, tuple[int, ...] | Symmetric] = {"sums": single, "squares": single}
        if self.pairs:
            parts |= {"products": Symmetric(self.inputs, self.targets)}
            parts |= {"fourth": (self.inputs,), "powers": (self.targets,)}
        object.__setattr__(self, "_layout", Layout(parts))

    @property
    def numbers(self) -> int:
        """How many numbers are summed."""
        return self._layout.length

    def local(self, rows: Iterable[tuple[Matrix, Matrix]], enough: Enough | None = None) -> Vector:
        """The sums (numbers,) of some rows.

        Args:
            rows: chunks (Z (n, J) standardised inputs, NaN where there is none; T (n, targets),
                centred, of variance one if they are squared).
            enough: (J, J), of which pairs a sum is given; None: of all.
        """
        sums = np.zeros((2, 1 + self.squared, self.targets, self.inputs))
        squares, fourth = np.zeros_like(sums), np.zeros(self.inputs)
        products = np.zeros((self.targets, self.inputs, self.inputs))
        powers = np.zeros(self.targets)
        for Z, T in rows:
            held = ~np.isnan(Z)
            Z = np.where(held, Z, 0.0)
            functions = np.stack([Z, np.where(held, np.abs(Z) - _MEAN_ABSOLUTE, 0.0)])
            targets = np.stack([T, np.square(T) - 1.0][: 1 + self.squared])
            sums += np.einsum("hnj,snt->hstj", functions, targets)
            squares += np.einsum("hnj,snt->hstj", np.square(functions), np.square(targets))
            if self.pairs:
                products += [Z.T @ (Z * t[:, None]) for t in T.T]
                fourth += np.square(np.square(Z)).sum(axis=0)
                powers += np.square(T).sum(axis=0)
        if not self.pairs:
            return self._layout.pack(sums=sums, squares=squares)
        given = products if enough is None else np.where(enough, products, 0.0)
        return self._layout.pack(
            sums=sums, squares=squares, products=given, fourth=fourth, powers=powers
        )

    def relevant(self, total: Vector, rows: int) -> list[int]:
        """The inputs that matter, ascending: indices from 0 to J - 1.

        Args:
            total: the federation's sums.
            rows: n, of the federation.

        Raises:
            NumericalError: the total has another length, or is not finite.
        """
        parts = self._layout.unpack(total)
        figures = _ratio(np.abs(parts["sums"]), np.sqrt(parts["squares"]))
        tests = figures.size
        found = figures.reshape(-1, self.inputs).max(axis=0)
        if self.pairs:
            spread = np.sqrt(np.sqrt(np.outer(parts["fourth"], parts["fourth"])))
            power = np.sqrt(parts["powers"] / rows)[:, None, None]
            pairs = _ratio(np.abs(parts["products"]), power * spread)
            tests += self.targets * self.inputs * (self.inputs + 1) // 2
            found = np.maximum(found, pairs.max(axis=(0, 1)))
        return [int(j) for j in np.flatnonzero(found > _threshold(tests))]


def _ratio(above: Matrix, below: Matrix) -> Matrix:
    """Zero where nothing varies."""
    ratio: Matrix = above / np.where(below > 0, below, inf)
    return ratio


def _threshold(tests: int) -> float:
    """What one of so many standard normal numbers exceeds, in size, in one case of a hundred."""
    return -NormalDist().inv_cdf(_FALSE / (2 * tests))

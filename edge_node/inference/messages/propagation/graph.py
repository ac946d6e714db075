"""A Gaussian factor graph: variables with a factor each, and families of factors that join them.

The joint density of variables x_1 ... x_n in R^d is exp(-1/2 x'A x + h'x), a product of

    exp(-1/2 x_i' Lambda_i x_i + eta_i' x_i)    each variable's own factor, and
    factors over a few variables each, all of a family alike in form.

Its mean solves A x = h. Columns of h share one A, and so share all precisions. A factor's message
to a variable is a Gaussian in canonical form (`canonical`); a variable's belief is the product of
its own factor and the messages to it; what it sends to a factor is the cavity, its belief without
that factor's message (Kschischang, Frey & Loeliger 2001). Everything is an array over the slots of
a family (`messages`).

Variables of different dimensions take the largest (`padded`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from edge_node.arrays import Matrix
from edge_node.errors import NumericalError
from edge_node.inference.messages.propagation.factors import Couplings
from edge_node.inference.messages.propagation.messages import Factors, Inbox, Messages
from edge_node.inference.messages.propagation.solution import Cause, PropagationError, Slots
from edge_node.inference.messages.propagation.stacks import (
    double,
    norms,
    scattered,
    symmetric,
    times,
)

__all__ = ["FactorGraph", "bipartite", "padded"]


@dataclass(frozen=True)
class FactorGraph:
    """Variables, their own factors, and families of factors.

    Attributes:
        precision: each variable's own, Lambda_i, (n, d, d); zeros where it has none.
        shift: each variable's own, eta_i, (n, d, q).
        families: the factors that join variables.

    Raises:
        NumericalError: shapes differ, a precision isn't symmetric, a scope names a variable that
            isn't there, or one twice, or a family's own ``check`` says so.
        PropagationError: NOT_FINITE, parameters are not finite.
    """

    precision: Matrix
    shift: Matrix
    families: tuple[Factors, ...]

    def __post_init__(self) -> None:
        double(self, "precision", "shift")
        n, d = self.shift.shape[:2]
        if self.precision.shape != (n, d, d) or self.shift.ndim != 3:
            raise NumericalError(
                "the variables' precisions and shifts differ in size",
                where="factor graph",
                expected="precision (n, d, d) and shift (n, d, q)",
                found=f"{self.precision.shape} and {self.shift.shape}",
            )
        if not self.own.finite:
            raise PropagationError(Cause.NOT_FINITE, "a variable's own factor is not finite")
        if not symmetric(self.precision):
            raise NumericalError("a variable's precision is not symmetric", where="factor graph")
        for family in self.families:
            _check_scope(family.scope, n)
            family.check()
            _check_fits(family, self.shift.shape[1:])

    @classmethod
    def of_system(cls, A: "Matrix | sparse.csr_array[np.float64]", b: ArrayLike) -> Self:
        """The pairwise graph of A x = b, one variable (d = 1) a row.

        Args:
            A: symmetric (n, n), dense or sparse.
            b: (n,), or (n, q) for several right-hand sides.

        Raises:
            NumericalError: A is not square or not symmetric, or b has not its length.
        """
        upper, b = sparse.coo_array(A), np.asarray(b, dtype=np.float64)
        if upper.shape != (len(b), len(b)) or b.ndim > 2:
            raise NumericalError(
                "the system's shapes differ",
                where="factor graph",
                expected="A (n, n), and b (n,) or (n, q)",
                found=f"{upper.shape} and {b.shape}",
            )
        difference = abs(upper - upper.T)
        if difference.nnz and difference.max() > 1e-12 * abs(upper).max():
            raise NumericalError("the system's matrix is not symmetric", where="factor graph")
        diagonal = sparse.csr_array(upper).diagonal()
        pairs = sparse.coo_array(sparse.triu(upper, 1))
        pairs.sum_duplicates()
        scope = np.stack(pairs.coords, axis=1).astype(np.intp)
        kept = pairs.data != 0
        family = Couplings(scope[kept], pairs.data[kept].reshape(-1, 1, 1))
        right = b.reshape(len(b), 1, b.size // max(len(b), 1))
        return cls(diagonal.reshape(-1, 1, 1), right, (family,))

    @property
    def size(self) -> int:
        """n, the number of variables."""
        return len(self.shift)

    @property
    def own(self) -> Messages:
        """Each variable's own factor."""
        return Messages(self.precision, self.shift)

    @cached_property
    def slots(self) -> int:
        """How many messages go from factors to variables when each sends one."""
        return sum(int(np.count_nonzero(family.scope >= 0)) for family in self.families)

    def silence(self) -> Inbox:
        """Before anything is sent: messages that say nothing."""
        _, d, q = self.shift.shape
        return tuple(Messages.flat(family.scope.shape, d, q) for family in self.families)

    def beliefs(self, inbox: Inbox) -> Messages:
        """Each variable's own factor times the messages to it, (n,)."""
        belief = self.own
        for family, messages in zip(self.families, inbox, strict=True):
            belief *= Messages(
                scattered(family.scope, messages.precision, self.size),
                scattered(family.scope, messages.shift, self.size),
            )
        return belief

    def apply(self, x: Matrix) -> Matrix:
        """A x for x (n, d, q)."""
        return sum((family.apply(x) for family in self.families), times(self.precision, x))

    @cached_property
    def total_shift(self) -> Matrix:
        """The shift h (n, d, q)."""
        return sum((family.shift(self.size) for family in self.families), self.shift)

    def residual(self, x: Matrix) -> float:
        """|A x - h| / |h|, the largest over columns, for x (n, d, q).

        Copies of one variable (`factors.Equalities`) count as one: their rows of A x - h add up,
        and how far copies are apart, |x - their average| / |x|, counts as well.
        """
        with np.errstate(all="ignore"):
            return max(
                _relative(self._pooled(self.apply(x) - self.total_shift), self.total_shift),
                _relative(x - self._pooled(x, average=True)[self._copies], x),
            )

    def _pooled(self, x: Matrix, *, average: bool = False) -> Matrix:
        if not any(family.copies for family in self.families):
            return x
        count = int(self._copies.max()) + 1
        sums = scattered(self._copies[:, None], x[:, None], count)
        sizes = np.bincount(self._copies, minlength=count)
        return sums / sizes[:, None, None] if average else sums

    @cached_property
    def _copies(self) -> Slots:
        """Which variables are copies of one: a number each (n,)."""
        edges = [family.scope for family in self.families if family.copies]
        if not edges:
            return np.arange(self.size)
        return _components(self.size, edges)[1][: self.size]

    @cached_property
    def loops(self) -> int:
        """How many independent loops variables and factors have, joined by slots."""
        scopes = [family.scope for family in self.families]
        count, _ = _components(self.size, scopes)
        return self.slots - self.size - sum(map(len, scopes)) + count

    @property
    def is_forest(self) -> bool:
        """Whether variables and factors, joined by slots, are a graph without a loop."""
        return self.loops == 0


def _check_scope(scope: Slots, size: int) -> None:
    last = scope.max(axis=1, initial=-1)
    if last.size and not (scope.min() >= -1 and 0 <= last.min() <= last.max() < size):
        raise NumericalError(
            "a factor is over a variable that isn't there, or over none",
            where="factor graph",
            expected=f"0 to {size - 1}, or -1 for an empty slot",
            found=f"{scope.min()} to {last.max()}",
        )
    ordered = np.sort(scope, axis=1)
    if ((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0)).any():
        raise NumericalError(
            "a factor names a variable twice",
            where="factor graph",
            remedy="Add up what it says of the variable in one slot, or in its own factor",
        )


def _check_fits(family: Factors, variable: tuple[int, ...]) -> None:
    """Whether a family speaks of variables (d, q) such as these, or of numbers for all."""
    found = family.take(slice(0)).shift(1).shape[1:]
    if any(theirs not in (1, ours) for theirs, ours in zip(found, variable, strict=True)):
        raise NumericalError(
            "a family's shapes differ from the variables'",
            where="factor graph",
            expected=f"dimension and columns {variable}, or 1",
            found=f"{found}",
        )


def _components(size: int, scopes: Sequence[Slots]) -> tuple[int, Slots]:
    """Connected components of the graph of variables and factors: how many, and each one's."""
    graph = bipartite(size, scopes)
    count, labels = connected_components(graph, directed=False)
    return count, labels.astype(np.intp)


def bipartite(size: int, scopes: Sequence[Slots]) -> "sparse.csr_array[np.float64]":
    """Variables 0 ... n-1 and factors n ... of all families, joined by slots, as an adjacency."""
    nodes, variables, factors = size, [], []
    for scope in scopes:
        filled = scope >= 0
        number = np.broadcast_to(nodes + np.arange(len(scope))[:, None], scope.shape)
        variables.append(scope[filled])
        factors.append(number[filled])
        nodes += len(scope)
    ends = (np.concatenate([*variables, []]), np.concatenate([*factors, []]))
    ones = np.ones(len(ends[0]))
    return sparse.csr_array((ones, ends), shape=(nodes, nodes))


def _relative(error: Matrix, of: Matrix) -> float:
    """The largest over columns of |error| / |of|; nothing of nothing is 0."""
    top, bottom = norms(error), norms(of)
    ratio = np.divide(top, bottom, out=top.copy(), where=bottom > 0)
    return float(ratio.max(initial=0.0))


def padded(precisions: Sequence[Matrix], shifts: Sequence[Matrix]) -> tuple[Matrix, Matrix]:
    """Own factors of variables that differ in dimension, as (n, d, d) and (n, d, q).

    What is added is independent of all else, N(0, 1). Factors over such variables have zeros there
    (rows and columns of a coupling, columns of a design).

    Args:
        precisions: (d_i, d_i) each.
        shifts: (d_i, q) each.
    """
    d, q = max(map(len, precisions)), shifts[0].shape[1]
    whole = np.tile(np.eye(d), (len(precisions), 1, 1))
    shift = np.zeros((len(shifts), d, q))
    for i, (precision, own) in enumerate(zip(precisions, shifts, strict=True)):
        whole[i, : len(own), : len(own)] = precision
        shift[i, : len(own)] = own
    return whole, shift

"""Gaussian messages in canonical (information) form.

A message over u in R^r is exp(-1/2 u' Lambda u + eta' u), up to a constant: precision Lambda and
shift eta. A product of messages is the sum of their parameters; that is all a federation needs
to add. A message need not be normalisable: a site with fewer rows than features sends a
semi-definite Lambda. Several outputs that share one precision are kept as columns of eta.

Gaussian belief propagation on a spanning tree is no more than this. Each node has a copy of u, and
the copies are equal. So what a node sends to its parent is its own message times its children's
(``network.sum`` adds the parameters on the way up), and what comes back down is the product of all
messages. Times the prior (``with_prior``), that is every node's belief: exact on a tree, means and
variances, after one sweep up and one down. It is the engine of `propagation` on a graph of copies
(`propagation.factors.Equalities`): tests/inference/messages/propagation/test_federation_tree.py.

References: Bishop 2006, section 2.3, and Koller & Friedman 2009, section 14.2.1 (canonical forms);
Kschischang, Frey & Loeliger 2001 (sum-product); Weiss & Freeman 2001 (Gaussian graphical models,
exactness on trees); Shental, Siegel, Wolf, Bickson & Dolev 2008 (GaBP).
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
from scipy.linalg import cho_solve

from edge_node.arrays import Matrix, Vector
from edge_node.errors import NumericalError
from edge_node.inference.messages.canonical import Canonical

__all__ = ["Gaussian", "cholesky"]


@dataclass(frozen=True)
class Gaussian(Canonical):
    """A Gaussian factor in canonical form; `*` and `/` are those of `Canonical`.

    Attributes:
        precision: Lambda (r, r), symmetric, positive semi-definite.
        shift: eta (r,), or (r, q) for q outputs with the same precision.
    """

    def __post_init__(self) -> None:
        size = len(self.shift)
        if self.precision.shape != (size, size):
            raise NumericalError(
                "a Gaussian's precision and shift differ in size",
                expected=f"precision ({size}, {size}) for shift {self.shift.shape}",
                found=str(self.precision.shape),
            )

    @classmethod
    def flat(cls, size: int, outputs: int | None = None) -> Self:
        """The message of no rows: the product's neutral element."""
        shape = (size,) if outputs is None else (size, outputs)
        return cls(np.zeros((size, size)), np.zeros(shape))

    @property
    def size(self) -> int:
        """r, the number of variables."""
        return len(self.shift)

    def with_prior(self, variance: float = 1.0) -> Self:
        """The product with the prior N(0, variance I): from all rows' message, the posterior.

        The prior must count once. So no summed message contains it; it is multiplied into the
        total.
        """
        precision = self.precision.copy()
        precision[np.diag_indices(self.size)] += 1.0 / variance
        return type(self)(precision, self.shift)

    @cached_property
    def factor(self) -> Matrix:
        """L (r, r) lower, L L' = Lambda. Raises NumericalError unless Lambda > 0."""
        return cholesky(self.precision)

    @cached_property
    def mean(self) -> Vector:
        """Lambda^-1 eta, the shape of ``shift``. Raises NumericalError unless Lambda > 0."""
        mean: Vector = cho_solve((self.factor, True), self.shift, check_finite=False)
        return mean


def cholesky(matrix: Matrix, *, what: str = "precision") -> Matrix:
    """Lower L (r, r) with L L' = ``matrix``. No jitter is added.

    Raises:
        NumericalError: not finite or not positive definite; the message names ``what``.
    """
    if not np.isfinite(matrix).all():
        raise NumericalError(f"the {what} matrix holds values that are not finite")
    try:
        return np.linalg.cholesky(np.asarray(matrix, dtype=np.float64))
    except np.linalg.LinAlgError as error:
        raise NumericalError(
            f"the {what} matrix is not positive definite",
            expected="a proper Gaussian",
            found=f"{len(matrix)} variables of which some are undetermined",
            remedy="Multiply by a proper prior first",
        ) from error

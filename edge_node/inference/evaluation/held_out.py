"""Scores of a site's rows, none of which took part in what predicts it: for `calibration`.

Rows that come in no order are predicted each without itself (`leave_one_out`). If rows are later
than others, what is asked next is later than all of them. A row's neighbours in time then flatter
it, so later rows are predicted from earlier ones (`leave_last_out`): a site takes the messages of
its last rows out of the total. The other sites' rows stay, later ones, too, because nobody but they
can take them out. So what all sites have in common at a time is known in these scores, and is not
when later rows are asked for.

Both are functions of a site's rows and of the federation's total, so their sums over sites need no
more than a sum.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from edge_node.arrays import Matrix, Rows, Vector
from edge_node.inference.evaluation.loo import leave_one_out_predictions
from edge_node.inference.features.blocks import Block, RowRange
from edge_node.inference.features.kernel_graph import random_order
from edge_node.inference.messages.evidence import Evidence
from edge_node.inference.numerics.distances import Indices
from edge_node.inference.numerics.hashing import row_hashes
from edge_node.inference.numerics.streaming import blocks
from edge_node.inference.regression.calibration import HeldOutScores
from edge_node.inference.regression.conditional import ConditionalStatistics, local_conditional
from edge_node.inference.regression.graph_refinement import (
    GraphRefinement,
    refine_by_graph_alike,
)
from edge_node.inference.regression.posterior import Posterior
from edge_node.inference.regression.refinement import OwnRows, Refinement, refine_alike
from edge_node.inference.regression.solved import SolvedBlock

__all__ = [
    "HeldOut",
    "later_rows_global",
    "later_rows_refined",
    "left_out_global",
    "left_out_joined",
    "left_out_refined",
]

_SALT = 2  # the rows that are scored have nothing to do with other uses of the hash
_QUARTERS = (1, 2)
"""The last quarter of a site's rows is predicted from those before it, and so is the third one."""

_TENTHS = 10  # a part of a graph's rows is predicted from nine tenths of them, or more
_MOST_PARTS = 5  # are predicted: for each a message is made again
_MOST_HELD = 2000  # rows of all these parts, about

_MOST_SCORED = 1000  # rows of a quarter, evenly spaced: neighbours in time say nearly the same


@dataclass(frozen=True)
class HeldOut:
    """Predictions of rows that took no part in them.

    Attributes:
        errors: target - mean (n,).
        deviations: predicted standard deviations (n,), noise included.
    """

    errors: Vector
    deviations: Vector

    @classmethod
    def of(cls, y: Vector, mean: Vector, variance: Vector) -> Self:
        """From predictions of targets y (n,)."""
        return cls(y - mean, np.sqrt(variance))

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Of all parts' rows; there may be none."""
        errors = [np.empty(0), *(part.errors for part in parts)]
        deviations = [np.empty(0), *(part.deviations for part in parts)]
        return cls(np.concatenate(errors), np.concatenate(deviations))

    def __len__(self) -> int:
        return len(self.errors)

    @property
    def distinct(self) -> int:
        """At least how many of the rows are distinct: copies of one have the same error."""
        return len(np.unique(self.errors))

    @property
    def scores(self) -> HeldOutScores:
        """What of them is summed."""
        return HeldOutScores.of(self.errors / self.deviations)

    def losses(self, factor: float) -> Vector:
        """-log p (n,) of each row, nats, if variances are multiplied by ``factor``."""
        variance = factor * np.square(self.deviations)
        losses: Vector = 0.5 * (np.log(2 * np.pi * variance) + np.square(self.errors) / variance)
        return losses


def left_out_global(rows: Rows, posterior: Posterior, share: float) -> HeldOut:
    """Rows that the global posterior was learnt from, each predicted without itself.

    Args:
        rows: this node's, chunks (X (n, d), y (n,)).
        posterior: the posterior.
        share: about how many of the rows are scored, chosen by their hash: the same ones wherever
            they lie.
    """
    most = np.uint64(max(int(min(share, 1.0) * 2**64) - 1, 0))
    parts = []
    for X, y in blocks(rows):
        chosen = row_hashes(X, _SALT) <= most
        X, y = X[chosen], y[chosen]
        if len(y):
            parts.append(HeldOut.of(y, *leave_one_out_predictions(X, y, posterior)))
    return HeldOut.joined(parts)


def left_out_refined(refinement: Refinement, posterior: Posterior) -> tuple[HeldOut, HeldOut]:
    """The rows of a site's blocks, each predicted without itself: by the refinement, and by the
    global posterior.
    """
    here = posterior.at_place()
    refined, plain = [], []
    for block in refinement.blocks:
        solved = SolvedBlock.of(block, refinement.posterior, refinement.left)
        errors, variance = solved.leave_one_out()
        refined.append(HeldOut(errors, np.sqrt(variance)))
        X, y = block.inputs, block.targets
        plain.append(HeldOut.of(y, *leave_one_out_predictions(X, y, here)))
    return HeldOut.joined(refined), HeldOut.joined(plain)


def left_out_joined(
    refinement: GraphRefinement, rows: Rows, posterior: Posterior, total: ConditionalStatistics
) -> tuple[HeldOut, HeldOut]:
    """Some of a site's rows, predicted without a tenth of them that they are in: by a refinement
    like the site's, and by the global posterior, each without itself.

    A row's target takes part in its neighbours' terms. So the message is made again of the other
    nine tenths, or more where rows are many. A region's rows are left out of its own
    (`GraphRefinement.leave_out`), so that it is solved once for all tenths. What was chosen by all
    rows stays: kernel, noise, amplitude and, with Student-t noise, the rows' weights.

    Args:
        refinement: the site's; its noise and amplitude are taken.
        rows: this node's, chunks (X (n, d), y (n,)).
        posterior: the global one.
        total: the statistics of all sites' rows that it is made of.
    """
    others, own, here = _others(rows, posterior, total), refinement.rows, posterior.at_place()
    sets, answered = [], []
    for held in _held(own):
        kept = own.some(np.delete(np.arange(len(own.targets)), held))
        like = refine_by_graph_alike(refinement, others, kept)
        sets.append((held, like.posterior))
        answered.append(like.answers(own.inputs[held]))
    refined, plain = [], []
    found = refinement.leave_out(sets)
    for (held, _), (errors, variance), known in zip(sets, found, answered, strict=True):
        X, y = own.inputs[held], own.targets[held]
        refined.append(_those(HeldOut(errors, np.sqrt(variance)), known))
        plain.append(_those(HeldOut.of(y, *leave_one_out_predictions(X, y, here)), known))
    return HeldOut.joined(refined), HeldOut.joined(plain)


def _held(rows: Block) -> list[Indices]:
    """Sets of a site's rows, each to be left out by itself; none of a single row."""
    order = random_order(rows.inputs)
    parts = max(_TENTHS, -(-len(order) // _MOST_HELD))
    most = min(_MOST_PARTS, max(1, _MOST_HELD * parts // len(order)))
    return [order[i::parts] for i in range(most) if i < len(order) > 1]


@dataclass(frozen=True)
class _Quarter:
    """Some rows to be predicted, the rows of the site before them, and the statistics of all of
    the site's rows from them on.
    """

    X: Matrix
    y: Vector
    earlier: Rows
    from_there_on: ConditionalStatistics


def _quarters(rows: Rows, posterior: Posterior) -> Iterator[_Quarter]:
    """Later rows to be predicted, of ``rows`` with the latest first."""
    count = sum(len(y) for _, y in rows)
    taken: ConditionalStatistics | None = None
    for i in _QUARTERS:
        start, stop = ((i - 1) * count) // 4, (i * count) // 4
        if start == stop:
            continue
        chunks = list(RowRange(rows, start, stop))
        (part,) = local_conditional(
            chunks, posterior.features, [posterior.noise], posterior.precisions
        )
        taken = part if taken is None else taken + part
        X, y = (np.concatenate(each) for each in zip(*chunks, strict=True))
        chosen = np.unique(np.linspace(0, len(y) - 1, min(len(y), _MOST_SCORED)).astype(int))
        yield _Quarter(X[chosen], y[chosen], RowRange(rows, stop), taken)


def later_rows_global(rows: Rows, posterior: Posterior, total: ConditionalStatistics) -> HeldOut:
    """Later rows of a site, predicted by the global posterior without these and still later ones.

    Args:
        rows: this node's, chunks (X (n, d), y (n,)), the latest first.
        posterior: the global one.
        total: the statistics of all sites' rows that it is made of.
    """
    parts = []
    for quarter in _quarters(rows, posterior):
        without = _without(posterior, total, quarter)
        parts.append(_predicted(without, quarter))
    return HeldOut.joined(parts)


def later_rows_refined(
    refinement: Refinement | GraphRefinement,
    rows: Rows,
    posterior: Posterior,
    total: ConditionalStatistics,
    *,
    most: int,
    size: int,
) -> tuple[HeldOut, HeldOut]:
    """Later rows of a site, predicted without these and still later ones: by a refinement like the
    site's, and by the global posterior; only those for which the site answers.

    Args:
        refinement: the site's; its noise and amplitude are taken.
        rows: this node's, chunks (X (n, d), y (n,)), the latest first.
        posterior: the global one.
        total: the statistics of all sites' rows that it is made of.
        most: how many rows are kept in blocks.
        size: rows in a block at most.
    """
    others, features = _others(rows, posterior, total), posterior.features
    refined, plain = [], []

    def alike(earlier: Rows) -> Refinement | GraphRefinement:
        precisions = posterior.precisions
        if isinstance(refinement, GraphRefinement):
            (kept,) = OwnRows.together(earlier, features, precisions=precisions).blocks
            return refine_by_graph_alike(refinement, others, kept)
        own = OwnRows.of(earlier, features, most, size, precisions=precisions)
        return refine_alike(refinement, others, own)

    for quarter in _quarters(rows, posterior):
        like = alike(quarter.earlier)
        mean, variance, answered = like.predict(quarter.X)
        found = HeldOut.of(quarter.y, mean, variance + like.noise_variance)
        refined.append(_those(found, answered))
        plain.append(_those(_predicted(_without(posterior, total, quarter), quarter), answered))
    return HeldOut.joined(refined), HeldOut.joined(plain)


def _others(
    rows: Rows, posterior: Posterior, total: ConditionalStatistics
) -> ConditionalStatistics:
    """The statistics of the other sites' rows."""
    (own,) = local_conditional(rows, posterior.features, [posterior.noise], posterior.precisions)
    return total.without(own)


def _without(posterior: Posterior, total: ConditionalStatistics, quarter: _Quarter) -> Posterior:
    """The posterior of all rows but the site's from a quarter on."""
    message = total.without(quarter.from_there_on).message
    evidence = Evidence(posterior.log_evidence, posterior.noise, posterior.amplitude)
    return Posterior.of(message, posterior.features, evidence, posterior.precisions)


def _predicted(posterior: Posterior, quarter: _Quarter) -> HeldOut:
    mean, variance = posterior.predict(quarter.X)
    return HeldOut.of(quarter.y, mean, variance + posterior.noise_variance)


def _those(rows: HeldOut, chosen: NDArray[np.bool_]) -> HeldOut:
    return HeldOut(rows.errors[chosen], rows.deviations[chosen])

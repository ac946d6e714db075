"""Agreeing on which inputs matter, before any model is there (`inference.features.screening`).

A sum over a column is a sum over a group: the rows that have a value, or those of a class that have
one. And a column of few different values divides the rows into groups. So does one that is mostly
one value: into the rows that have it, and the others. If a single row of a class is another, its
products with all columns are the row. So a site gives a column's sums only where all these groups
are large enough, with outermost values moved inwards, as the encoding does. Columns that any site
calls hardly unknown, categories and gaps are not looked at, but kept.

Products of columns take more of a class's rows than there are columns, as those of the encoding do
(`edge_node.data.sums.spread`): they are products over the rows of a class.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import msgspec
import numpy as np
from numpy.typing import NDArray

from edge_node.arrays import Matrix, Vector
from edge_node.config import DataSpec
from edge_node.data.encoding.encoder import Encoder
from edge_node.data.sources.copies import DistinctRows
from edge_node.data.sources.source import Source
from edge_node.inference.features.screening import Screening
from edge_node.network.base import Network, sum_and_decide
from edge_node.program.encoding import Encoding
from edge_node.program.root_decisions import read_kept
from edge_node.step import Step

__all__ = ["SCREEN", "Screened", "agree_kept"]

SCREEN = Step("screen")

_MOST_KEPT = 0.5  # share of the inputs beyond which a selection isn't worth a comparison
_ROWS_PER_COLUMN = 2  # of products, as for `edge_node.data.sums.spread`
_SAMPLE = 2000  # rows of a class by which its most common values are found, or a few more


@dataclass(frozen=True)
class Screened:
    """A site's rows, as inputs are screened with them.

    Attributes:
        source: the rows.
        data: the schema.
        encoding: what was agreed on before.
        fewest: how many of its own rows the site gives to a sum over a group, at least.
    """

    source: Source
    data: DataSpec
    encoding: Encoding
    fewest: int

    @property
    def encoder(self) -> Encoder:
        """The agreed one."""
        return self.encoding.encoder

    @property
    def looked_at(self) -> list[int]:
        """The inputs that are looked at: places among the encoder's numbers, which come first."""
        known = self.encoding.known
        return [i for i, each in enumerate(self.encoder.numeric) if not known[each.index]]

    @property
    def columns(self) -> list[int]:
        """Where they are among the schema's numeric columns."""
        return [self.encoder.numeric[place].index for place in self.looked_at]

    @cached_property
    def groups(self) -> NDArray[np.int64]:
        """Distinct rows of each class (a number: of all) in a group, (2, C, J, J): those that have
        both values; and those that have both, neither of which is the class's most common one.
        """
        groups = np.zeros((2, self._classes, len(self.columns), len(self.columns)), dtype=np.int64)
        common = self._common
        for i, values in self._distinct():
            held = ~np.isnan(values)
            for own, counted in zip((held, held & (values != common[i])), groups, strict=True):
                of_both = own.T.astype(np.float64) @ own
                counted[i] += np.rint(of_both).astype(np.int64)
        return groups

    @property
    def _common(self) -> Matrix:
        """Each class's most common value of each column (C, J), among its first rows: one that few
        of the rows don't have is the most common of those, too.
        """
        sample: list[Matrix] = [np.empty((0, len(self.columns)))] * self._classes
        for i, values in self._distinct():
            if len(sample[i]) < _SAMPLE:
                sample[i] = np.vstack([sample[i], values])
        return np.array([[_most_common(column) for column in each.T] for each in sample])

    @property
    def _classes(self) -> int:
        return max(len(self.data.classes), 1)

    def _distinct(self) -> Iterator[tuple[int, Matrix]]:
        """Distinct rows of each class, in chunks: the class, and the columns' values (n, J)."""
        copies = DistinctRows()
        for batch in self.source.batches():
            first = copies.add(batch)
            values = self.encoding.given.numbers(batch, self.data)[:, self.columns]
            for i in range(self._classes):
                yield i, values[first & (batch.target == i) if self.data.classes else first]

    @property
    def given(self) -> NDArray[np.bool_]:
        """Of which inputs sums are given (J,): no class has a few values of them, or a few that
        aren't its most common one.
        """
        few = np.diagonal(self._few, axis1=2, axis2=3)
        return np.logical_not(few.any(axis=(0, 1)))

    @property
    def enough(self) -> NDArray[np.bool_]:
        """Of which pairs (J, J): each class has values of both in more rows than columns, and not
        in a few rows two that aren't its most common ones.
        """
        per_column = _ROWS_PER_COLUMN if self.fewest > 1 else 0
        own = int(np.count_nonzero(self.encoding.given.values[self.columns]))
        few = self.groups[0] < max(self.fewest, per_column * own)
        enough: NDArray[np.bool_] = ~np.any(few | self._few[1], axis=0)
        return enough

    @property
    def _few(self) -> NDArray[np.bool_]:
        """Which groups hold some rows, but too few."""
        few: NDArray[np.bool_] = (self.groups > 0) & (self.groups < self.fewest)
        return few

    def __iter__(self) -> Iterator[tuple[Matrix, Matrix]]:
        """Chunks of standardised inputs and centred targets."""
        numbers = [self.encoder.numeric[place] for place in self.looked_at]
        location, scale, most = np.array([(n.location, n.scale, n.most) for n in numbers]).T
        for batch in self.source.batches():
            values = self.encoding.given.numbers(batch, self.data)
            Z = np.clip((values[:, self.columns] - location) / scale, -most, most)
            Z[:, ~self.given] = np.nan
            if self.data.task.has_classes:
                yield Z, self._indicators(batch.target)
                continue
            y = (values[:, -1] - self.encoder.target_location) / self.encoder.target_scale
            bound = self.encoder.target_most or np.inf
            yield Z, np.clip(np.nan_to_num(y), -bound, bound)[:, None]

    def _indicators(self, target: Vector | None) -> Matrix:
        """Each class's, less its share; of two classes, one's (n, targets)."""
        counts = np.array(self.encoder.class_counts, dtype=np.float64)
        shares = counts / counts.sum()
        assert target is not None  # noqa: S101 - rows that take part have a class
        first = 1 if len(counts) == 2 else 0
        indicators: Matrix = (target[:, None] == np.arange(first, len(counts))) - shares[first:]
        return indicators


async def agree_kept(
    network: Network,
    rows: Screened,
    screening: Screening,
    choose: Callable[[tuple[int, ...]], bytes],
) -> tuple[tuple[int, ...], bytes]:
    """The inputs that a metric may start from, if they are few; and what follows from them.

    Args:
        network: the network.
        rows: this node's.
        screening: what is summed, at most: of all numeric columns.
        choose: what the root chooses from the inputs that are kept.

    Returns:
        The inputs (their places in an encoded row, ascending) that are found to matter, and those
        that were not looked at; none where nothing was found, or where more than half of all are
        left. And what was chosen.
    """
    inputs, looked_at = len(rows.encoder.feature_names), rows.looked_at
    screening = replace(screening, inputs=len(looked_at))

    def kept(total: Vector) -> tuple[int, ...]:
        found = [looked_at[j] for j in screening.relevant(total, rows.encoder.rows)]
        others = set(range(inputs)).difference(looked_at)
        few = found and len(found) + len(others) <= _MOST_KEPT * inputs
        return tuple(sorted([*found, *others])) if few else ()

    def decide(total: Vector) -> bytes:
        found = kept(total)
        return msgspec.msgpack.encode((found, choose(found)))

    local = screening.local(rows, rows.enough if screening.pairs else None)
    resolution = screening.inputs if screening.pairs else 0
    _, chosen = await sum_and_decide(network, SCREEN, local, decide, features=resolution)
    return read_kept(chosen, inputs, step=str(SCREEN))


def _most_common(values: Vector) -> float:
    """NaN if there is none."""
    found, counts = np.unique(values[~np.isnan(values)], return_counts=True)
    return float(found[counts.argmax()]) if len(found) else np.nan

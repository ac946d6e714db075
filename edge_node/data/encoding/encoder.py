"""The agreed encoding: rows to inputs, targets to standardised targets and back.

A missing number is imputed with the federated mean, and an indicator input says so. A category that
is not in the list is all zeros. Numbers have unit variance; one-hot and indicator inputs keep their
unit step and are only centred: scaled to unit variance, the rarest categories would be the farthest
away.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Self

import msgspec
import numpy as np
from numpy.typing import NDArray

from edge_node.arrays import Matrix, Vector
from edge_node.config import ColumnKind, Task
from edge_node.data.encoding.signed_log import SignedLog
from edge_node.data.encoding.targets import as_summed
from edge_node.data.sources.joined import JoinedRows
from edge_node.data.sources.source import Batch, Source
from edge_node.errors import DataError

__all__ = [
    "CategoricalFeature",
    "EncodedRows",
    "Encoder",
    "MissingFeature",
    "NumericFeature",
]


class NumericFeature(msgspec.Struct, frozen=True):
    """Input (x - location) / scale of the numeric column at ``index``.

    Of a heavy-tailed column x is its signed logarithm (``log``), which location and scale are of.

    ``most`` bounds its absolute value: an input beyond it counts as the bound. If the bound is the
    spec's (``of_spec``), users are told of numbers beyond it; otherwise they are to be expected.
    """

    name: str
    index: int
    location: float
    scale: float
    most: float
    of_spec: bool = False
    log: SignedLog | None = None


class CategoricalFeature(msgspec.Struct, frozen=True):
    """Inputs [x = label] - share of the categorical column at ``index``."""

    name: str
    index: int
    labels: tuple[str, ...]
    shares: tuple[float, ...]


class MissingFeature(msgspec.Struct, frozen=True):
    """Input [x is missing] - share of a column; ``kind`` says among which columns ``index`` is."""

    name: str
    kind: ColumnKind
    index: int
    share: float


class Encoder(msgspec.Struct, frozen=True):
    """The agreed encoding; inputs are ordered numeric, one-hot, missing.

    ``target_most`` bounds a standardised target's absolute value, as ``most`` does an input's;
    None: nothing does. ``task`` says on which scale the target is standardised (`targets`).
    ``wild_targets``: some site has several targets far beyond all others.
    """

    numeric: tuple[NumericFeature, ...]
    categorical: tuple[CategoricalFeature, ...]
    missing: tuple[MissingFeature, ...]
    target_location: float
    target_scale: float
    rows: int
    class_counts: tuple[int, ...]
    warnings: tuple[str, ...]
    target_most: float | None = None
    task: Task = Task.REGRESSION
    wild_targets: bool = False

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The inputs' names."""
        one_hot = [f"{f.name}={label}" for f in self.categorical for label in f.labels]
        missing = [f"{f.name} is missing" for f in self.missing]
        return (*(f.name for f in self.numeric), *one_hot, *missing)

    def encode(self, batch: Batch) -> Matrix:
        """A batch's inputs (n, d)."""
        columns = [_standardised(batch.numeric[:, f.index], f) for f in self.numeric]
        for category in self.categorical:
            held = batch.categorical[:, category.index]
            pairs = zip(category.labels, category.shares, strict=True)
            columns.extend(_centred(held == label, share) for label, share in pairs)
        columns.extend(_centred(batch.is_missing(m.kind, m.index), m.share) for m in self.missing)
        return np.column_stack(columns)

    def targets(self, batch: Batch) -> Vector:
        """A batch's targets (n,): standardised, or class indices. Times to an event: (n, 2), with
        whether it was seen in the second column.
        """
        if batch.target is None:
            raise DataError("the rows have no target")
        scaled: Vector = as_summed(batch.target, self.task) - self.target_location
        scaled /= self.target_scale
        if self.target_most is not None:
            scaled = np.clip(scaled, -self.target_most, self.target_most)
        if self.task is Task.SURVIVAL:
            return np.column_stack([scaled, batch.target > 0])
        return scaled

    def unscale(self, mean: Vector, sd: Vector) -> tuple[Vector, Vector]:
        """Mean and sd of standardised targets, in the target's own unit."""
        return self.target_location + self.target_scale * mean, self.target_scale * sd

    def warnings_for(self, batch: Batch) -> list[str]:
        """A sentence for each column with labels that the federation doesn't know, or with numbers
        beyond the spec's bounds: how many rows have them.
        """
        found = []
        for category in self.categorical:
            held = batch.categorical[:, category.index]
            known = {None, *category.labels}
            unseen = [label for label in held if label not in known]
            if unseen:
                names = ", ".join(repr(label) for label in sorted(set(unseen))[:5])
                found.append(
                    f"column {category.name!r}: {len(unseen)} rows with an unseen category "
                    f"({names}); they are treated as none of the known ones"
                )
        for number in self.numeric:
            beyond = _beyond(batch.numeric[:, number.index], number)
            if beyond.any():
                found.append(
                    f"column {number.name!r}: {beyond.sum()} rows beyond the spec's bounds; they "
                    "are treated as being at them"
                )
        return found

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return dict(msgspec.to_builtins(self))

    @classmethod
    def from_dict(cls, value: dict[str, Any]) -> Self:
        """The inverse of ``to_dict``. Raises msgspec.ValidationError."""
        return msgspec.convert(value, cls)


@dataclass
class EncodedRows:
    """A source as the mathematics sees it: chunks (X (n, d), y (n,)), again and again.

    The first pass keeps the encoded rows, if they take at most ``most_bytes``. More rows are read
    and encoded anew in each pass, so that memory doesn't grow with them.
    """

    source: Source
    encoder: Encoder
    most_bytes: int = 16 << 20
    _kept: list[tuple[Matrix, Vector]] | None = field(default=None, init=False, repr=False)

    @property
    def sites(self) -> list["EncodedRows"]:
        """The rows of each site, where one machine has several sites' rows."""
        if not isinstance(self.source, JoinedRows):
            return [self]
        return [EncodedRows(each, self.encoder, self.most_bytes) for each in self.source.sources]

    def __iter__(self) -> Iterator[tuple[Matrix, Vector]]:
        if self._kept is not None:
            yield from self._kept
            return
        kept: list[tuple[Matrix, Vector]] = []
        size = 0
        for batch in self.source.batches():
            X, y = self.encoder.encode(batch), self.encoder.targets(batch)
            X.setflags(write=False)
            y.setflags(write=False)
            size += X.nbytes + y.nbytes
            if size > self.most_bytes:
                kept.clear()
            else:
                kept.append((X, y))
            yield X, y
        if size <= self.most_bytes:
            self._kept = kept


def _standardised(values: Vector, number: NumericFeature) -> Vector:
    """A numeric column's inputs; missing values are the mean."""
    if number.log is not None:
        values = number.log(values)
    with np.errstate(over="ignore"):
        scaled = (values - number.location) / number.scale
    return np.nan_to_num(np.clip(scaled, -number.most, number.most), nan=0.0)


def _beyond(values: Vector, number: NumericFeature) -> NDArray[np.bool_]:
    """Which values (n,) are beyond a bound of the spec, allowing for rounding."""
    most = number.most * (1.0 + 1e-9) if number.of_spec else np.inf
    beyond: NDArray[np.bool_] = np.abs(values - number.location) > most * number.scale
    return beyond


def _centred(indicator: NDArray[np.bool_], share: float) -> Vector:
    centred: Vector = indicator.astype(np.float64) - share
    return centred

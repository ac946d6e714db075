"""Rows in memory as the sites' own: which rows each site has, and how often each counts.

A row's weight says how often it counts. A row of weight two is passed on twice, so every sum holds
it twice, whatever is summed; a row of weight zero takes no part. What rows may tell is counted in
distinct rows, so weights change nothing there.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edge_node.arrays import Matrix, Vector
from edge_node.data.sources.source import BATCH_ROWS, Batch
from edge_node.estimators.errors import InputError

__all__ = [
    "MOST_COLUMNS",
    "TableSource",
    "Target",
    "check_width",
    "counted_rows",
    "dense_parts",
    "latest_first",
    "sources_of",
]

MOST_COLUMNS = 4096
"""Columns of sparse input. The covariance and the metric of d columns take d^2 numbers each, and
d^3 operations."""

_MOST_ROWS = 1 << 26  # with repetitions: their positions take half a gigabyte
_BATCH_CELLS = 1 << 23  # dense ones in memory at a time: 64 MB


@dataclass(frozen=True)
class Target:
    """What is to be learnt.

    Attributes:
        values: (n,) numbers, or indices of classes.
        rows: the positions of the rows that count (`counted_rows`).
        name: the target's, where it has one.
        classes: their texts.
        kind: NumPy's type of the classes; empty: text, or any object.
        timed: whether the rows' positions are in the order of time, the latest first.
    """

    values: Vector
    rows: NDArray[np.intp]
    name: str
    classes: tuple[str, ...] = ()
    kind: str = ""
    timed: bool = False

    @classmethod
    def named(cls, y: Any, values: Vector, rows: NDArray[np.intp], **classes: Any) -> Self:
        """With the name of y, if it is a series."""
        return cls(values, rows, str(getattr(y, "name", None) or "y"), **classes)


@dataclass(frozen=True)
class TableSource:
    """Some rows of a table in memory. Sparse ones become dense one batch at a time.

    Attributes:
        numeric: (n, p), NaN where missing: an array, or sparse by rows.
        categorical: (n, q) of str, None where missing.
        target: (n,), or None.
        rows: the positions of this source's rows; one that counts twice is there twice.
    """

    numeric: Any
    categorical: NDArray[np.object_]
    target: Vector | None
    rows: NDArray[np.intp]

    def batches(self) -> Iterator[Batch]:
        """The rows in order, at most ``BATCH_ROWS`` at a time."""
        step = min(BATCH_ROWS, max(1, _BATCH_CELLS // max(1, self.numeric.shape[1])))
        for each in np.split(self.rows, range(step, len(self.rows), step)):
            yield Batch(
                _dense(self.numeric[each]),
                self.categorical[each],
                None if self.target is None else self.target[each],
            )


def _dense(numbers: Any) -> Matrix:
    found: Matrix = numbers if isinstance(numbers, np.ndarray) else numbers.toarray()
    return found


def dense_parts(batch: Batch) -> Iterator[Batch]:
    """Rows to be answered: as they are, or, if they are sparse, dense ones a part at a time."""
    if isinstance(batch.numeric, np.ndarray):
        return iter([batch])
    rows = np.arange(batch.numeric.shape[0])
    return TableSource(batch.numeric, batch.categorical, None, rows).batches()


def check_width(X: Any) -> None:
    """Raise InputError if sparse X has too many columns to be treated as dense ones."""
    if X.shape[1] > MOST_COLUMNS:
        raise InputError(
            "sparse input has too many columns: the model holds a square matrix of them",
            where="X",
            expected=f"at most {MOST_COLUMNS}",
            found=f"{X.shape[1]}",
            remedy="Reduce them first, for example with sklearn.decomposition.TruncatedSVD",
        )


def counted_rows(weights: ArrayLike | None, rows: int, *, seed: int) -> NDArray[np.intp]:
    """The positions of the rows that count, each as often as it does.

    Weights that aren't whole numbers are rounded by systematic resampling (Kitagawa 1996): a row of
    weight w counts floor(w) or ceil(w) times, w times on average over seeds, and the sum is kept.

    Args:
        weights: (n,) or one number for all rows; None: each row counts once.
        rows: n.
        seed: of the order in which weights are rounded.

    Raises:
        InputError: a weight is negative or no number, there are not ``rows`` of them, or they are
            too small, or too large, for the rows that they stand for.
    """
    if weights is None:
        return np.arange(rows)
    found = _checked(weights, rows)
    total = float(found.sum())
    if total == 0.0:
        raise InputError("every weight is zero", where="sample_weight", expected="some above zero")
    if not 1.5 <= total <= _MOST_ROWS:
        raise InputError(
            "the weights stand for too few or too many rows: a row of weight 2 counts as two rows",
            where="sample_weight",
            expected=f"a sum from 2 to {_MOST_ROWS}",
            found=f"{total:g}",
            remedy="Scale the weights, for example to a mean of 1",
        )
    times = found.astype(np.intp)
    if not np.array_equal(times, found):
        order = np.random.default_rng(seed).permutation(rows)
        ends = np.floor(np.cumsum(found[order]) + 0.5).astype(np.intp)
        times[order] = np.diff(ends, prepend=0)
    return np.repeat(np.arange(rows), times)


def _checked(weights: ArrayLike, rows: int) -> Vector:
    try:
        found = np.asarray(weights, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError("weights are numbers", where="sample_weight", found=str(error)) from error
    found = np.full(rows, found) if found.ndim == 0 else found
    if found.shape != (rows,):
        raise InputError(
            "`sample_weight` must have a number for each row",
            where="sample_weight",
            expected=f"shape ({rows},)",
            found=str(found.shape),
        )
    wrong = np.flatnonzero(~((found >= 0) & np.isfinite(found)))
    if len(wrong):
        raise InputError(
            "a weight is negative or not a finite number",
            where=f"sample_weight, row {wrong[0] + 1}",
            expected="zero or more",
            found=f"{found[wrong[0]]:g}",
        )
    return found


def latest_first(rows: NDArray[np.intp], time: ArrayLike, size: int) -> NDArray[np.intp]:
    """The positions of rows in the order of time, the latest first; of one time as they were.

    Args:
        rows: positions among ``size`` rows.
        time: (n,) numbers, or NumPy's dates.
        size: n.

    Raises:
        InputError: ``time`` is not of this form, or a row has none.
    """
    found = np.asarray(time)
    dates = found.dtype.kind == "M"
    if not dates and found.dtype.kind not in "iuf":
        raise InputError(
            "`time` must hold numbers or NumPy's dates",
            where="time",
            expected="an array of numbers or of datetime64",
            found=str(found.dtype),
            remedy="Convert it, for example with pandas.to_datetime(...).to_numpy()",
        )
    if found.shape != (size,):
        raise InputError(
            "`time` must have an entry for each row",
            where="time",
            expected=f"shape ({size},)",
            found=str(found.shape),
        )
    missing = np.isnat(found) if dates else ~np.isfinite(found)
    if missing.any():
        raise InputError("a row has no time", where=f"time, row {int(missing.argmax()) + 1}")
    _, ranks = np.unique(found, return_inverse=True)
    return rows[np.argsort(-ranks[rows], kind="stable")]


def sources_of(
    batch: Batch, sites: ArrayLike | None, rows: NDArray[np.intp] | None = None
) -> Mapping[str, TableSource]:
    """Each site's rows, in their order; without ``sites``, all of them at one node.

    Args:
        batch: all rows, with their targets; numbers may be sparse.
        sites: (n,) labels of any type; equal texts are the same site. A site of whose rows none
            counts is none.
        rows: positions of those that count (`counted_rows`). None: all, once.

    Raises:
        InputError: a row has no site, or ``sites`` is not of the rows' length.
    """
    size = batch.numeric.shape[0]
    rows = np.arange(size) if rows is None else rows

    def source(own: NDArray[np.intp]) -> TableSource:
        return TableSource(batch.numeric, batch.categorical, batch.target, own)

    if sites is None:
        return {"here": source(rows)}
    labels = np.asarray(sites, dtype=object)
    if labels.shape != (size,):
        raise InputError(
            "`sites` must name each row's site",
            where="sites",
            expected=f"shape ({size},)",
            found=str(labels.shape),
        )
    for row, label in enumerate(labels, start=1):
        if label is None or label != label:  # noqa: PLR0124 - only NaN differs from itself
            raise InputError("a row has no site", where=f"sites, row {row}", found=repr(label))
    names, owners = np.unique(labels.astype(str)[rows], return_inverse=True)
    return {str(name): source(rows[owners == i]) for i, name in enumerate(names)}

"""A site's rows without those of classes of which it has too few.

Where the target is a time, rows in which the event was seen are one class, and all others another.

The sum of features over the rows of a class follows from a classifier's totals. If a site had one
row of a class, its part of that sum would be the row. So such rows take part in no sum at all.
Copies of a row count once.

Censored rows without the events that belong to them would say that events come late. So a site with
too few events gives none of its rows.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from edge_node.arrays import Vector
from edge_node.config import DataSpec, Task
from edge_node.data.sources.copies import FirstCopies, batch_hashes
from edge_node.data.sources.source import Batch, Source

__all__ = ["ClassRows", "class_counts", "without_rare_classes"]


@dataclass(frozen=True)
class ClassRows:
    """The rows of some classes, in the source's order.

    Attributes:
        source: the source.
        classes: indices of the classes whose rows are kept.
        left_out: how many rows of which classes aren't, in words.
        task: what the target is.
    """

    source: Source
    classes: tuple[int, ...]
    left_out: str
    task: Task = Task.CLASSIFICATION

    def batches(self) -> Iterator[Batch]:
        """Batches of the source; those without any such row are empty."""
        for batch in self.source.batches():
            if batch.target is None:
                yield batch
                continue
            kept = np.isin(_classes_of(batch.target, self.task), self.classes)
            yield Batch(batch.numeric[kept], batch.categorical[kept], batch.target[kept])


def without_rare_classes(source: Source, data: DataSpec, fewest: int) -> Source:
    """The rows with which a site takes part: those of classes of which it has enough.

    A regression takes part with all rows, and so do counts.

    Args:
        source: the site's rows; targets that are no class are left to be refused by name.
        data: the schema.
        fewest: how many distinct rows of a class the site must have.
    """
    names = data.classes
    if data.task is Task.SURVIVAL:
        names = ("no event", "an event")
    if not names or fewest <= 1:
        return source
    counts, distinct = np.zeros((2, len(names)))
    copies = FirstCopies()
    for batch in source.batches():
        target = None if batch.target is None else _classes_of(batch.target, data.task)
        if target is None or not np.isin(target, range(len(counts))).all():
            return source
        counts += class_counts(target, len(counts))
        first = copies.add(batch_hashes(batch, with_target=True))
        distinct += class_counts(target[first], len(counts))
    rare = [i for i, rows in enumerate(distinct.tolist()) if 0 < rows < fewest]
    if not rare:
        return source
    if data.task is Task.SURVIVAL and 1 in rare:
        rare = [0, 1]
    described = ", ".join(f"{counts[i]:.0f} of class {names[i]!r}" for i in rare)
    kept = tuple(i for i in range(len(counts)) if i not in rare)
    return ClassRows(source, kept, described, data.task)


def _classes_of(target: Vector, task: Task) -> Vector:
    """Class indices (n,): of a time, whether its event was seen."""
    return (target > 0).astype(np.float64) if task is Task.SURVIVAL else target


def class_counts(target: Vector | None, classes: int) -> Vector:
    """Rows of each class (classes,), of targets (n,) that are class indices."""
    indices = np.empty(0) if target is None else target
    return np.bincount(indices.astype(np.int64), minlength=classes).astype(np.float64)

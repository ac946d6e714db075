"""A few rows of a data set that are near each other under the kernel: small enough to watch.

The kernel is the neural tangent kernel of one hidden ReLU layer, divided by its values at the rows
themselves: k(x, x) = 1, so that k(x, z) says how alike two rows are. The rows are numbered so that
each one's most similar earlier row is its parent in the maximum spanning tree of the kernel values.
That is the order in which Prim's algorithm adds them (Prim 1957).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_node.arrays import Matrix, Vector
from edge_node.config import Activation, KernelKind, Task
from edge_node.demo.data.datasets import Dataset
from edge_node.demo.data.numbers import standardised_inputs
from edge_node.errors import DataError
from edge_node.inference.kernels.dense import DenseKernel, critical_variances

__all__ = ["ROWS", "Handful", "handful"]

ROWS = 12
_DIGITS = 2  # decimals of standardised inputs: rows that are equal to these count as copies
_READ = 500  # rows of a large file that are looked at, spread evenly: the kernel is dense


@dataclass(frozen=True)
class Handful:
    """Rows near each other, numbered in Prim's order.

    Attributes:
        source: the data set's name.
        target: what is predicted, in words.
        numbers: where each row is in the data set, (n,).
        kernel: k between rows, (n, n), with a diagonal of ones.
        values: the targets (n,), in their own units.
        mean: of the targets of all rows that were looked at.
        deviation: of these targets.
    """

    source: str
    target: str
    numbers: NDArray[np.intp]
    kernel: Matrix
    values: Vector
    mean: float
    deviation: float

    @property
    def size(self) -> int:
        """n, how many rows."""
        return len(self.values)


def handful(dataset: Dataset) -> Handful:
    """The first row whose nearest rows differ in their targets, with these.

    Raises:
        DataError: too few rows, a target that is no number and no pair of labels, or one that
            hardly varies.
    """
    values, target = _targets(dataset)
    inputs = standardised_inputs(dataset)
    read = _spread(inputs)
    if len(read) < ROWS:
        raise _unfit(
            dataset,
            "too few different rows to watch",
            expected=f"at least {ROWS}",
            found=str(len(read)),
        )
    kernel, values = _similarity(inputs[read]), values[read]
    chosen = _first_that_varies(kernel, values)
    if chosen is None:
        raise _unfit(dataset, "near rows all have the same target", expected="a target that varies")
    chosen = chosen[_prims_order(kernel[np.ix_(chosen, chosen)])]
    return Handful(
        source=dataset.name,
        target=target,
        numbers=read[chosen],
        kernel=kernel[np.ix_(chosen, chosen)],
        values=values[chosen],
        mean=float(values.mean()),
        deviation=float(values.std()),
    )


def _targets(dataset: Dataset) -> tuple[Vector, str]:
    """Targets as numbers, and what they are: of two labels the second is 1, the first 0."""
    data, cells = dataset.data, dataset.table[dataset.data.target].to_pylist()
    if data.task in (Task.REGRESSION, Task.COUNT):
        return np.array(cells, dtype=float), data.target
    if data.task.has_classes and len(data.classes) == 2:
        zero, one = data.classes
        return np.array([float(cell == one) for cell in cells]), f"{data.target}: {one} 1, {zero} 0"
    raise _unfit(
        dataset,
        f"a {data.task.value} target can't be watched",
        expected="a target of numbers, or of two labels",
        found=f"{len(data.classes)} labels" if data.classes else "",
        remedy="Give another --target, or `--task regression` if the labels are numbers",
    )


def _spread(inputs: Matrix) -> NDArray[np.intp]:
    """Which rows are looked at: none twice or next to twice, and not too many."""
    _, first = np.unique(inputs.round(_DIGITS), axis=0, return_index=True)
    steps = np.linspace(0, len(first) - 1, min(len(first), _READ)).astype(int)
    spread: NDArray[np.intp] = np.sort(first)[steps]
    return spread


def _similarity(inputs: Matrix) -> Matrix:
    """K between rows (n, d), divided by its values at the rows themselves: (n, n)."""
    ntk = DenseKernel(KernelKind.NTK, Activation.RELU, 1, *critical_variances(Activation.RELU))
    scale = np.sqrt(ntk.diagonal(inputs))
    similarity: Matrix = ntk(inputs, inputs) / np.outer(scale, scale)
    return similarity


def _first_that_varies(kernel: Matrix, values: Vector) -> NDArray[np.intp] | None:
    """The first row with its nearest ones, of those whose targets aren't all the same."""
    for row in kernel:
        near = np.argsort(-row, kind="stable")[:ROWS]
        if np.ptp(values[near]) > 0:
            return near
    return None


def _prims_order(kernel: Matrix) -> Sequence[int]:
    """Rows in the order in which Prim's algorithm adds them to the maximum spanning tree."""
    order = [0]
    while len(order) < len(kernel):
        nearest = kernel[:, order].max(axis=1)
        nearest[order] = -np.inf
        order.append(int(nearest.argmax()))
    return order


def _unfit(
    dataset: Dataset,
    problem: str,
    *,
    expected: str,
    found: str = "",
    remedy: str = "Give another --target or another file, or leave --graph out",
) -> DataError:
    where = dataset.where or dataset.name
    return DataError(problem, where=where, expected=expected, found=found, remedy=remedy)

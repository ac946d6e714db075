"""What counts as an unknown of a row."""

from dataclasses import replace

import numpy as np
import pytest

from edge_node.config import Column, ColumnKind, DataSpec, FederationSpec, Task
from edge_node.data.sources.source import Batch, MemorySource
from edge_node.program.plan.allowances import unknown_columns
from edge_node.program.simulation import simulate
from edge_node.security.disclosure.allowance import Allowance
from edge_node.security.disclosure.bill import Bill


@pytest.mark.parametrize(
    ("numbers", "names", "task", "unknowns"),
    [
        (3, 2, Task.REGRESSION, 4),
        (3, 2, Task.CLASSIFICATION, 3),
        (0, 5, Task.REGRESSION, 1),
        (0, 5, Task.CLASSIFICATION, 1),  # such rows are found from few numbers each
    ],
)
def test_columns_of_names_are_no_unknowns(
    numbers: int, names: int, task: Task, unknowns: int
) -> None:
    """Numbers count, categories and classes don't; a row is at least one unknown."""
    columns = [Column(name=f"x{i}") for i in range(numbers)]
    columns += [Column(name=f"c{i}", kind=ColumnKind.CATEGORICAL) for i in range(names)]
    classes = ("no", "yes") if task is Task.CLASSIFICATION else ()
    data = DataSpec(task=task, target="y", columns=tuple(columns), classes=classes)
    assert unknown_columns(data) == unknowns


def test_a_column_is_no_unknown_as_soon_as_one_site_says_so() -> None:
    """Who lies can lower the number of cells, and can't raise it."""
    columns = tuple(Column(name=f"x{i}") for i in range(3))
    data = DataSpec(task=Task.REGRESSION, target="y", columns=columns)
    assert unknown_columns(data, (0, 0, 0, 0)) == unknown_columns(data) == 4
    assert unknown_columns(data, (4, 0, 1, 0)) == 2
    assert unknown_columns(data, (4, 4, 4, 4)) == 1


def bill_of(flags: int, task: Task) -> Bill:
    """Of three sites with four columns of numbers, some of which are flags."""
    random = np.random.default_rng(0)
    classes = ("no", "yes") if task is Task.CLASSIFICATION else ()
    columns = tuple(Column(name=f"x{i}") for i in range(4))
    data = DataSpec(task=task, target="y", columns=columns, classes=classes)
    sources = {}
    for site in "abc":
        X = random.normal(size=(240, 4))
        X[:, :flags] = X[:, :flags] > 0
        y = X.sum(axis=1) + random.normal(size=240)
        y = (y > y.mean()).astype(float) if classes else y
        sources[site] = MemorySource((Batch(X, np.empty((240, 0), dtype=object), y),))
    bill = simulate(FederationSpec(name="flags", data=data), sources)["a"].provenance.bill
    assert bill is not None
    return bill


@pytest.mark.parametrize("task", [Task.REGRESSION, Task.CLASSIFICATION])
def test_flags_that_are_declared_as_numbers_allow_no_sums(task: Task) -> None:
    """Rows of two such columns, and two of many values, may tell half of what four may tell."""
    target = task is Task.REGRESSION
    with_flags, control = bill_of(2, task), bill_of(0, task)
    assert (with_flags.columns, control.columns) == (2 + target, 4 + target)
    assert with_flags.told <= 0.5 * with_flags.cells < control.told <= 0.5 * control.cells


def test_a_class_of_few_rows_makes_sums_coarser() -> None:
    """The sum of features over a class is an equation a feature for the rows of the class."""
    many = Allowance(rows=3000, columns=4, most_told=0.5, class_rows=900)
    rare = replace(many, class_rows=12)
    assert (many.features, rare.features) == (1000, 24)
    assert replace(rare, class_rows=None).features == 1000

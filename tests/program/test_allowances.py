"""What counts as an unknown of a row."""

import pytest

from edge_node.config import Column, ColumnKind, DataSpec, Task
from edge_node.program.allowances import unknown_columns


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

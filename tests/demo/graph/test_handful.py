"""Which rows are watched, and how they are joined."""

from dataclasses import replace
from typing import Any

import networkx as nx
import numpy as np
import pyarrow as pa
import pytest

from edge_node.config import Column, DataSpec, Task
from edge_node.demo.data.datasets import Dataset, breast_cancer, diabetes
from edge_node.demo.graph.joined import NOISE, joined, joined_in_pairs
from edge_node.demo.graph.rows import ROWS, Handful, handful
from edge_node.errors import DataError

RANDOM = np.random.default_rng(0)


def table(targets: list[object], task: Task = Task.REGRESSION, **given: Any) -> Dataset:
    """Rows with two inputs and these targets."""
    inputs = {name: RANDOM.normal(size=len(targets)) for name in ("a", "b")}
    data = DataSpec(task=task, target="y", columns=(Column(name="a"), Column(name="b")), **given)
    return Dataset("own", pa.table({**inputs, "y": targets}), data)


def test_rows_are_near_each_other(rows: Handful) -> None:
    """More alike than any twelve rows at random; and each is as alike to itself as can be."""
    assert rows.size == ROWS == len(set(rows.numbers))
    assert np.diag(rows.kernel) == pytest.approx(1.0)
    assert rows.kernel.min() > 0.3
    assert np.array_equal(
        rows.values, np.array(diabetes().table["progression"].to_pylist())[rows.numbers]
    )


def test_one_neighbour_each_is_the_maximum_spanning_tree(rows: Handful) -> None:
    """As networkx finds it; another order of the rows gives another tree."""

    def best(kernel: np.ndarray) -> set[frozenset[int]]:
        tree = nx.maximum_spanning_tree(nx.from_numpy_array(kernel - np.diag(np.diag(kernel))))
        return {frozenset(edge) for edge in tree.edges}

    assert {frozenset(edge) for edge in joined(rows, 1).edges} == best(rows.kernel)
    back = replace(rows, kernel=rows.kernel[::-1, ::-1], values=rows.values[::-1])
    assert {frozenset(edge) for edge in joined(back, 1).edges} != best(back.kernel)


def test_all_earlier_rows_are_the_process_itself(rows: Handful) -> None:
    """Its posterior by the usual formula; with fewer neighbours it is another."""
    K, noise = rows.kernel, NOISE * np.eye(rows.size)
    weights = np.linalg.solve(K + noise, (rows.values - rows.mean) / rows.deviation)
    variance = np.diag(K - K @ np.linalg.solve(K + noise, K))
    for whole in (joined(rows, rows.size - 1), joined_in_pairs(rows)):
        assert whole.mean == pytest.approx(K @ weights, abs=1e-9)
        assert whole.deviation == pytest.approx(np.sqrt(variance), abs=1e-9)
    assert np.abs(joined(rows, 1).mean - K @ weights).max() > 0.01


def test_two_labels_count_as_0_and_1() -> None:
    """And the rows are a neighbourhood that has both."""
    rows = handful(breast_cancer())
    assert set(rows.values) == {0.0, 1.0}
    assert rows.target == "diagnosis: malignant 1, benign 0"


def test_no_row_is_taken_twice() -> None:
    """A copy would be certain of its twin, which is no lesson."""
    once = table([float(y) for y in RANDOM.normal(size=14)])
    twice = replace(once, table=pa.concat_tables([once.table, once.table]))
    assert len(set(handful(twice).numbers % 14)) == ROWS


def test_no_row_is_next_to_another() -> None:
    """One that differs from another by a millionth is as bad as a copy."""
    data = table([float(y) for y in RANDOM.normal(size=2000)])
    inputs = np.repeat(RANDOM.normal(size=(20, 2)), 100, axis=0)
    inputs += 1e-6 * RANDOM.normal(size=inputs.shape)
    columns = {"a": inputs[:, 0], "b": inputs[:, 1], "y": data.table["y"]}
    rows = handful(replace(data, table=pa.table(columns)))
    assert (rows.kernel - np.eye(ROWS)).max() < 0.9999


@pytest.mark.parametrize(
    ("data", "text", "found"),
    [
        (table([1.0, 2.0] * 5), "too few different rows", "10"),
        (table([1.0] * 20), "near rows all have the same target", ""),
        (
            table(["a", "b", "c"] * 8, Task.CLASSIFICATION, classes=("a", "b", "c")),
            "a classification target can't be watched",
            "3 labels",
        ),
        (table([1.0, 2.0] * 9, Task.SURVIVAL), "a survival target can't be watched", ""),
    ],
    ids=["few", "constant", "three labels", "times"],
)
def test_rows_that_can_not_be_watched(data: Dataset, text: str, found: str) -> None:
    """With what would do, and what came. Labels that are numbers can be read as numbers."""
    with pytest.raises(DataError, match=text) as caught:
        handful(data)
    assert caught.value.expected
    assert caught.value.found == found
    assert ("--task regression" in caught.value.remedy) == ("can't be watched" in text)


def test_of_a_large_file_some_rows_are_looked_at() -> None:
    """Spread over all of it: the kernel between them is dense."""
    rows = handful(table([float(y) for y in RANDOM.normal(size=5000)]))
    assert rows.size == ROWS
    assert rows.numbers.max() > 500

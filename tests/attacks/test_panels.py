"""A panel of questions that only few rows of one site have: whole numbers follow from products.

Let W (n, c) be the answers of n rows to c questions. The products W'W are told, and c > n. Then the
columns of W generate Z^n as a lattice, in which W'W are inner products. Its shortest vectors are
the axes, and along an axis lie the answers of one row. Lattice reduction (Lenstra, Lenstra & Lovász
1982) finds them all; no search, no guess. The control gives products over any five rows.
"""

import numpy as np
import pytest

from edge_node.arrays import Matrix, Vector
from edge_node.config import Column, DataSpec, FederationSpec, ModelSpec, Task
from edge_node.data.sources.source import Batch, MemorySource
from edge_node.data.sums import spread
from edge_node.packing import Layout, Symmetric
from tests.attacks.test_small_groups import LOCAL, attack, floors_of

ROWS, QUESTIONS, ANSWERED = 200, 18, 12
UNITS = 2.0**-10, 2.0**4  # of deviations and of means: powers of two that the counts tell
SPEC = FederationSpec(
    name="panel",
    data=DataSpec(
        task=Task.REGRESSION,
        target="y",
        columns=(Column(name="age"), *(Column(name=f"q{i}") for i in range(QUESTIONS))),
    ),
    model=ModelSpec(landmarks=40, metric_repetitions=0),
)


def sources() -> tuple[dict[str, MemorySource], Matrix]:
    """Three sites; b has asked twelve patients. And the answers, outermost ones moved inwards."""
    random, made = np.random.default_rng(3), {}
    answers = random.integers(1, 6, size=(ANSWERED, QUESTIONS)).astype(float)
    for node in "abc":
        X = np.full((ROWS, 1 + QUESTIONS), np.nan)
        X[:, 0] = random.normal(60, 10, ROWS)
        if node == "b":
            X[:ANSWERED, 1:] = answers
        made[node] = MemorySource((Batch(X, np.empty((ROWS, 0), object), X[:, 0]),))
    ordered = np.sort(answers, axis=0)
    return made, np.clip(answers, ordered[2], ordered[-3])  # a quarter counts as the next


def products(means: Vector, moments: Vector) -> Matrix:
    """W'W (c, c), from the others' totals; zeros where they aren't told."""
    values, sums = means.reshape(-1, 2)[1 : 1 + QUESTIONS].T
    columns = QUESTIONS + 2  # age, questions, target
    known = 1 + 3 * columns
    layout = Layout(
        {
            "counts": (1 + columns,),
            "first": (columns,),
            "squares": (columns,),
            "second": Symmetric(columns - 1),
            "indicators": (len(moments) - known - columns * (columns - 1) // 2,),
        }
    )
    parts = layout.unpack(moments)
    second = parts["second"][1:, 1:] * UNITS[0] ** 2
    if not (second - np.diag(np.diag(second))).any():
        return np.zeros_like(second)
    first, mean = parts["first"][1:-1] * UNITS[0], np.rint(sums * UNITS[1]) / values
    around = np.outer(mean, first)
    return np.rint(second + around + around.T + values[0] * np.outer(mean, mean))


def rows_of(G: Matrix) -> Matrix:
    """Rows (k, c) whose answers lie along the axes of the lattice in which G is inner products."""
    values, vectors = np.linalg.eigh(G)
    kept = values > 1e-6 * max(values.max(), 1.0)
    if not kept.any():
        return np.empty((0, len(G)))
    U = _reduced(vectors[:, kept] * np.sqrt(values[kept]))
    axes = U[np.einsum("ij,jk,ik->i", U, G, U) == 1.0] @ G
    return axes * np.sign(axes.sum(axis=1, keepdims=True))


def _reduced(generators: Matrix) -> Matrix:
    """The combinations U (c, c) of generators (c, n) of a lattice that are short, by LLL.

    The generators are made long and each is given a coordinate of its own: combinations that are
    zero come first.
    """
    size = len(generators)
    B, k = np.hstack([1e4 * generators, np.eye(size)]), 1
    R = np.linalg.qr(B.T, mode="r")
    while k < size:
        for j in range(k - 1, -1, -1):
            factor = np.rint(R[j, k] / R[j, j])
            B[k] -= factor * B[j]
            R[:, k] -= factor * R[:, j]
        if R[k, k] ** 2 >= (0.99 - (R[k - 1, k] / R[k - 1, k - 1]) ** 2) * R[k - 1, k - 1] ** 2:
            k += 1
        else:
            B[[k - 1, k]] = B[[k, k - 1]]
            R, k = np.linalg.qr(B.T, mode="r"), max(k - 1, 1)
    return np.rint(B[:, -size:])


@pytest.mark.parametrize(("per_column", "found"), [(None, 0), (0, ANSWERED)])
def test_answers_of_few_rows_do_not_follow_from_products(
    monkeypatch: pytest.MonkeyPatch, per_column: int | None, found: int
) -> None:
    """A passive member finds every answer of every row, unless products need more rows."""
    if per_column is not None:
        monkeypatch.setattr(spread, "_ROWS_PER_COLUMN", per_column)
    made, answers = sources()
    _, rests = attack(SPEC, made, "a", floors_of(SPEC, LOCAL))
    rows = rows_of(products(rests["means"], rests["spread"]))
    assert sum(bool((rows == each).all(axis=1).any()) for each in answers) == found

"""BLAS by address: what NumPy says, and nothing that isn't a matrix in C order."""

import numpy as np
import pytest

from edge_node.inference.numerics.blas import add_gram, solve_rows, subtract_product
from tests.inference.problems import normal


@pytest.mark.parametrize(("rows", "size"), [(0, 3), (1, 1), (7, 3), (3, 7)])
def test_they_compute_what_they_say(rows: int, size: int) -> None:
    """Gram matrices (one triangle), products, triangular solves; in place, whatever the shape."""
    A, L = normal(0, rows, size), np.tril(normal(1, size, size)) + 3 * np.eye(size)
    total = np.ones((size, size))
    add_gram(A, total)
    expected = np.tril(A.T @ A) + 1
    np.testing.assert_allclose(total, expected, rtol=1e-13)
    whole, C, D = A.copy(), normal(2, rows, 2), normal(3, size, 2)
    subtract_product(C, D, whole)
    np.testing.assert_allclose(whole, A - C @ D.T, rtol=1e-12, atol=1e-14)
    for factor in (L, np.asfortranarray(L)):
        white = A.copy()
        solve_rows(factor, white)
        np.testing.assert_allclose(white @ L.T, A, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize(
    "wrong",
    [normal(0, 4, 5), np.ones((4, 4), dtype=np.float32), normal(0, 4, 4).T, normal(0, 4)],
    ids=["shape", "type", "order", "a vector"],
)
def test_an_address_never_reaches_beyond_its_matrix(wrong) -> None:
    """Other shapes, types and orders are refused: BLAS would read and write what it must not."""
    right = normal(1, 4, 4)
    for call in (
        lambda: add_gram(right, wrong),
        lambda: subtract_product(right, right, wrong),
        lambda: solve_rows(right, wrong),
    ):
        with pytest.raises(ValueError, match="expected float64"):
            call()

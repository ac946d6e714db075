"""The BFGS update: what it promises, against dense matrices."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_node.errors import NumericalError
from edge_node.inference.numerics.secants import SecantCurvature
from tests.inference.problems import normal

SIZE = 7


def dense(curvature: SecantCurvature):
    """B, column by column."""
    return np.column_stack([curvature @ unit for unit in np.eye(len(curvature.diagonal))])


def learnt(seed: int, steps: int):
    """A curvature H, and what some steps under it say of it."""
    root = normal(seed, SIZE, SIZE)
    H = root @ root.T + np.eye(SIZE)
    B = SecantCurvature.of(np.abs(normal(seed + 1, SIZE)) + 0.1)
    directions = normal(seed + 2, steps, SIZE)
    for step in directions:
        B = B.after(step, H @ step)
    return H, B, directions


def test_the_last_step_is_explained() -> None:
    """B s = y, where the curvature along the step is not far below what was believed."""
    H, B, directions = learnt(0, 3)
    np.testing.assert_allclose(B @ directions[-1], H @ directions[-1], rtol=1e-9)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 9), st.floats(-6, 6))
def test_it_stays_positive_and_solves(seed: int, steps: int, ridge: float) -> None:
    """Also after a step along which the gradient rose: it is a curvature, and Woodbury is exact."""
    _, B, _ = learnt(seed, steps)
    upwards = normal(seed + 3, SIZE)
    B = B.after(upwards, -upwards)
    matrix = dense(B)
    np.testing.assert_allclose(matrix, matrix.T, atol=1e-6 * np.abs(matrix).max())
    assert np.linalg.eigvalsh(matrix).min() > 0
    x = normal(seed + 4, SIZE)
    expected = np.linalg.solve(matrix + 10.0**ridge * np.eye(SIZE), x)
    np.testing.assert_allclose(B.solve(x, 10.0**ridge), expected, rtol=1e-5, atol=1e-8)


def test_conjugate_steps_teach_everything() -> None:
    """Along H-conjugate directions no step unlearns another: after all of them, B is H."""
    H, _, _ = learnt(5, 0)
    B = SecantCurvature.of(np.full(SIZE, 0.3))
    for direction in np.linalg.eigh(H)[1].T:
        B = B.after(direction, H @ direction)
    np.testing.assert_allclose(dense(B), H, rtol=1e-9, atol=1e-9)


def test_a_step_that_says_nothing_changes_nothing() -> None:
    """No step at all; or one along which nothing was known."""
    B = SecantCurvature.of(np.array([1.0, 0.0]))
    assert B.after(np.zeros(2), np.zeros(2)) is B
    assert B.after(np.array([0.0, 1.0]), np.array([0.0, 1.0])) is B


def test_a_rising_gradient_is_damped() -> None:
    """A fifth of the curvature that was believed is the least (Powell)."""
    B = SecantCurvature.of(np.array([2.0, 3.0])).after(np.array([1.0, 0.0]), np.array([-5.0, 0.0]))
    assert dense(B) == pytest.approx(np.diag([0.4, 3.0]))


def test_a_curvature_that_rounding_leaves_singular_is_refused() -> None:
    """By an error that callers know: two steps that cancel, so steep that nothing else is left."""
    B = SecantCurvature(np.ones(SIZE), np.full((SIZE, 2), 1e10), np.array([1.0, -1.0]))
    with pytest.raises(NumericalError, match="singular"):
        B.solve(np.ones(SIZE), 1.0)

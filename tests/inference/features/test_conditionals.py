"""Rows' regressions on their neighbours, against dense matrices."""

from itertools import pairwise

import numpy as np
import pytest
from scipy.linalg import solve_triangular

from edge_node.arrays import Matrix
from edge_node.config import Activation, KernelKind
from edge_node.inference.features.conditionals import (
    LEAST_OPEN,
    Conditionals,
    regress,
    residual_covariances,
)
from edge_node.inference.features.kernel_graph import KernelGraph
from edge_node.inference.features.nystrom import Features
from edge_node.inference.kernels.convolutional import ConvolutionalKernel
from edge_node.inference.kernels.dense import DenseKernel
from edge_node.inference.kernels.kernel import Kernel
from tests.inference.problems import NTK, SMOOTH, normal

ERF = DenseKernel(KernelKind.NNGP, Activation.ERF, 2, 1.7, 0.2)


def triangular(graph: KernelGraph, found: Conditionals) -> Matrix:
    """B in the graph's order: B'D^-1 B is the precision."""
    n = len(graph.order)
    B = np.eye(n)
    for row, near, b in zip(range(n), graph.neighbours, found.coefficients, strict=True):
        B[row, near[near >= 0]] = -b[near >= 0]
    return B[np.ix_(graph.order, graph.order)]


@pytest.mark.parametrize("kernel", [NTK, ERF, SMOOTH], ids=str)
def test_all_rows_before_give_the_exact_inverse(kernel: Kernel) -> None:
    """B'D^-1 B (K + noise) = I, and the sum of log D is the log determinant."""
    X, noise = normal(0, 60, 3), np.linspace(0.01, 0.2, 60)
    graph = KernelGraph.of(X, 60)
    found = Conditionals.of(graph, lambda rows: kernel.within(X[rows]), noise)
    B, D = triangular(graph, found), found.variances[graph.order]
    C = (kernel(X, X) + np.diag(noise))[np.ix_(graph.order, graph.order)]
    np.testing.assert_allclose(B.T @ np.diag(1 / D) @ B @ C, np.eye(60), atol=1e-9)
    assert np.log(D).sum() == pytest.approx(np.linalg.slogdet(C)[1], rel=1e-9)


def test_few_neighbours_give_a_proper_density_close_to_the_exact_one() -> None:
    """More of them come closer: the Kullback-Leibler divergence falls."""
    X = normal(1, 200, 2)
    C = SMOOTH(X, X) + 0.05 * np.eye(200)
    divergences = []
    for most in (1, 5, 20, 199):
        graph = KernelGraph.of(X, most)
        found = Conditionals.of(graph, lambda rows: SMOOTH.within(X[rows]), 0.05)
        B, D = triangular(graph, found), found.variances[graph.order]
        L = np.linalg.cholesky(C[np.ix_(graph.order, graph.order)])
        white = (B @ L) / np.sqrt(D)[:, None]
        assert (D > 0).all()
        logs = 2 * np.log(np.diag(solve_triangular(white, np.eye(200), lower=True)))
        divergences.append(0.5 * float((white**2).sum() - 200 + logs.sum()))
    assert all(after < before for before, after in pairwise(divergences))
    assert divergences[-1] < 1e-6 < divergences[-2]


@pytest.mark.parametrize("kernel", [NTK, ERF, SMOOTH], ids=str)
def test_what_landmarks_leave(kernel: Kernel) -> None:
    """Of any rows together: as one by one. A landmark among the rows has no variance left."""
    X = normal(2, 30, 3)
    features = Features.build(kernel, X[:8])
    rows = np.random.default_rng(0).integers(0, 30, (7, 5))
    found = residual_covariances(features, X, features(X))(rows)
    Phi = features(X)
    expected = kernel(X, X) - Phi @ Phi.T
    np.testing.assert_allclose(found, expected[rows[:, :, None], rows[:, None, :]], atol=1e-11)


def test_large_stacks_are_computed_as_small_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """By JAX, in pieces of one shape, the last one padded."""
    X = normal(3, 40 * 31, 4).reshape(40, 31, 4)
    for kernel in (NTK, ERF):
        expected = kernel.within(X)
        with monkeypatch.context() as patch:
            for name, value in (("_JAX_FROM", 1), ("_JAX_BLOCK", 1), ("_JAX_PIECE", 1 << 12)):
                patch.setattr(f"edge_node.inference.numerics.compiled.{name}", value)
            np.testing.assert_allclose(kernel.within(X), expected, rtol=1e-12)
        np.testing.assert_allclose(expected[3], kernel(X[3], X[3]), rtol=1e-12)


def test_images_are_compared_one_stack_at_a_time() -> None:
    """Each is a block of its own."""
    kernel = ConvolutionalKernel((2, 2, 1), Activation.RELU, 1, 2.0, 0.0)
    X = normal(4, 12, 4).reshape(3, 4, 4)
    np.testing.assert_array_equal(kernel.within(X)[1], kernel(X[1], X[1]))


@pytest.mark.parametrize("noise", [0.0, 1e-3])
def test_copies_add_nothing_and_nothing_is_left_of_one(noise: float) -> None:
    """Without noise a copy is known; with it, all copies share the weight."""
    X = np.repeat(normal(5, 10, 2), 3, axis=0)
    graph = KernelGraph.of(X, 30)
    found = Conditionals.of(graph, lambda rows: SMOOTH.within(X[rows]), noise)
    assert np.isfinite(found.coefficients).all()
    assert (found.variances > 0).all()
    last = graph.order[-1]
    assert found.coefficients[last].sum() == pytest.approx(1.0, abs=0.02)
    if not noise:
        assert found.variances[last] <= 2 * LEAST_OPEN
        assert np.count_nonzero(abs(found.coefficients[last]) > 1e-6) == 1


def test_a_row_without_variance_is_nobodys_neighbour() -> None:
    """Zeros are regressed on, and regress, with zeros."""
    C = np.zeros((1, 3, 3))
    C[0, 1:, 1:] = [[1.0, 0.5], [0.5, 1.0]]
    found = regress(C, np.ones((1, 2), dtype=bool))
    np.testing.assert_allclose(found.coefficients, [[0.0, 0.5]])
    np.testing.assert_allclose(found.variances, [0.75])
    nothing = regress(np.zeros((2, 3, 3)), np.ones((2, 2), dtype=bool))
    assert not nothing.coefficients.any()
    assert (nothing.variances > 0).all()


def test_who_is_no_neighbour_has_no_coefficient() -> None:
    """Whatever its covariances are."""
    C = 0.9 + 0.1 * np.eye(4)[None].repeat(2, axis=0)
    found = regress(C, np.array([[True, False, False], [False, False, False]]))
    np.testing.assert_allclose(found.coefficients, [[0.9, 0, 0], [0, 0, 0]])
    np.testing.assert_allclose(found.variances, [1 - 0.81, 1.0])


def test_one_row_alone() -> None:
    """It has nobody to be regressed on."""
    X = normal(6, 1, 2)
    found = Conditionals.of(KernelGraph.of(X, 5), lambda rows: SMOOTH.within(X[rows]), 0.5)
    assert found.coefficients.shape == (1, 0)
    np.testing.assert_allclose(found.variances, [1.5])

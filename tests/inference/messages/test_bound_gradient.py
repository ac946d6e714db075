"""The bound's gradient is what differences of the bound say, and adds over rows."""

import itertools

import numpy as np
import pytest

from edge_node.arrays import Matrix, Vector
from edge_node.config import Activation, KernelKind
from edge_node.inference.features.metric import metric_from
from edge_node.inference.features.nystrom import Features
from edge_node.inference.kernels.dense import NETWORKS, DenseKernel, critical_variances
from edge_node.inference.kernels.kernel import Kernel
from edge_node.inference.kernels.stationary import STATIONARY, StationaryKernel
from edge_node.inference.messages.bound_gradient import BoundSlopes
from edge_node.inference.messages.evidence import best_evidence
from tests.inference.problems import NTK, normal, regression, statistics_of

KERNELS: list[Kernel] = [
    DenseKernel(kind, activation, 2, *critical_variances(activation))
    for kind, activation in itertools.product(NETWORKS, Activation)
]
KERNELS += [StationaryKernel(kind, 0.8) for kind in STATIONARY]
EVERY = pytest.mark.parametrize("kernel", KERNELS, ids=str)
OUTPUTS = pytest.mark.parametrize("outputs", [None, 2])

STEP = 1e-4


def problem(outputs: int | None) -> tuple[Matrix, Vector]:
    """Rows and one target, or several."""
    X, y = regression(0, rows=60)
    return X, y if outputs is None else np.column_stack([y, X[:, 0] + y**2, y])[:, :outputs]


def bound(X: Matrix, Y: Vector, features: Features) -> float:
    """At the best noise and amplitude."""
    outputs = None if Y.ndim == 1 else Y.shape[1]
    return best_evidence(statistics_of([(X, Y)], features, outputs)).log_evidence


def slopes_of(X: Matrix, Y: Vector, features: Features) -> BoundSlopes:
    """As all nodes know them."""
    statistics = statistics_of([(X, Y)], features, None if Y.ndim == 1 else Y.shape[1])
    return BoundSlopes.of(features, statistics, best_evidence(statistics))


@EVERY
@OUTPUTS
def test_in_the_landmarks(kernel: Kernel, outputs: int | None) -> None:
    """Each landmark moved along each input, under a metric."""
    X, Y = problem(outputs)
    T = metric_from(np.diag([4.0, 1.0, 0.5]) + 0.3)
    Z = normal(3, 7, 3) @ T.T
    slopes = slopes_of(X, Y, Features.build(kernel, Z, T))
    found = slopes.landmarks(slopes.row_landmarks([(X[:11], Y[:11]), (X[11:], Y[11:])]))

    def at(j: int, k: int, step: float) -> float:
        moved = Z.copy()
        moved[j, k] += step
        return bound(X, Y, Features.build(kernel, moved, T))

    expected = [
        [(at(j, k, STEP) - at(j, k, -STEP)) / (2 * STEP) for k in range(3)] for j in range(7)
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())


@EVERY
@OUTPUTS
@pytest.mark.parametrize("stretched", [False, True])
def test_in_the_lengths(kernel: Kernel, outputs: int | None, stretched: bool) -> None:
    """Each input of rows and landmarks scaled, before a full metric or none."""
    X, Y = problem(outputs)
    T = metric_from(np.diag([4.0, 1.0, 0.5]) + 0.3) if stretched else None
    Z = normal(3, 12, 3)

    def features(Z: Matrix) -> Features:
        return Features.build(kernel, Z if T is None else Z @ T.T, T)

    def at(k: int, step: float) -> float:
        t = np.ones(3)
        t[k] = np.exp(step)
        return bound(X * t, Y, features(Z * t))

    slopes = slopes_of(X, Y, features(Z))
    found = slopes.lengths(slopes.row_lengths([(X[:11], Y[:11]), (X[11:], Y[11:])]))
    expected = [(at(k, STEP) - at(k, -STEP)) / (2 * STEP) for k in range(3)]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())


def test_sums_of_parts_are_the_whole() -> None:
    """However rows are split, also for a site without any."""
    X, y = regression(4)
    slopes = slopes_of(X, y, Features.build(NTK, normal(5, 20, 3)))
    parts = [[(X[i::3], y[i::3])] for i in range(3)] + [[(X[:0], y[:0])]]
    for local in (slopes.row_landmarks, slopes.row_lengths):
        whole = local([(X, y)])
        scale = np.abs(whole).max()
        np.testing.assert_allclose(sum(map(local, parts)), whole, rtol=1e-10, atol=1e-12 * scale)


def test_a_step_along_it_raises_the_bound() -> None:
    """And one against it lowers it."""
    X, y = regression(6)
    Z = normal(7, 12, 3)
    slopes = slopes_of(X, y, Features.build(NTK, Z))
    gradient = slopes.landmarks(slopes.row_landmarks([(X, y)]))
    step = 0.05 * gradient / np.abs(gradient).max()
    bounds = [bound(X, y, Features.build(NTK, Z + way * step)) for way in (-1, 0, 1)]
    assert bounds == sorted(bounds)
    assert bounds[2] - bounds[1] == pytest.approx(np.vdot(gradient, step), rel=0.5)


@EVERY
def test_the_kernel_of_a_row_with_itself(kernel: Kernel) -> None:
    """Its gradient, and that of weighted pairs, are those of the values."""
    X, Z, W = normal(8, 6, 3), normal(9, 5, 3), normal(10, 6, 5)
    for found, value in (
        (kernel.diagonal_gradient(X), lambda X: kernel.diagonal(X)),
        (kernel.pair_gradient(X, Z, W), lambda X: (W * kernel(X, Z)).sum(axis=1)),
    ):
        steps = STEP * np.eye(3)
        expected = np.stack([(value(X + h) - value(X - h)) / (2 * STEP) for h in steps], axis=1)
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-7)


def test_no_kind_is_left_out() -> None:
    """Every kind of differentiable kernel is above."""
    kinds = {each.kind for each in KERNELS}  # type: ignore[attr-defined]
    assert kinds == set(KernelKind) - {KernelKind.CONV_NTK}

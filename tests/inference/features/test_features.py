"""Features reproduce the kernel at landmarks, and never more than the kernel elsewhere."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_node.arrays import Matrix
from edge_node.config import Activation, KernelKind, ModelSpec
from edge_node.errors import NumericalError
from edge_node.inference.features.landmarks import independent_landmarks
from edge_node.inference.features.nystrom import Features
from edge_node.inference.kernels.dense import NETWORKS
from edge_node.inference.kernels.kernel import Kernel, kernel_grid
from edge_node.inference.kernels.stationary import STATIONARY

EVERY = ModelSpec(kernels=(*NETWORKS, *STATIONARY), activations=tuple(Activation), depths=(2,))
KERNELS = pytest.mark.parametrize("kernel", kernel_grid(EVERY), ids=str)
(SHALLOW, _, DEEP) = kernel_grid(
    ModelSpec(kernels=(KernelKind.NTK,), depths=(1, 2, 3), biases=(1.0,))
)


def normal(seed: int, *shape: int) -> Matrix:
    """Standard normal numbers, the same at each call."""
    return np.random.default_rng(seed).standard_normal(shape)


def features_of(kernel: Kernel, Z: Matrix) -> Features:
    """The feature map of those landmarks that are independent."""
    return Features.build(kernel, Z[independent_landmarks(kernel, Z)])


@KERNELS
def test_features_give_the_nystrom_matrix(kernel: Kernel) -> None:
    """Phi Phi' = K_XZ K_ZZ^-1 K_ZX."""
    features, X = features_of(kernel, normal(0, 15, 4)), normal(1, 30, 4)
    Z = features.landmarks
    nystrom = kernel(X, Z) @ np.linalg.solve(kernel(Z, Z), kernel(Z, X))
    Phi = features(X)
    assert Phi.shape == (30, len(Z))
    np.testing.assert_allclose(Phi @ Phi.T, nystrom, rtol=1e-7, atol=1e-8)


@KERNELS
def test_features_are_exact_at_landmarks(kernel: Kernel) -> None:
    """Phi(Z) = L: |phi(z)|^2 = k(z, z), and nothing is left uncovered."""
    features = features_of(kernel, normal(2, 40, 3))
    Z = features.landmarks
    np.testing.assert_allclose(features(Z) @ features(Z).T, kernel(Z, Z), rtol=1e-8)
    assert (features.covered(Z)[1] <= 1e-8 * features.prior_variance(Z)).all()


@KERNELS
@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 2**32 - 1), m=st.integers(1, 30), d=st.integers(1, 5))
def test_uncovered_variance_is_the_rest(kernel: Kernel, seed: int, m: int, d: int) -> None:
    """k(x, x) = |phi(x)|^2 + uncovered(x), with neither term negative."""
    features, X = features_of(kernel, normal(seed, m, d)), normal(seed + 1, 20, d)
    prior = features.prior_variance(X)
    covered, uncovered = np.square(features(X)).sum(axis=1), features.covered(X)[1]
    assert (uncovered >= 0.0).all()
    np.testing.assert_allclose(covered + uncovered, prior, rtol=1e-7)


def test_rows_do_not_influence_each_other() -> None:
    """Features of a chunk are those of its rows."""
    features, X = features_of(DEEP, normal(3, 20, 2)), normal(4, 9, 2)
    together = features(X)
    assert together.flags.c_contiguous
    for x, phi in zip(X, together, strict=True):
        np.testing.assert_allclose(features(x[None])[0], phi, rtol=1e-10, atol=1e-12)


def test_no_rows_have_no_features() -> None:
    """An empty chunk is mapped to an empty block."""
    features = features_of(SHALLOW, normal(5, 6, 2))
    assert features(np.empty((0, 2))).shape == (0, 6)


def test_dependent_landmarks_are_refused_not_jittered() -> None:
    """Duplicates make K_ZZ singular: an error with advice, instead of a silent change of model."""
    Z = normal(6, 10, 2)
    with pytest.raises(NumericalError, match=r"depends on those before.*independent_landmarks"):
        Features.build(SHALLOW, np.vstack([Z, np.zeros((2, 2)), Z[:1]]))

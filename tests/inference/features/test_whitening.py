"""Whitening after the sum: the same statistics as row by row, where it is chosen."""

import numpy as np
import pytest
from scipy.linalg import cho_factor, cho_solve

from edge_node.config import Activation, KernelKind
from edge_node.inference.features.landmarks import independent_landmarks
from edge_node.inference.features.nystrom import Features
from edge_node.inference.features.whitening import _AfterTheSum, reflector, whitening
from edge_node.inference.kernels.dense import DenseKernel, critical_variances
from tests.inference.problems import features_on, normal, statistics_of

RELU, GELU = Activation.RELU, Activation.GELU
NTK, NNGP = KernelKind.NTK, KernelKind.NNGP


def features_for(activation: Activation, kind: KernelKind, inputs: int, size: int) -> Features:
    """Independent landmarks, drawn from a standard normal distribution."""
    kernel = DenseKernel(kind, activation, 1, *critical_variances(activation))
    Z = normal(0, size, inputs)
    return Features.build(kernel, Z[independent_landmarks(kernel, Z)])


@pytest.mark.parametrize("kind", [NTK, NNGP])
@pytest.mark.parametrize(("activation", "inputs"), [(RELU, 3), (RELU, 12), (GELU, 12)])
def test_posteriors_keep_ten_digits(activation: Activation, kind: KernelKind, inputs: int) -> None:
    """K_ZZ's condition number goes up to 1e7 here: without the reflection, seven digits are lost
    and more.
    """
    features = features_for(activation, kind, inputs, 200)
    way = whitening(features.cholesky)
    X, Y, Q = normal(1, 1000, inputs), normal(2, 1000, 2), features(normal(3, 20, inputs))
    Phi, K = features(X), features.covariances(X)
    way.turn(K)
    assert not np.allclose(K, Phi)  # these are whitened after the sum
    gram, shift = way.gram(K.T @ K), way.shift(K.T @ Y)
    assert np.array_equal(gram, gram.T)
    np.testing.assert_allclose(way.shift((K.T @ Y)[:, 0]), shift[:, 0], rtol=1e-12, atol=1e-12)
    found, expected = (
        cho_solve(cho_factor(A + 0.01 * np.eye(len(A))), np.column_stack([b, Q.T]))
        for A, b in ((gram, shift), (Phi.T @ Phi, Phi.T @ Y))
    )
    np.testing.assert_allclose(Q @ found, Q @ expected, rtol=1e-9, atol=1e-9)


def test_rows_are_whitened_one_by_one_where_digits_would_be_lost() -> None:
    """Landmarks on a line are nearly dependent; a few landmarks cost little anyway."""
    for features in (features_for(RELU, NNGP, 1, 200), features_for(RELU, NTK, 5, 40)):
        way, X = whitening(features.cholesky), normal(1, 30, features.landmarks.shape[1])
        K, Phi = features.covariances(X), features(X)
        way.turn(K)
        assert np.array_equal(K, Phi)
        gram = Phi.T @ Phi
        assert way.gram(gram) is gram
        assert way.shift(gram) is gram


def test_the_reflection_is_one() -> None:
    """H H = I, and it takes the common directions to the first coordinates."""
    E = np.linalg.qr(normal(0, 60, 5)).Q
    W = reflector(E)
    H = np.eye(60) - W @ W.T
    np.testing.assert_allclose(H @ H, np.eye(60), atol=1e-14)
    np.testing.assert_allclose((H @ E)[5:], 0.0, atol=1e-14)


def test_few_rows_are_whitened_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """To rounding as many rows are: their sum isn't worth r x r products."""
    X, features = normal(0, 64, 3), features_on(normal(5, 150, 3))
    rows = [(X[:30], X[:30, 0]), (X[30:33], X[30:33, 0]), (X[33:], X[33:, 0])]
    Phi, grams = features(X), list[int]()
    gram = _AfterTheSum.gram

    def counted(self: _AfterTheSum, turned: np.ndarray) -> np.ndarray:
        grams.append(len(turned))
        return gram(self, turned)

    monkeypatch.setattr(_AfterTheSum, "gram", counted)
    together = statistics_of(rows, features).message
    assert grams == [150]
    np.testing.assert_allclose(together.precision, Phi.T @ Phi, atol=1e-8)
    np.testing.assert_allclose(together.shift, Phi.T @ X[:, 0], atol=1e-8)
    few = statistics_of(rows[1:2], features).message
    assert grams == [150]
    np.testing.assert_allclose(few.precision, Phi[30:33].T @ Phi[30:33], atol=1e-8)

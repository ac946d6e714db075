"""The regression posterior equals dense formulas and scikit-learn's, for any split of the rows."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel

from edge_node.errors import DataError, NumericalError
from edge_node.inference.classification.approximation import Approximation
from edge_node.inference.classification.classes import class_offsets
from edge_node.inference.classification.posterior import ClassPosterior
from edge_node.inference.features.nystrom import Features
from edge_node.inference.messages.evidence import Evidence
from edge_node.inference.messages.gaussian import Gaussian
from edge_node.inference.numerics.eigenbasis import Eigenbasis
from edge_node.inference.regression import conditional
from edge_node.inference.regression.posterior import Posterior
from tests.inference.problems import (
    SMOOTH,
    classification,
    features_on,
    learn,
    normal,
    regression,
    split,
)

FEATURES = features_on(normal(5, 20, 3))
QUERIES = np.concatenate([normal(6, 30, 3), 30 * normal(7, 3, 3), np.zeros((1, 3))])


def reopen(posterior: Posterior | ClassPosterior) -> Posterior | ClassPosterior:
    """Through a file without pickles."""
    buffer = io.BytesIO()
    np.savez(buffer, **posterior.to_arrays())
    buffer.seek(0)
    with np.load(buffer, allow_pickle=False) as archive:
        return type(posterior).from_arrays(dict(archive))


def test_it_is_the_dense_gaussian_process() -> None:
    """With the kernel Phi Phi' between inputs and k(x, x) at each of them (FITC)."""
    X, y = regression(0)
    posterior = learn(X, y, FEATURES)
    mean, variance = posterior.predict(QUERIES)
    Phi, star = FEATURES(X), FEATURES(QUERIES)
    K = Phi @ Phi.T + np.diag(FEATURES.covered(X)[1] + posterior.noise)
    solved = np.linalg.solve(K, Phi @ star.T)
    left = FEATURES.prior_variance(QUERIES) - np.sum((star @ Phi.T).T * solved, axis=0)
    np.testing.assert_allclose(mean, solved.T @ y, rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(variance, posterior.amplitude * left, rtol=1e-8)


def test_with_all_rows_as_landmarks_it_is_scikit_learns() -> None:
    """The exact Gaussian process."""
    X, y = regression(4, rows=25, inputs=2)
    posterior = learn(X, y, Features.build(SMOOTH, X))
    kernel = ConstantKernel(posterior.amplitude) * RBF(1.5)
    kernel += WhiteKernel(posterior.noise_variance)
    peer = GaussianProcessRegressor(kernel, optimizer=None, alpha=1e-300).fit(X, y)
    mean, variance = posterior.predict(normal(1, 10, 2))
    expected, sd = peer.predict(normal(1, 10, 2), return_std=True)
    np.testing.assert_allclose(mean, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(variance + posterior.noise_variance, sd**2, rtol=1e-5)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 16), st.integers(0, 2**32 - 1), st.integers(0, 5))
def test_any_partition_gives_the_pooled_posterior(sites: int, seed: int, data: int) -> None:
    """Mean and sd to 1e-8 relative, the amplitude chosen anew from the federation's sums."""
    X, y = regression(data, rows=80, noise=0.05 + 0.2 * data)
    pooled = learn(X, y, FEATURES)
    parts = split(np.random.default_rng(seed), X, y, sites)
    local = [conditional.local_conditional(part, FEATURES, [0.2])[0].pack() for part in parts]
    total = np.sum(local, axis=0)
    statistics = conditional.ConditionalStatistics.unpack(total, len(FEATURES.landmarks))
    federated = Posterior.of(statistics.message, FEATURES, statistics.evidence(0.2))
    expected, found = pooled.predict(QUERIES), federated.predict(QUERIES)
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(np.sqrt(found[1]), np.sqrt(expected[1]), rtol=1e-8)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 60), st.integers(-5, 5), st.booleans(), st.integers(0, 99))
def test_the_variance_is_never_negative(rows: int, scale: int, twice: bool, seed: int) -> None:
    """Not at landmarks or rows, with duplicates, few rows, tiny or huge targets."""
    X, y = regression(seed, rows=60)
    X, y = X[:rows], 10.0**scale * y[:rows]
    if twice:
        X, y = np.concatenate([X, X]), np.concatenate([y, y])
    mean, variance = learn(X, y, FEATURES).predict(np.concatenate([X, FEATURES.landmarks, QUERIES]))
    assert np.isfinite(mean).all()
    assert (variance >= 0).all()


def test_noise_free_targets_are_reproduced() -> None:
    """Within the noise floor, with an uncertainty to match, at landmarks that are rows."""
    Z = FEATURES.landmarks
    y = FEATURES(Z) @ normal(1, len(Z))
    mean, variance = learn(Z, y, FEATURES, noise=1e-6).predict(Z)
    np.testing.assert_allclose(mean, y, atol=1e-2)
    assert np.abs(mean - y).max() < 4 * np.sqrt(variance).max() + 1e-3


def test_without_rows_nearby_the_prior_remains() -> None:
    """The RBF kernel far away: mean zero, variance a."""
    X, y = regression(4, rows=25, inputs=2)
    posterior = learn(X, y, Features.build(SMOOTH, X))
    mean, variance = posterior.predict(np.full((1, 2), 1e3))
    assert mean.item() == 0
    assert variance.item() == pytest.approx(posterior.amplitude)


def test_batches_do_not_matter() -> None:
    """Many rows at once, one at a time, none."""
    posterior = learn(*regression(0), FEATURES)
    X = normal(8, 2100, 3)
    mean, variance = posterior.predict(X)
    for i in (0, 1023, 1024, 2099):
        one = posterior.predict(X[i : i + 1])
        np.testing.assert_allclose([one[0].item(), one[1].item()], [mean[i], variance[i]], 1e-9)
    assert posterior.predict(X[:0])[0].shape == (0,)


def test_a_saved_posterior_predicts_the_same_bytes() -> None:
    """Regression and classification, kernel and landmarks included."""
    posterior = learn(*regression(0), FEATURES)
    again = reopen(posterior)
    assert again.features.kernel == FEATURES.kernel
    assert again.noise_variance == posterior.noise_variance
    assert again.log_evidence == posterior.log_evidence
    for ours, theirs in zip(posterior.predict(QUERIES), again.predict(QUERIES), strict=True):
        assert np.array_equal(ours, theirs)
    size = len(FEATURES.landmarks)
    gram, W = Eigenbasis.of(np.eye(size)), np.array([[0.3, 0.1], [0.1, 0.2]])
    offsets = class_offsets(np.bincount(classification(0, classes=3)[1].astype(int)))
    approximation = Approximation(normal(0, size, 2), W, gram, 0.7)
    classes = ClassPosterior(FEATURES, approximation, offsets, -3.0)
    assert np.array_equal(reopen(classes).predict_proba(QUERIES), classes.predict_proba(QUERIES))


def test_refusals_name_the_problem() -> None:
    """Inputs that are not finite; a precision that is not positive definite."""
    posterior = learn(*regression(0), FEATURES)
    with pytest.raises(DataError, match="not finite"):
        posterior.predict(np.array([[np.nan, 0.0, 0.0]]))
    size = len(FEATURES.landmarks)
    broken = Gaussian(-2.0 * np.eye(size), np.zeros(size))
    with pytest.raises(NumericalError, match="not positive definite"):
        Posterior.of(broken, FEATURES, Evidence(0.0, 0.5, 1.0))

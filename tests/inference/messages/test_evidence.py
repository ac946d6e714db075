"""The evidence equals the dense formula, and the noise it picks is where it is greatest."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import multivariate_normal
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel

from edge_node.errors import NumericalError
from edge_node.inference.features.nystrom import Features
from edge_node.inference.messages.evidence import NOISE_RANGE, Spectrum, best_evidence, maximum
from edge_node.inference.messages.gaussian import Gaussian
from edge_node.inference.messages.statistics import Statistics
from tests.inference.problems import SMOOTH, features_on, normal, regression, statistics_of

FEATURES = features_on(normal(5, 12, 3))


def dense_bound(X, Y, noise: float, amplitude: float) -> float:
    """The definition: log N(y; 0, a (Phi Phi' + s2 I)) - t / (2 s2), summed over columns of Y."""
    Phi = FEATURES(X)
    covariance = amplitude * (Phi @ Phi.T + noise * np.eye(len(X)))
    density = multivariate_normal(np.zeros(len(X)), covariance)
    penalty = FEATURES.covered(X)[1].sum() / (2 * noise)
    return sum(float(density.logpdf(column)) - penalty for column in Y.T)


@pytest.mark.parametrize("noise", [1e-3, 0.3, 40.0])
@pytest.mark.parametrize("outputs", [1, 3])
def test_it_is_the_collapsed_bound(noise: float, outputs: int) -> None:
    """For every noise, at the amplitude that is best for it."""
    X, _ = regression(0, rows=40)
    Y = normal(9, 40, outputs)
    spectrum = Spectrum.of(statistics_of([(X, Y)], FEATURES, outputs))
    found = spectrum.evidence(noise)
    expected = dense_bound(X, Y, noise, found.amplitude)
    assert found.log_evidence == pytest.approx(expected, rel=1e-9)
    for factor in (0.97, 1.03):
        assert dense_bound(X, Y, noise, factor * found.amplitude) < expected


@settings(max_examples=30, deadline=None)
@given(st.floats(-6, 4), st.integers(0, 9))
def test_the_slope_is_the_derivative(log_noise: float, seed: int) -> None:
    """Against central differences in log s2."""
    X, y = regression(seed, rows=30)
    spectrum, h = Spectrum.of(statistics_of([(X, y)], FEATURES)), 1e-4
    up, down = (spectrum.evidence(np.exp(log_noise + s * h)).log_evidence for s in (1, -1))
    slope = spectrum.slope(np.exp(log_noise))
    assert slope == pytest.approx((up - down) / (2 * h), rel=1e-4, abs=1e-4)


def test_the_best_noise_beats_a_fine_grid() -> None:
    """It lies between the grid's points, where the slope is zero."""
    X, y = regression(3, rows=200)
    statistics = statistics_of([(X, y)], FEATURES)
    spectrum, best = Spectrum.of(statistics), best_evidence(statistics)
    grid = [spectrum.evidence(s2).log_evidence for s2 in np.geomspace(1e-6, 1e4, 2000)]
    assert best.log_evidence >= max(grid)
    assert abs(spectrum.slope(best.noise)) < 1e-6
    assert best.noise_variance == best.noise * best.amplitude


def test_with_all_rows_as_landmarks_it_is_scikit_learns() -> None:
    """Nothing is left uncovered, so the bound is the log marginal likelihood."""
    X, y = regression(4, rows=25, inputs=2)
    features = Features.build(SMOOTH, X)
    found = best_evidence(statistics_of([(X, y)], features))
    kernel = ConstantKernel(found.amplitude) * RBF(1.5) + WhiteKernel(found.noise_variance)
    peer = GaussianProcessRegressor(kernel, optimizer=None, alpha=1e-300).fit(X, y)
    assert found.log_evidence == pytest.approx(peer.log_marginal_likelihood_value_, rel=1e-6)


@settings(max_examples=20, deadline=None)
@given(st.floats(-6, 6), st.floats(-4, 4))
def test_units_do_not_matter(target_exponent: float, kernel_exponent: float) -> None:
    """Scaling y by c scales a by c^2; scaling k by c scales s2 by c; tiny and huge alike."""
    X, y = regression(6, rows=60)
    one = statistics_of([(X, y)], FEATURES)
    c, k = 10.0**target_exponent, 10.0**kernel_exponent
    message = Gaussian(k * one.message.precision, c * np.sqrt(k) * one.message.shift)
    scaled = Statistics(60, c**2 * one.target_power, k * one.prior_power, message)
    a, b = best_evidence(one), best_evidence(scaled)
    assert b.noise / k == pytest.approx(a.noise, rel=1e-6)
    assert b.noise_variance / c**2 == pytest.approx(a.noise_variance, rel=1e-6)
    assert b.log_evidence + 60 * np.log(c) == pytest.approx(a.log_evidence, abs=1e-6)


def test_noise_free_targets_get_the_smallest_noise() -> None:
    """Targets in the span of the features, more rows than features: no jitter, no failure."""
    X, _ = regression(7, rows=50)
    Z = FEATURES.landmarks
    X = np.concatenate([Z, Z, Z])  # landmarks only: nothing is uncovered
    y = FEATURES(X) @ normal(1, len(Z))
    statistics = statistics_of([(X, y)], FEATURES)
    found = best_evidence(statistics)
    scale = statistics.prior_power / statistics.count
    assert found.noise == pytest.approx(NOISE_RANGE[0] * scale)
    assert np.isfinite(found.log_evidence)


def test_targets_that_have_nothing_to_do_with_inputs_are_noise() -> None:
    """The noise variance is the targets' own."""
    X, y = regression(8, rows=400)[0], normal(77, 400)
    found = best_evidence(statistics_of([(X, y)], FEATURES))
    assert found.noise_variance == pytest.approx(y.var(), rel=0.1)


@pytest.mark.parametrize("rows", [1, 2, 5])
def test_fewer_rows_than_features_are_enough(rows: int) -> None:
    """The prior determines what data don't."""
    X, y = regression(9, rows=20)
    found = best_evidence(statistics_of([(X[:rows], y[:rows])], FEATURES))
    assert np.isfinite(found.log_evidence)
    assert found.amplitude > 0


def test_a_message_that_says_nothing_leaves_pure_noise() -> None:
    """Features that are zero at all rows."""
    found = best_evidence(Statistics(10, 10.0, 10.0, Gaussian.flat(4)))
    assert found.noise_variance == pytest.approx(1.0)
    assert found.log_evidence == pytest.approx(-5 * (np.log(2 * np.pi) + 1), abs=1e-3)


@pytest.mark.parametrize(
    ("numbers", "complaint"),
    [
        ((0, 0.0, 0.0), "no rows"),
        ((5, 0.0, 5.0), "constant"),
        ((5, 5.0, 0.0), "kernel is zero"),
        ((5, np.nan, 5.0), "not finite|constant"),
        ((5, 5.0, np.inf), "not finite"),
    ],
)
def test_what_has_no_answer_is_refused(numbers: tuple[int, float, float], complaint: str) -> None:
    """By name, and never with a NaN."""
    with pytest.raises(NumericalError, match=complaint):
        best_evidence(Statistics(*numbers, Gaussian.flat(3)))


def test_a_maximum_at_the_end_of_the_range_is_found() -> None:
    """There the slope has no root."""
    assert maximum(lambda x: np.log(x), lambda _: 1.0, 0.1, 10.0) == pytest.approx(10.0)
    assert maximum(lambda x: -np.log(x), lambda _: -1.0, 0.1, 10.0) == pytest.approx(0.1)

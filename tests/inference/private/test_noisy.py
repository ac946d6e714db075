"""The posterior from noisy sums: the ordinary one without noise, and honest about it with noise."""

from dataclasses import replace

import numpy as np
import pytest

from edge_node.arrays import Matrix, Vector
from edge_node.inference.classification.classes import LabelRows
from edge_node.inference.classification.posterior import ClassPosterior
from edge_node.inference.evaluation.sampling import sample_probabilities
from edge_node.inference.features.landmarks import gaussian_landmarks
from edge_node.inference.features.nystrom import Features
from edge_node.inference.messages.evidence import Evidence, best_evidence
from edge_node.inference.messages.gaussian import Gaussian
from edge_node.inference.messages.statistics import Statistics
from edge_node.inference.private.noisy_classification import noisy_class_posterior
from edge_node.inference.private.noisy_regression import (
    NoisySpectrum,
    noisy_evidence,
    noisy_posterior,
)
from edge_node.inference.private.release import NoisySums, Scales, local_release
from edge_node.inference.regression.posterior import Posterior
from tests.inference.problems import NTK, normal

FEATURES = Features.build(NTK, gaussian_landmarks(np.eye(4), 40, seed=2))
NOISE, AMPLITUDE = 0.01, 0.01


def inputs(seed: int, rows: int) -> Matrix:
    """Rows that fill a part of the box."""
    return np.clip(0.5 * normal(seed, rows, 4) @ np.diag([1.0, 1.0, 0.5, 0.2]), -1.7, 1.7)


def draw(seed: int, rows: int) -> tuple[Matrix, Vector, Vector]:
    """Inputs, a function of the prior at them (what landmarks leave uncovered for each row alone),
    and it with noise.
    """
    X = inputs(seed, rows)
    f = FEATURES(X) @ normal(seed + 1, len(FEATURES.landmarks))
    f = np.sqrt(AMPLITUDE) * (f + np.sqrt(FEATURES.covered(X)[1]) * normal(seed + 2, rows))
    return X, f, f + np.sqrt(NOISE) * normal(seed + 3, rows)


def release(X: Matrix, Y: Vector, sigma: float, seed: int, outputs: int | None = None) -> NoisySums:
    """The sums of some rows, with noise of deviation ``sigma`` in a row's units."""
    target = 1.0 if outputs is None else float(np.sqrt(outputs / (outputs + 1)))
    scales = Scales.of(FEATURES, target, outputs)
    sigma *= scales.sensitivity
    noise = sigma * np.random.default_rng(seed).normal(size=scales.length)
    return NoisySums.read(local_release([(X, Y)], FEATURES, scales) + noise, scales, sigma)


def taken_for_exact(sums: NoisySums) -> Posterior:
    """What they would say if their noise were ignored; G~ is made positive semi-definite."""
    values, vectors = np.linalg.eigh(sums.gram)
    gram = (vectors * np.maximum(values, 0.0)) @ vectors.T
    message = Gaussian(gram, sums.shift[:, 0])
    power = max(sums.uncovered, 0.0) + float(np.trace(gram))
    statistics = Statistics(round(sums.count), max(sums.target_power, 1.0), power, message)
    evidence = best_evidence(statistics)
    return Posterior.of(statistics.likelihood(evidence.noise), FEATURES, evidence)


def test_without_noise_it_is_the_ordinary_posterior() -> None:
    """To rounding, for the same noise and amplitude: with s the noise and the uncovered part."""
    X, _, y = draw(0, 500)
    sums = release(X, y, sigma=1e-13, seed=0)
    evidence = Evidence(0.0, noise=0.7, amplitude=0.02)
    found = noisy_posterior(sums, FEATURES, evidence)
    total = evidence.noise + sums.uncovered / sums.count
    message = Gaussian(sums.gram, sums.shift[:, 0])
    likelihood = Statistics(500, sums.target_power, 1.0, message).likelihood(total)
    expected = Posterior.of(likelihood, FEATURES, Evidence(0.0, total, evidence.amplitude))
    queries = inputs(9, 50)
    (mean, variance), (their_mean, theirs) = found.predict(queries), expected.predict(queries)
    np.testing.assert_allclose(mean, their_mean, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(variance, theirs, rtol=1e-8)
    assert found.noise_variance == evidence.noise_variance


def test_without_noise_it_chooses_as_exact_sums_do() -> None:
    """The likelihood of the sums is that of the targets, but for terms of one in n."""
    X, _, y = draw(3, 5000)
    sums = release(X, y, sigma=1e-13, seed=0)
    found = noisy_evidence(replace(sums, uncovered=0.0))
    power = float(np.trace(sums.gram))
    message = Gaussian(sums.gram, sums.shift[:, 0])
    exact = best_evidence(Statistics(5000, sums.target_power, power, message))
    assert found.noise_variance == pytest.approx(exact.noise_variance, rel=1e-2)
    assert found.amplitude == pytest.approx(exact.amplitude, rel=0.1)


def test_all_noise_leaves_the_prior() -> None:
    """No direction is believed; the mean is zero and the variance the prior's."""
    X, _, y = draw(5, 50)
    sums = release(X, y, sigma=1e7, seed=1)
    assert len(NoisySpectrum.of(sums).eigenvalues) <= 1
    posterior = noisy_posterior(replace(sums, count=50.0), FEATURES, Evidence(0.0, 0.1, 2.0))
    mean, variance = posterior.predict(inputs(7, 20))
    prior = 2.0 * FEATURES.prior_variance(inputs(7, 20))
    assert np.abs(mean).max() < 0.2 * np.sqrt(prior.min())
    np.testing.assert_allclose(variance, prior, rtol=0.1)


@pytest.mark.parametrize("sigma", [0.01, 1.0, 4.0, 16.0])
def test_intervals_cover_what_they_say(sigma: float) -> None:
    """Over twelve federations: 95 % intervals of the function, and of observations. The control,
    which takes noisy sums for exact, misses far more often, or predicts far worse.
    """
    function, observed, density, control = [], [], [], []
    for seed in range(100, 1300, 100):
        X, f, y = draw(seed, 6500)
        sums = release(X[500:], y[500:], sigma, seed)
        for posterior, scores in (
            (noisy_posterior(sums, FEATURES, noisy_evidence(sums)), density),
            (taken_for_exact(sums), control),
        ):
            mean, variance = posterior.predict(X[:500])
            total = variance + posterior.noise_variance
            scores.append(np.mean(np.log(total) + (y[:500] - mean) ** 2 / total))
            if scores is density:
                function.append(np.mean(np.abs(f[:500] - mean) < 1.96 * np.sqrt(variance)))
                observed.append(np.mean(np.abs(y[:500] - mean) < 1.96 * np.sqrt(total)))
    assert 0.88 < np.mean(function) < 0.995
    assert 0.93 < np.mean(observed) < 0.985
    if sigma >= 1.0:
        assert np.mean(control) > np.mean(density) + 0.2


def test_more_noise_means_less_said() -> None:
    """Errors grow, up to those of the prior, and predictions say how large they are: also where
    the noise is so much larger than the targets' sum of squares that this comes out negative.
    """
    X, f, y = draw(40, 6500)
    errors = []
    for sigma in (0.01, 4.0, 64.0):
        sums = release(X[500:], y[500:], sigma, 3)
        mean, variance = noisy_posterior(sums, FEATURES, noisy_evidence(sums)).predict(X[:500])
        errors.append(np.sqrt(np.mean((mean - f[:500]) ** 2)))
        assert 0.5 < errors[-1] / np.sqrt(variance.mean()) < 2.5
    assert errors == sorted(errors)
    assert sums.target_power < 0.0


@pytest.mark.parametrize("classes", [2, 3])
def test_probabilities_are_calibrated(classes: int) -> None:
    """With little noise they are nearly as good as the truth; with much, not overconfident."""
    X = inputs(50, 9000)
    logits = 3.0 * np.column_stack([X[:, 0], -X[:, 1], np.zeros(9000)])[:, :classes]
    truth = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    uniform = np.random.default_rng(51).random(9000)[:, None]
    y = (truth.cumsum(axis=1) < uniform).sum(axis=1)
    rows = LabelRows([(X[1000:], y[1000:].astype(float))], np.full(classes, -np.log(classes)))
    (_, Y) = next(iter(rows))

    def loss(probabilities: Matrix) -> float:
        return float(-np.mean(np.log(probabilities[np.arange(1000), y[:1000]])))

    losses = []
    for sigma in (0.01, 4.0, 100.0):
        sums = release(X[1000:], Y, sigma, seed=4, outputs=classes - 1)
        posterior = noisy_class_posterior(sums, FEATURES, noisy_evidence(sums))
        losses.append(loss(posterior.predict_proba(X[:1000])))
    assert losses[0] < loss(truth[:1000]) + 0.03
    assert losses[1] < losses[0] + 0.03
    assert losses[2] < np.log(classes) + 0.05


def test_draws_average_to_the_probabilities() -> None:
    """Also of a posterior that has accounted for a part of what landmarks leave uncovered; and it
    is the same when it is read back.
    """
    X, f, _ = draw(60, 3000)
    rows = LabelRows([(X, (f > 0).astype(float))], np.full(2, -np.log(2)))
    (_, Y) = next(iter(rows))
    sums = release(X, Y, sigma=1.0, seed=5, outputs=1)
    posterior = noisy_class_posterior(sums, FEATURES, noisy_evidence(sums))
    assert posterior.allowance > 0.0
    drawn = sample_probabilities(posterior, X[:40], 4000, np.random.default_rng(6)).mean(axis=2)
    expected = posterior.predict_proba(X[:40])
    np.testing.assert_allclose(drawn, expected, atol=0.03)
    arrays = posterior.to_arrays()
    np.testing.assert_array_equal(
        ClassPosterior.from_arrays(arrays).predict_proba(X[:40]), expected
    )


def test_the_noise_of_a_projection_has_the_variance_that_is_said() -> None:
    """Drawn: e - E u for noise alone and a u of the prior, coordinate by coordinate."""
    random, a = np.random.default_rng(7), 0.3
    scales = Scales(size=30, power=2.0, target=1.0)
    sigma = 2.0 * scales.sensitivity
    squares = []
    for _ in range(400):
        noise = NoisySums.read(sigma * random.normal(size=scales.length), scales, sigma)
        u = np.sqrt(a) * random.normal(size=30)
        squares.append(np.square(noise.shift[:, 0] - noise.gram @ u))
    expected = NoisySpectrum.of(noise).variance(a)
    np.testing.assert_allclose(np.mean(squares), expected, rtol=0.06)
    assert expected > 2.0 * noise.deviations.shift**2  # most of it comes from the matrix

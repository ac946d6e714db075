"""A site refines the shared posterior by itself: against the dense model of all rows."""

import numpy as np
import pytest
from scipy.linalg import block_diag
from scipy.stats import multivariate_normal

from edge_node.arrays import Matrix, Vector
from edge_node.inference.features.metric import metric_from
from edge_node.inference.features.nystrom import Features
from edge_node.inference.regression.conditional import ConditionalStatistics, local_conditional
from edge_node.inference.regression.posterior import Posterior
from edge_node.inference.regression.refinement import OwnRows, Refinement, refine
from tests.inference.problems import NTK, normal, regression

NOISE = 0.2
METRIC = metric_from(normal(0, 5, 3).T @ normal(0, 5, 3))
FEATURES = Features.build(NTK, normal(1, 12, 3) @ METRIC.T, METRIC)
X, Y = regression(2, rows=90)
OWN, OTHERS = slice(0, 60), slice(60, 90)
KEPT = 40  # own rows in one block; the others of its own are independent, given u


def shared() -> tuple[Posterior, ConditionalStatistics]:
    """The global posterior, and the total that it is made of."""
    parts = [local_conditional([(X[p], Y[p])], FEATURES, [NOISE])[0] for p in (OWN, OTHERS)]
    total = parts[0] + parts[1]
    return Posterior.of(total.message, FEATURES, total.evidence(NOISE)), total


def refined() -> Refinement:
    """The first site's."""
    return refine(*shared(), OwnRows.of([(X[OWN], Y[OWN])], FEATURES, KEPT, KEPT))


def residual(A: Matrix, B: Matrix) -> Matrix:
    """K(A, B) - Phi(A) Phi(B)'."""
    K = NTK(FEATURES.place(A), FEATURES.place(B))
    return K - FEATURES(A) @ FEATURES(B).T


def covariance(noise: float, kept: int) -> Matrix:
    """Of all targets, over the amplitude; ``kept`` rows depend on each other."""
    alone = np.diag(np.diag(residual(X, X)))
    left = block_diag(residual(X[:kept], X[:kept]), alone[kept:, kept:])
    noises = np.repeat([noise, NOISE], [60, 30])
    return FEATURES(X) @ FEATURES(X).T + left + np.diag(noises)


def log_density(C: Matrix, amplitude: float) -> float:
    """Of the site's targets given the others'."""
    gain = np.linalg.solve(C[OTHERS, OTHERS], C[OTHERS, OWN]).T
    mean: Vector = gain @ Y[OTHERS]
    left = C[OWN, OWN] - gain @ C[OTHERS, OWN]
    return float(multivariate_normal.logpdf(Y[OWN], mean, amplitude * (left + left.T) / 2))


def test_predictions_are_the_dense_models() -> None:
    """Own rows in a block, own rows that aren't, and others' rows, which keep the shared noise."""
    found = refined()
    noise, amplitude = found.posterior.noise, found.posterior.amplitude
    N = X[:5] + 0.1
    cross = FEATURES(X) @ FEATURES(N).T
    cross[:KEPT] += residual(X[:KEPT], N)
    C = covariance(noise, KEPT)
    mean, variance, answered = found.predict(N)
    assert answered.all()
    np.testing.assert_allclose(mean, cross.T @ np.linalg.solve(C, Y), rtol=1e-7, atol=1e-8)
    exact = FEATURES.prior_variance(N) - np.einsum("ij,ij->j", cross, np.linalg.solve(C, cross))
    np.testing.assert_allclose(variance, amplitude * exact, rtol=1e-6)


def test_its_evidence_compares_with_the_global_posteriors() -> None:
    """They differ by what the two models say of the site's rows, given the others'."""
    found, (posterior, _) = refined().posterior, shared()
    gained = log_density(covariance(found.noise, KEPT), found.amplitude)
    plain = log_density(covariance(NOISE, 0), posterior.amplitude)
    difference = found.log_evidence - posterior.log_evidence
    assert difference == pytest.approx(gained - plain, rel=1e-7)
    assert difference > 1


def test_its_noise_is_its_own() -> None:
    """Better than the shared one, and than others far from it."""
    found = refined().posterior
    assert found.noise != NOISE

    def evidence(noise: float) -> float:
        return log_density(covariance(noise, KEPT), found.amplitude)

    best = evidence(found.noise)
    assert best > max(evidence(NOISE), evidence(8 * found.noise), evidence(found.noise / 8))


def test_a_site_of_a_few_rows_keeps_close_to_the_shared_amplitude() -> None:
    """Its two targets could be explained by nearly nothing."""
    posterior, total = shared()
    rows = [(X[:2], np.full(2, 1e-9))]
    plain = local_conditional([(X[:2], Y[:2])], FEATURES, [NOISE])[0]
    own = local_conditional(rows, FEATURES, [NOISE])[0]
    kept = OwnRows.of(rows, FEATURES, 2, 2)
    found = refine(posterior, total.without(plain) + own, kept).posterior
    assert found.amplitude > 0.8 * posterior.amplitude

"""The averaged softmax: against quadrature, Monte Carlo and its own derivatives."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.special import expit, log_softmax, softmax
from scipy.stats import norm

from edge_node.inference.classification.classes import contrast
from edge_node.inference.classification.likelihood import average, pairs, softmax_curvature
from tests.inference.problems import normal

EVEN = np.log([0.5, 0.5])


def binary(mean: float, variance: float):
    """For a difference of logits f ~ N(mean, variance): E log p, E p, curvature in f."""
    found = average(EVEN, np.array([[mean / np.sqrt(2)]]), np.array([[[variance / 2]]]))
    return found.log_probabilities[0], found.probabilities[0], found.curvature[0, 0] / 2


@settings(max_examples=40, deadline=None)
@given(st.floats(-12, 12), st.floats(1e-6, 400))
def test_two_classes_agree_with_quadrature(mean: float, variance: float) -> None:
    """To 1e-7, whatever the variance, where Gauss-Hermite with few nodes fails."""
    sd = np.sqrt(variance)

    def expect(function) -> float:
        kinks = [t for t in (-mean / sd,) if abs(t) < 9]
        value, _ = quad(
            lambda t: function(mean + sd * t) * norm.pdf(t), -9, 9, points=kinks, limit=200
        )
        return value

    log_p, p, curvature = binary(mean, variance)
    close = {"rel": 1e-6, "abs": 1e-6}  # of a wide latent log p is large, and so is its rounding
    assert p[1] == pytest.approx(expect(expit), abs=1e-7)
    assert log_p[1] == pytest.approx(expect(lambda f: -np.logaddexp(0, -f)), **close)
    assert log_p[0] == pytest.approx(expect(lambda f: -np.logaddexp(0, f)), **close)
    assert curvature == pytest.approx(expect(lambda f: expit(f) * expit(-f)), abs=1e-6)


@given(st.floats(-8, 8), st.floats(0, 100))
def test_two_classes_are_exact_derivatives_of_one_function(mean: float, variance: float) -> None:
    """That is, d E log p_1 / df = 1 - E p_1 = E p_0, and d E p_1 / df = the curvature."""
    h = 1e-4
    (up, p_up, _), (down, p_down, _) = binary(mean + h, variance), binary(mean - h, variance)
    _, p, curvature = binary(mean, variance)
    assert (up[1] - down[1]) / (2 * h) == pytest.approx(p[0], abs=1e-6)
    assert (p_up[1] - p_down[1]) / (2 * h) == pytest.approx(curvature, abs=1e-6)


@pytest.mark.parametrize("classes", [3, 5])
def test_more_classes_agree_with_monte_carlo(classes: int) -> None:
    """To a few thousandths, with a full covariance."""
    q, rng = classes - 1, np.random.default_rng(0)
    offsets, mean = log_softmax(normal(1, classes)), normal(2, 1, q)
    root = normal(3, q, q)
    found = average(offsets, mean, (root @ root.T)[None])
    draws = mean + rng.standard_normal((400_000, q)) @ root.T
    log_p = log_softmax(offsets + draws @ contrast(classes).T, axis=1)
    np.testing.assert_allclose(found.probabilities[0], np.exp(log_p).mean(axis=0), atol=6e-3)
    np.testing.assert_allclose(found.log_probabilities[0], log_p.mean(axis=0), atol=4e-2)
    curvature = softmax_curvature(np.exp(log_p)).mean(axis=0)
    np.testing.assert_allclose(found.curvature[0], curvature, atol=4e-3)


@pytest.mark.parametrize("classes", [2, 4])
def test_without_variance_it_is_the_softmax(classes: int) -> None:
    """And its curvature Q' (diag p - p p') Q."""
    offsets, mean = normal(1, classes), normal(2, 6, classes - 1)
    found = average(offsets, mean, np.zeros((6, classes - 1, classes - 1)))
    Q = contrast(classes)
    p = softmax(offsets + mean @ Q.T, axis=1)
    np.testing.assert_allclose(found.probabilities, p, atol=1e-8)
    np.testing.assert_allclose(found.log_probabilities, np.log(p), atol=1e-7)
    dense = Q.T @ (np.diag(p[0]) - np.outer(p[0], p[0])) @ Q
    expected = [dense[j, k] for j, k in pairs(classes - 1)]
    np.testing.assert_allclose(found.curvature[0], expected, atol=1e-7)


def test_probabilities_sum_to_one_and_variance_makes_them_timid() -> None:
    """Whatever the covariance; the limit is one half."""
    for classes in (2, 3):
        q = classes - 1
        wide = np.stack([scale * np.eye(q) for scale in (0.0, 1.0, 100.0, 1e6)])
        mean = np.tile(3 * contrast(classes)[-1], (4, 1))
        p = average(np.zeros(classes), mean, wide).probabilities
        np.testing.assert_allclose(p.sum(axis=1), 1, atol=1e-12)
        assert (np.diff(p[:, -1]) < 0).all()
        assert p[-1, -1] == pytest.approx(1 / classes, abs=0.02)

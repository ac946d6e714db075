"""Metrics agree with their definitions and with scikit-learn, and refuse what doesn't fit."""

import numpy as np
import pytest
from scipy.special import softmax
from scipy.stats import norm
from sklearn import metrics as peer

from edge_node.errors import DataError
from edge_node.inference.evaluation.metrics import accuracy, coverage, ece, log_loss, nll, rmse
from tests.inference.problems import normal


def test_regression_metrics_are_their_definitions() -> None:
    """RMSE, Gaussian NLL and coverage."""
    y, mean, variance = normal(0, 500), 0.3 * normal(1, 500), np.exp(0.2 * normal(2, 500))
    assert rmse(y, mean) == pytest.approx(np.sqrt(peer.mean_squared_error(y, mean)))
    assert nll(y, mean, variance) == pytest.approx(-norm(mean, np.sqrt(variance)).logpdf(y).mean())
    assert rmse(y, y) == 0


@pytest.mark.parametrize("level", [0.5, 0.95])
def test_calibrated_predictions_cover_their_level(level: float) -> None:
    """Of draws from the predictive distribution; an interval twice as wide covers more."""
    sd = np.exp(normal(0, 20_000))
    y = 5 + sd * normal(1, 20_000)
    mean = np.full(20_000, 5.0)
    assert coverage(y, mean, sd**2, level) == pytest.approx(level, abs=0.01)
    assert coverage(y, mean, 4 * sd**2, level) > level + 0.02


def test_class_metrics_are_scikit_learns() -> None:
    """Accuracy and log loss; a probability of zero is not infinite."""
    p = softmax(normal(0, 200, 3), axis=1)
    y = np.arange(200.0) % 3
    assert accuracy(y, p) == peer.accuracy_score(y, p.argmax(axis=1))
    assert log_loss(y, p) == pytest.approx(peer.log_loss(y, p))
    assert log_loss(np.array([0.0]), np.array([[0.0, 1.0]])) == pytest.approx(708.4, abs=0.1)


def test_calibration_error_by_hand() -> None:
    """Two bins: |1/2 - .9| on two rows, |1 - .6| on two; a perfect forecaster has none."""
    p = np.array([[0.9, 0.1], [0.1, 0.9], [0.6, 0.4], [0.4, 0.6]])
    assert ece(np.array([0.0, 0.0, 0.0, 1.0]), p) == pytest.approx(0.4)
    assert ece(np.array([0.0, 1.0]), np.eye(2)) == 0
    assert ece(np.array([1.0, 0.0]), np.eye(2)) == 1


def test_calibrated_probabilities_have_a_small_calibration_error() -> None:
    """Labels drawn from the probabilities; overconfident ones are told apart."""
    logits, uniform = normal(0, 20_000), np.random.default_rng(1).random(20_000)
    p = 1 / (1 + np.exp(-logits))
    y = (uniform < p).astype(float)
    sharp = 1 / (1 + np.exp(-3 * logits))
    assert ece(y, np.stack([1 - p, p], axis=1)) < 0.015
    assert ece(y, np.stack([1 - sharp, sharp], axis=1)) > 0.05


@pytest.mark.parametrize(
    "call",
    [
        lambda: rmse(np.zeros(3), np.zeros((3, 1))),
        lambda: rmse(np.zeros(0), np.zeros(0)),
        lambda: rmse(np.array([np.nan]), np.zeros(1)),
        lambda: nll(np.zeros(3), np.zeros(3), np.ones(1)),
        lambda: nll(np.zeros(3), np.zeros(3), np.zeros(3)),
        lambda: coverage(np.zeros(3), np.zeros(3), np.ones(3), level=1.0),
        lambda: accuracy(np.zeros(3), np.ones(3)),
        lambda: log_loss(np.zeros(2), np.array([[0.5, 0.5]])),
        lambda: log_loss(np.array([2.0]), np.array([[0.5, 0.5]])),
        lambda: log_loss(np.array([0.5]), np.array([[0.5, 0.5]])),
        lambda: ece(np.zeros(1), np.array([[0.7, 0.7]])),
    ],
)
def test_what_does_not_fit_is_refused(call) -> None:
    """Never broadcast, never a NaN."""
    with pytest.raises(DataError):
        call()

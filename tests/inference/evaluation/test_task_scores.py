"""Scores of counts, ordered classes and times: against scikit-learn and lifelines, and by hand."""

import warnings

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import mean_poisson_deviance

from edge_node.inference.evaluation.task_scores import (
    concordance,
    count_scores,
    ordinal_scores,
    poisson_deviance,
    ranked_probability_score,
    survival_scores,
)


def test_deviance_is_scikit_learns() -> None:
    """Zeros included."""
    random = np.random.default_rng(0)
    mean = random.gamma(2.0, 1.0, 200)
    y = random.poisson(mean).astype(float)
    assert (y == 0).any()
    assert poisson_deviance(y, mean) == pytest.approx(mean_poisson_deviance(y, mean))


def test_counts_at_the_ends_are_inside() -> None:
    """Of four rows, three lie within."""
    y = np.array([0.0, 2.0, 5.0, 9.0])
    found = count_scores(y, np.ones(4), np.array([0.0, 1, 2, 3]), np.array([1.0, 3, 5, 8]))
    assert found["coverage95"] == 0.75


def test_ranked_probabilities_by_hand() -> None:
    """A far miss costs more than a near one; certainty of the truth costs nothing."""
    sure = np.eye(3)
    assert ranked_probability_score(np.array([0.0, 1.0, 2.0]), sure) == 0.0
    assert ranked_probability_score(np.array([2.0]), sure[:1]) == 1.0
    assert ranked_probability_score(np.array([1.0]), sure[:1]) == 0.5
    even = np.full((1, 3), 1 / 3)
    expected = ((1 / 3) ** 2 + (1 / 3) ** 2) / 2
    assert ranked_probability_score(np.array([1.0]), even) == pytest.approx(expected)


def test_accuracy_is_that_of_the_label() -> None:
    """The median class, which need not be the most probable one."""
    probabilities = np.array([[0.4, 0.25, 0.35]])
    found = ordinal_scores(np.array([1.0]), probabilities, np.array([1.0]))
    assert found["accuracy"] == 1.0


def test_concordance_is_lifelines() -> None:
    """With ties in times and in predictions, and a third of the rows censored."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its imports
        from lifelines.utils import concordance_index
    random = np.random.default_rng(1)
    predicted = np.round(random.gamma(2.0, 1.0, 300), 1)
    time = np.round(predicted * random.exponential(1.0, 300) + 0.1, 1)
    seen = random.random(300) < 0.67
    expected = concordance_index(time, predicted, seen)
    assert concordance(time, seen, predicted) == pytest.approx(expected, abs=1e-12)
    assert concordance(time, seen, np.ones(300)) == 0.5


@pytest.mark.parametrize("follow_up", [1e9, 3.0])
def test_right_predictions_are_calibrated_whatever_is_censored(follow_up: float) -> None:
    """Log-normal times, lost from sight at random; predictions twice too narrow are found out."""
    random = np.random.default_rng(2)
    location, sd = random.normal(size=1500), 0.8
    event = np.exp(location + sd * random.normal(size=1500))
    lost = random.exponential(follow_up, 1500)
    seen, time = event <= lost, np.minimum(event, lost)
    assert seen.mean() < 0.8 or follow_up > 100
    reach = norm.ppf(0.975)

    def scores(width: float) -> dict[str, float]:
        lower, upper = (np.exp(location + sign * reach * width) for sign in (-1, 1))
        return survival_scores(time, seen, lower, np.exp(location), upper)

    assert scores(sd)["coverage95"] == pytest.approx(0.95, abs=0.02)
    assert scores(sd)["calibration_error"] < 0.04
    assert scores(sd / 2)["coverage95"] < 0.9
    assert scores(sd / 2)["calibration_error"] > 0.1

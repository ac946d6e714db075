"""Rows from a release with differential privacy, by those who know everybody else's part of it."""

import numpy as np
import pytest

from edge_node.arrays import Matrix, Vector
from edge_node.config import Level
from edge_node.inference.features.nystrom import Features
from edge_node.inference.messages.gaussian import Gaussian
from edge_node.inference.messages.statistics import Statistics
from edge_node.inference.private.release import NoisySums, Scales, local_release
from edge_node.security.privacy.discrete_gaussian import DiscreteGaussian
from edge_node.security.privacy.privacy_cost import noise_multiplier
from tests.attacks.reconstruction import distances, rows_in_span
from tests.inference.problems import features_on, normal

RECOVERED = 0.01
FEW, COHORT = 4, 3


@pytest.fixture(scope="module")
def features() -> Features:
    """A public feature map of 25 landmarks in three dimensions."""
    return features_on(normal(0, 25, 3))


def attack(release: Vector, scales: Scales, features: Features) -> Matrix:
    """The rows whose features span what is left when all others' parts are subtracted."""
    sums = NoisySums.read(release, scales, 0.0)
    message = Gaussian(sums.gram, sums.shift[:, 0])
    statistics = Statistics(FEW, sums.target_power, float(np.trace(sums.gram)), message)
    return rows_in_span(statistics, features, FEW, normal(3, 40, 3))


@pytest.mark.parametrize("epsilon", [0.5, 4.0, 16.0])
def test_all_others_together_find_no_row(features: Features, epsilon: float) -> None:
    """All members but one collude, and the one has four rows: its share of the noise hides them.

    The same attack finds all of them where the share is missing: that is the control.
    """
    X, y = normal(1, FEW, 3), normal(2, FEW)
    scales = Scales.of(features, target=3.0)
    noise = DiscreteGaussian(
        level=Level.RECORD,
        multiplier=noise_multiplier(epsilon, 1e-6),
        sensitivity=scales.sensitivity,
        size=scales.length,
        tolerated=COHORT - 1,
    )
    exact = local_release([(X, y)], features, scales)
    assert distances(X, attack(exact, scales, features)).max() < RECOVERED
    noisy = exact + noise.share(COHORT)
    assert distances(X, attack(noisy, scales, features)).min() > RECOVERED

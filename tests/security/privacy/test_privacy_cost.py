"""What noise costs, checked with an accountant that is not ours (dp-accounting)."""

import itertools

import dp_accounting
import numpy as np
import pytest
from dp_accounting.pld import PLDAccountant
from dp_accounting.rdp import RdpAccountant
from scipy.special import log_ndtr

from edge_node.security.privacy.privacy_cost import delta_of, epsilon_of, noise_multiplier, rho_of

PROMISES = list(itertools.product([0.25, 1.0, 4.0, 8.0], [1e-8, 1e-5]))
ORDERS = np.concatenate([1.0 + np.geomspace(1e-3, 10, 300), np.geomspace(11, 3000, 300)])


@pytest.mark.parametrize(("epsilon", "delta"), PROMISES)
def test_a_release_is_as_private_as_promised(epsilon: float, delta: float) -> None:
    """The exact (privacy loss distribution) epsilon is lower, by 12 % at most."""
    event = dp_accounting.GaussianDpEvent(noise_multiplier(epsilon, delta))
    exact = PLDAccountant().compose(event).get_epsilon(delta)
    assert 0.88 * epsilon < exact <= epsilon


@pytest.mark.parametrize(("epsilon", "delta"), PROMISES)
def test_releases_add_up_as_renyi_accounting_says(epsilon: float, delta: float) -> None:
    """Several releases of different noise: the same epsilon, from the same theorem."""
    multipliers = [noise_multiplier(epsilon, delta) * factor for factor in (1.0, 1.7, 3.0)]
    accountant = RdpAccountant(ORDERS)
    for multiplier in multipliers:
        accountant.compose(dp_accounting.GaussianDpEvent(multiplier))
    ours = epsilon_of(sum(map(rho_of, multipliers)), delta)
    assert ours == pytest.approx(accountant.get_epsilon(delta), rel=1e-3)
    assert ours <= accountant.get_epsilon(delta) * (1 + 1e-9)


@pytest.mark.parametrize("multiplier", [0.3, 1.0, 10.0])
def test_it_never_says_less_than_the_truth(multiplier: float) -> None:
    """The Gaussian mechanism's exact delta (Balle & Wang 2018, theorem 8) is below ours."""
    for epsilon in (0.1, 0.5, 2.0, 8.0):
        centre, half = epsilon * multiplier, 0.5 / multiplier
        exact = np.exp(log_ndtr(half - centre)) - np.exp(epsilon + log_ndtr(-half - centre))
        assert delta_of(rho_of(multiplier), epsilon) >= exact


def test_nothing_costs_nothing() -> None:
    """And more noise costs less."""
    assert epsilon_of(0.0, 1e-6) < 1e-50
    assert noise_multiplier(0.5, 1e-6) > noise_multiplier(1.0, 1e-6) > noise_multiplier(1.0, 1e-4)

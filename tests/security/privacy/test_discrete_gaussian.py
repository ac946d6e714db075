"""Noise for sums: on a grid, of the size promised, shared so that nobody's own share matters."""

import math
import sys

import numpy as np
import pytest
from scipy import stats

from edge_node.config import Level
from edge_node.errors import ConfigurationError, NumericalError, RefusedError
from edge_node.security.privacy.discrete_gaussian import (
    DiscreteGaussian,
    check_noise_available,
    draw_integers,
)

ROW = 2.0**29  # what a row adds at most


def noise_of(size: int = 1, **changes: object) -> DiscreteGaussian:
    """Some noise."""
    values = {
        "level": Level.RECORD,
        "multiplier": 4.5,
        "sensitivity": ROW,
        "size": size,
        "tolerated": 1,
    }
    return DiscreteGaussian(**(values | changes))


@pytest.mark.parametrize("sigma", [2.0**20 / 1.01, 2.0**49])
def test_noise_must_be_smooth_and_exact_on_whole_numbers(sigma: float) -> None:
    """Or there is none: so little isn't Gaussian, and so much has no place in float64."""
    noise_of(sensitivity=1.0, multiplier=2.0**20)
    noise_of(sensitivity=1.0, multiplier=2.0**49 / 1.01)
    with pytest.raises(NumericalError, match=r"noise of this size.*privacy.epsilon"):
        noise_of(sensitivity=1.0, multiplier=sigma)


def test_shares_make_up_for_what_tolerated_members_know() -> None:
    """The variance without their shares is what was promised."""
    noise = noise_of(tolerated=2)
    for cohort in (3, 7, 40):
        share = noise.total_sigma(cohort) ** 2 / cohort
        assert (cohort - 2) * share == pytest.approx(noise.sigma**2, rel=1e-12)


def test_shares_are_drawn_with_the_scale_that_is_said() -> None:
    """They are whole numbers, and stay what was drawn."""
    noise, asked = noise_of(3), []

    def draw(scale: float, size: int) -> list[int]:
        asked.append(scale)
        return [-(2**40), 0, 7]

    share = noise.share(5, draw)
    assert asked == [pytest.approx(noise.sigma / 2.0)]
    assert share.tolist() == [-(2.0**40), 0.0, 7.0]


def test_the_sum_of_shares_is_gaussian() -> None:
    """Variance and shape of what a cohort of four draws (OpenDP draws from the system): a chance
    of failure below 1e-9.
    """
    noise, size = noise_of(20_000), 20_000
    total = sum(noise.share(4) for _ in range(4)) / noise.total_sigma(4)
    low, high = stats.chi2.ppf([5e-11, 1 - 5e-11], size)
    assert low < np.square(total).sum() < high
    assert stats.kstest(total, "norm").pvalue > 1e-10
    assert abs(total.sum()) / math.sqrt(size) < 6.5


def test_two_draws_differ() -> None:
    """And no seed of ours has a part in them."""
    np.random.seed(0)
    first = list(draw_integers(1e6, 50))
    np.random.seed(0)
    assert first != list(draw_integers(1e6, 50))


@pytest.mark.parametrize("wrong", [0.5, 2.0**53, np.nan, np.inf])
def test_only_whole_numbers_are_given_noise(wrong: float) -> None:
    """Digits of anything else would show through; and a vector of another length is refused."""
    noise = noise_of(2)
    noise.check(np.array([0.0, -(2.0**53) + 1.0]))
    with pytest.raises(NumericalError, match=r"can't be given noise.*1 of them"):
        noise.check(np.array([0.0, wrong]))
    with pytest.raises(NumericalError, match=r"expected 2 whole numbers.*found 3"):
        noise.check(np.zeros(3))


def test_a_cohort_of_colluders_only_is_refused() -> None:
    """All could know all noise. One node alone, the pooled reference, has nobody to hide from."""
    with pytest.raises(RefusedError, match="too small to share the noise"):
        noise_of(tolerated=3).total_sigma(3)
    assert noise_of(tolerated=3).total_sigma(1) == noise_of().sigma


def test_without_opendp_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """When the node starts, not in the middle of a run."""
    for module in ("opendp", "opendp.domains", "opendp.measurements"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ConfigurationError, match=r"pip install 'tangent-mesh\[privacy\]'"):
        check_noise_available()

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


def noise_of(size: int = 1, **changes: object) -> DiscreteGaussian:
    """Some noise."""
    values = {"level": Level.RECORD, "multiplier": 4.5, "bound": 1.0, "size": size, "tolerated": 1}
    return DiscreteGaussian(**(values | changes))


@pytest.mark.parametrize("multiplier", [0.05, 1.0, 4.5, 300.0])
@pytest.mark.parametrize("bound", [1.0, 2000.0])
def test_the_grid_is_fine_and_fits_the_ring(multiplier: float, bound: float) -> None:
    """A power of two, at least 2^20 steps a standard deviation, and a multiple of 2^-60."""
    noise = noise_of(45_000, multiplier=multiplier, bound=bound)
    assert math.log2(noise.grid) == int(math.log2(noise.grid))
    assert 2**20 <= noise.sigma / noise.grid < 2**21.1
    assert noise.grid >= 2.0**-60


def test_rounding_is_part_of_the_sensitivity() -> None:
    """However two neighbouring sums lie to the grid, what is sent differs by no more."""
    random = np.random.default_rng(0)
    noise = noise_of(50, multiplier=2.0**-19)  # a grid so coarse that it matters
    for _ in range(300):
        row = random.normal(size=50)
        row *= noise.bound / np.linalg.norm(row)
        rest = random.normal(size=50) * 10
        difference = noise.rounded(rest + row) - noise.rounded(rest)
        assert np.linalg.norm(difference) <= noise.sensitivity
        assert not np.any(np.remainder(noise.rounded(rest), noise.grid))


def test_shares_make_up_for_what_tolerated_members_know() -> None:
    """The variance without their shares is what was promised."""
    noise = noise_of(tolerated=2)
    for cohort in (3, 7, 40):
        share = noise.total_sigma(cohort) ** 2 / cohort
        assert (cohort - 2) * share == pytest.approx(noise.sigma**2, rel=1e-12)


def test_shares_are_drawn_with_the_scale_that_is_said() -> None:
    """In grid steps; drawn numbers become multiples of the grid."""
    noise, asked = noise_of(3), []

    def draw(scale: float, size: int) -> list[int]:
        asked.append(scale)
        return [-(2**40), 0, 7]

    share = noise.share(5, draw)
    assert asked == [pytest.approx(noise.sigma / noise.grid / 2.0)]
    assert share.tolist() == [-(2.0**40) * noise.grid, 0.0, 7 * noise.grid]
    assert share.tolist() != noise_of(3, tolerated=0).share(5, draw).tolist() or len(asked) == 2


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


def test_what_has_no_place_on_the_grid_is_refused() -> None:
    """A number so large that its digits end above the grid, and a vector of another length."""
    noise = noise_of(2)
    with pytest.raises(NumericalError, match="can't be given noise"):
        noise.rounded(np.array([0.0, 2.0**53 * noise.grid]))
    with pytest.raises(NumericalError, match="expected 2 numbers"):
        noise.rounded(np.zeros(3))


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

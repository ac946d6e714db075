"""Intervals from held-out scores: as wide as errors ask for, whatever their spread and shape."""

from statistics import NormalDist

import numpy as np
import pytest

from edge_node.arrays import Vector
from edge_node.inference.regression.calibration import PRIOR_ROWS, Calibration, HeldOutScores

LEVELS = (0.5, 0.8, 0.9, 0.95, 0.99)
MANY = 100_000


def errors(shape: str, rows: int, seed: int = 0) -> Vector:
    """Standardised errors (n,) of a model that may be wrong."""
    random = np.random.default_rng(seed)
    spreads = np.where(random.random(rows) < 0.8, 0.4, 2.0)
    return {
        "right": lambda: random.normal(size=rows),
        "too narrow": lambda: 2.3 * random.normal(size=rows),
        "too wide": lambda: 0.6 * random.normal(size=rows),
        "heavy tails": lambda: random.standard_t(3, size=rows),
        "two spreads": lambda: spreads * random.normal(size=rows),
    }[shape]()


@pytest.mark.parametrize("shape", ["right", "too narrow", "too wide", "heavy tails", "two spreads"])
def test_intervals_hold_what_they_promise(shape: str) -> None:
    """At every level, within 1 %: 14 counts are enough."""
    z = errors(shape, MANY)
    found = Calibration.of(HeldOutScores.of(z))
    sd = np.sqrt(found.factor)
    assert sd == pytest.approx(z.std(), rel=0.05)
    for level in LEVELS:
        covered = (np.abs(errors(shape, MANY, 1)) <= sd * found.half_width(level)).mean()
        assert covered == pytest.approx(level, abs=0.01)


@pytest.mark.parametrize("level", [*LEVELS, 0.9999])
def test_without_scores_a_model_is_believed(level: float) -> None:
    """A Gaussian's intervals, and the variance as it is."""
    for found in (Calibration.none(), Calibration.of(HeldOutScores.of(np.empty(0)))):
        assert found.factor == pytest.approx(1.0)
        exact = NormalDist().inv_cdf((1 + level) / 2)
        assert found.half_width(level) == pytest.approx(exact, rel=1e-6)


def test_a_wider_level_has_a_wider_interval() -> None:
    """From next to nothing to next to everything."""
    found = Calibration.of(HeldOutScores.of(errors("heavy tails", 200)))
    widths = [found.half_width(level) for level in np.linspace(0.001, 0.9999, 500)]
    assert (np.diff(widths) > 0).all()


def test_few_scores_cover_at_least_as_often_as_asked_for() -> None:
    """A new error among 40 others, on average over sites: the (n + 1) rule."""
    inside = []
    for site in range(400):
        z = errors("two spreads", 41, site)
        found = Calibration.of(HeldOutScores.of(z[1:]))
        inside.append(abs(z[0]) <= np.sqrt(found.factor) * found.half_width(0.9))
    assert 0.89 < np.mean(inside) < 0.97


def test_few_scores_stay_close_to_the_wider_groups() -> None:
    """Two scores of a site move its factor little, and two thousand decide it."""
    wider = Calibration.of(HeldOutScores.of(errors("too narrow", MANY)))
    few, many = (
        Calibration.of(HeldOutScores.of(errors("too wide", rows)), wider) for rows in (2, 2000)
    )
    assert 0.85 * wider.factor < few.factor < wider.factor
    assert many.factor == pytest.approx(0.36, rel=0.2)
    assert few.scores.count == pytest.approx(PRIOR_ROWS + 2)


def test_scores_of_parts_add_to_those_of_the_whole() -> None:
    """And survive the way over the network; a row of any error is bounded."""
    z = np.append(errors("heavy tails", 500), [1e9, -1e9, 0.0])
    parts = [HeldOutScores.of(part) for part in np.array_split(z, [1, 2, 90])]
    total = HeldOutScores.unpack(np.sum([part.pack() for part in parts], axis=0))
    np.testing.assert_allclose(total.pack(), HeldOutScores.of(z).pack(), rtol=1e-12)
    assert total.count == len(z)
    sizes = [most for length, most in HeldOutScores.bounds(total.count) for _ in range(length)]
    assert len(sizes) == HeldOutScores.NUMBERS
    assert (total.pack() <= np.array(sizes)).all()
    assert 2 * 16.0**2 <= total.squares < 2 * 16.0**2 + np.square(z[:500]).sum() + 1


def test_scores_of_another_length_are_refused() -> None:
    """From a file that is damaged."""
    with pytest.raises(ValueError, match="shape"):
        HeldOutScores.unpack(np.zeros(3))


def test_few_scores_narrow_intervals_less() -> None:
    """And long tails less than short ones; what is too narrow is widened in full."""
    few, many = (Calibration.of(HeldOutScores.of(errors("too wide", n))) for n in (30, MANY))
    mean = many.scores.mean_square
    assert mean < many.factor < 1.02 * mean, "many rows are certain"
    assert few.scores.mean_square + 0.05 < few.factor <= 1
    narrow = Calibration.of(HeldOutScores.of(errors("too narrow", 30)))
    assert narrow.factor == narrow.scores.mean_square > 1


def test_the_standard_error_is_that_of_squares() -> None:
    """Fourteen counts know the fourth power well enough."""
    z = errors("right", MANY)
    exact = np.square(z).std() / np.sqrt(MANY)
    assert HeldOutScores.of(z).standard_error == pytest.approx(exact, rel=0.1)

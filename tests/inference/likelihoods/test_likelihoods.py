"""Counts, times and ordered classes: derivatives, averages, and what is predicted of them."""

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import nbinom, norm, poisson, weibull_min

from edge_node.config import Distribution
from edge_node.errors import NumericalError
from edge_node.inference.classification.expected import pairs
from edge_node.inference.likelihoods.counts import Counts
from edge_node.inference.likelihoods.ordinal import Ordinal, normal_scores, thresholds
from edge_node.inference.likelihoods.survival import TimedRows, Times
from tests.inference.problems import normal

ROWS = 12
COUNTS = np.random.default_rng(0).poisson(3.0, (ROWS, 1)).astype(float)
SEEN = (np.arange(ROWS) % 3 > 0).astype(float)[:, None]
CLASSES = (np.arange(ROWS) % 4).astype(float)


def times(distribution: str):
    """A likelihood of times, as a function of theta and g."""
    likelihood = Times(Distribution(distribution), 1.0, 2.0)
    return lambda theta, g: likelihood.at(0.7 * normal(1, ROWS, 1), SEEN, theta, g)


CASES = {
    "counts": (
        lambda theta, g: Counts(0.9, 0.8).at(COUNTS, theta, g),
        np.array([0.2, np.log(0.3)]),
    ),
    "nearly Poisson": (
        lambda theta, g: Counts(0.9, 0.8).at(COUNTS, theta, g),
        np.array([-0.1, np.log(2e-4)]),
    ),
    "log-normal": (times("lognormal"), np.array([0.2, -0.3])),
    "Weibull": (times("weibull"), np.array([0.2, -0.3])),
    "ordinal": (
        lambda theta, g: Ordinal((0.2, 0.3, 0.1, 0.4)).at(CLASSES, theta, g),
        np.array([-0.7, -0.3, 0.2]),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_derivatives_are_those_of_the_log_likelihood(case: str) -> None:
    """In g and in theta, first and second, by central differences."""
    at, theta = CASES[case]
    g, h = 0.8 * normal(2, ROWS, 5), 1e-5
    found = at(theta, g)

    def slope(values):
        return (values(h) - values(-h)) / (2 * h)

    close = {"rtol": 1e-5, "atol": 1e-5}
    by_g = slope(lambda s: at(theta, g + s).log_likelihood)
    np.testing.assert_allclose(found.gradient, by_g, **close)
    by_g2 = -slope(lambda s: at(theta, g + s).gradient)
    np.testing.assert_allclose(found.curvature, by_g2, **close)
    units = np.eye(len(theta))
    for j, unit in enumerate(units):
        by_theta = slope(lambda s, unit=unit: at(theta + s * unit, g).log_likelihood)
        np.testing.assert_allclose(found.slopes[j], by_theta, **close)
    for i, (j, k) in enumerate(pairs(len(theta))):
        bend = -slope(lambda s, j=j, k=k: at(theta + s * units[k], g).slopes[j])
        np.testing.assert_allclose(found.bends[i], bend, **close)


def test_log_likelihoods_are_those_of_the_distributions() -> None:
    """SciPy's negative binomial, normal, Weibull; the probit of ordered classes."""
    counts, theta = Counts(0.9, 0.8), np.array([0.2, np.log(0.3)])
    (location, slope), g = counts.link, normal(3, ROWS, 1)
    mu = np.exp(location + slope * g + 0.2)
    expected = nbinom.logpmf(COUNTS, 1 / 0.3, 1 / (1 + 0.3 * mu))
    np.testing.assert_allclose(counts.at(COUNTS, theta, g).log_likelihood, expected, rtol=1e-9)
    z, b, sigma = 0.7 * normal(1, ROWS, 1), 0.2, np.exp(-0.3)
    theta = np.array([b, -0.3])
    density = np.where(SEEN > 0, norm.logpdf(z, g + b, sigma), norm.logsf(z, g + b, sigma))
    found = Times(Distribution.LOGNORMAL, 1.0, 2.0).at(z, SEEN, theta, g).log_likelihood
    np.testing.assert_allclose(found, density, rtol=1e-9)
    t, shape, scale = np.exp(z), 1 / sigma, np.exp(g + b)
    seen = weibull_min.logpdf(t, shape, scale=scale) + z  # of the log time
    density = np.where(SEEN > 0, seen, weibull_min.logsf(t, shape, scale=scale))
    found = Times(Distribution.WEIBULL, 1.0, 2.0).at(z, SEEN, theta, g).log_likelihood
    np.testing.assert_allclose(found, density, rtol=1e-9)
    theta = np.array([-0.7, -0.3, 0.2])
    ends = np.concatenate([[-np.inf], thresholds(theta), [np.inf]])
    index = CLASSES.astype(int)
    p = norm.cdf(ends[index + 1] - g[:, 0]) - norm.cdf(ends[index] - g[:, 0])
    found = Ordinal((0.2, 0.3, 0.1, 0.4)).at(CLASSES, theta, g).log_likelihood[:, 0]
    np.testing.assert_allclose(found, np.log(p), rtol=1e-9)


def test_no_dispersion_is_poisson() -> None:
    """At the least dispersion, counts of this size have Poisson's likelihood to .1 %."""
    counts, g = Counts(0.9, 0.8), 0.5 * normal(3, ROWS, 1)
    location, slope = counts.link
    found = counts.at(COUNTS, np.array([0.0, np.log(1e-4)]), g).log_likelihood
    expected = poisson.logpmf(COUNTS, np.exp(location + slope * g))
    np.testing.assert_allclose(found, expected, rtol=1e-3)


@pytest.mark.parametrize("rate", [0.05, 0.8, 4.0, 60.0, 1e4])
def test_the_link_knows_how_a_logarithm_of_counts_moves(rate: float) -> None:
    """Of Poisson counts of one rate, the location is its logarithm, however small they are; and of
    a little more, the slope says how much more.
    """

    def moment(mu: float) -> float:
        k = np.arange(int(mu + 20 * np.sqrt(mu) + 20))
        return float(poisson.pmf(k, mu) @ np.log(k + 0.5))

    location, slope = Counts(moment(rate), 1.0).link
    assert location == pytest.approx(np.log(rate), abs=0.02)
    change = (moment(1.01 * rate) - moment(rate)) / np.log(1.01)
    assert slope * change == pytest.approx(1.0, abs=0.03)


@pytest.mark.parametrize("case", ["counts", "Weibull", "ordinal"])
def test_averages_are_integrals_over_the_latent(case: str) -> None:
    """By adaptive quadrature, for a latent of variance .6; nothing else differs from a sum."""
    at, theta = CASES[case]
    likelihood = {
        "counts": Counts(0.9, 0.8),
        "Weibull": Times(Distribution.WEIBULL, 1.0, 2.0),
        "ordinal": Ordinal((0.2, 0.3, 0.1, 0.4)),
    }[case]
    targets = {
        "counts": (np.log(COUNTS[:, 0] + 0.5) - 0.9) / 0.8,
        "Weibull": np.column_stack([0.7 * normal(1, ROWS, 1), SEEN]),
        "ordinal": CLASSES,
    }[case]
    mean, variance = 0.5 * normal(4, ROWS, 1), 0.6
    found = likelihood.expect(targets, theta, mean, np.full((ROWS, 1, 1), variance))
    for i in range(3):

        def integrand(x: float, i: int = i) -> float:
            g = np.full((ROWS, 1), mean[i, 0] + np.sqrt(variance) * x)
            return float(at(theta, g).log_likelihood[i, 0] * norm.pdf(x))

        expected, _ = quad(integrand, -9, 9)
        assert found.log_likelihood[i] == pytest.approx(expected, rel=1e-5)


def test_counts_have_the_moments_and_quantiles_of_their_mixture() -> None:
    """Drawn: mean, variance, and whole numbers that are exceeded as often as they say."""
    counts, theta = Counts(0.9, 0.8), np.array([0.1, np.log(0.2)])
    mean, variance = np.array([-0.5, 1.0]), np.array([0.2, 0.4])
    random = np.random.default_rng(0)
    (location, slope), g = counts.link, mean + np.sqrt(variance) * normal(5, 200_000, 2)
    mu = np.exp(location + slope * g + 0.1)
    draws = random.negative_binomial(5.0, 1 / (1 + 0.2 * mu))
    expected, spread = counts.moments(theta, mean, variance)
    np.testing.assert_allclose(draws.mean(axis=0), expected, rtol=0.02)
    np.testing.assert_allclose(draws.var(axis=0), spread, rtol=0.06)
    bounds = counts.quantiles((0.025, 0.5, 0.975), theta, mean, variance)
    assert (bounds == np.rint(bounds)).all()
    for level, bound in zip((0.025, 0.5, 0.975), bounds.T, strict=True):
        assert ((draws <= bound).mean(axis=0) >= level - 0.003).all()
        assert ((draws <= bound - 1).mean(axis=0) < level + 0.003).all()


def test_a_rare_level_has_its_quantile_however_long_the_tail() -> None:
    """Twelve deviations and more above the mean, where counts are very dispersed."""
    counts, theta, level = Counts(0.9, 0.8), np.array([0.1, np.log(100.0)]), 0.9999
    mean, variance = np.array([-0.5, 1.0]), np.array([0.2, 0.4])
    bounds = counts.quantiles((level,), theta, mean, variance)
    expected, spread = counts.moments(theta, mean, variance)
    assert (bounds[:, 0] > expected + 12 * np.sqrt(spread)).all()
    assert (counts.cdf(bounds, theta, mean, variance) >= level).all()
    assert (counts.cdf(bounds - 1, theta, mean, variance) < level).all()


@pytest.mark.parametrize("distribution", ["lognormal", "weibull"])
def test_times_have_the_quantiles_of_their_mixture(distribution: str) -> None:
    """Survival at a quantile is what is left; and the median is that of draws."""
    likelihood, theta = Times(Distribution(distribution), 1.0, 0.7), np.array([0.2, -0.5])
    mean, variance = np.array([-0.5, 1.0]), np.array([0.2, 0.4])
    levels = (0.025, 0.5, 0.975)
    bounds = likelihood.quantiles(levels, theta, mean, variance)
    left = likelihood.survival(bounds, theta, mean, variance)
    np.testing.assert_allclose(left, 1 - np.array([levels, levels]), atol=1e-9)
    random = np.random.default_rng(1)
    errors = random.standard_normal((100_000, 2))
    if distribution == "weibull":
        errors = np.log(random.exponential(size=(100_000, 2)))
    g = mean + np.sqrt(variance) * normal(5, 100_000, 2)
    draws = np.exp(1.0 + 0.7 * (g + 0.2 + np.exp(-0.5) * errors))
    np.testing.assert_allclose(np.median(draws, axis=0), bounds[:, 1], rtol=0.02)


def test_ordered_probabilities_are_averages() -> None:
    """They add up to one, and are those of draws of the latent."""
    theta, likelihood = np.array([-0.7, -0.3, 0.2]), Ordinal((0.2, 0.3, 0.1, 0.4))
    mean, variance = np.array([-0.5, 1.0]), np.array([0.2, 0.4])
    found = likelihood.probabilities(theta, mean, variance)
    np.testing.assert_allclose(found.sum(axis=1), 1.0)
    noisy = mean + np.sqrt(1 + variance) * normal(6, 200_000, 2)
    classes = np.digitize(noisy, thresholds(theta))
    shares = [(classes == k).mean(axis=0) for k in range(4)]
    np.testing.assert_allclose(found, np.array(shares).T, atol=0.005)


def test_normal_scores_are_standardised_and_ascend() -> None:
    """Over rows of these shares; a class without rows has a score, too."""
    counts = np.array([10.0, 0.0, 30.0, 5.0])
    scores = normal_scores(counts)
    assert (np.diff(scores) > 0).all()
    shares = np.maximum(counts, 0.5) / np.maximum(counts, 0.5).sum()
    assert shares @ scores == pytest.approx(0.0, abs=1e-9)
    assert shares @ scores**2 == pytest.approx(1.0)


def test_of_one_class_there_is_no_order_to_learn() -> None:
    """As for classes without an order; two are enough."""
    assert Ordinal.of(np.array([57, 0, 3])).shares == pytest.approx(
        (57 / 60.5, 0.5 / 60.5, 3 / 60.5)
    )
    with pytest.raises(NumericalError, match="at least two classes"):
        Ordinal.of(np.array([57, 0, 0]))


def test_the_start_has_the_classes_shares() -> None:
    """Averaged over what the fit explains, with the noise as unit."""
    likelihood = Ordinal((0.2, 0.3, 0.1, 0.4))
    theta = likelihood.start(explained=0.6, noise_deviation=0.5)
    found = likelihood.probabilities(theta, np.zeros(1), np.array([0.6 / 0.25]))
    np.testing.assert_allclose(found[0], likelihood.shares, atol=1e-9)


def test_a_time_that_was_lost_early_says_next_to_nothing() -> None:
    """Features are chosen by the mean of a standard normal number beyond it; events count as is."""
    z = np.array([-3.0, 0.0, 2.0, 1.5])
    seen = np.array([0.0, 0.0, 0.0, 1.0])
    ((_, found),) = TimedRows([(normal(0, 4, 2), np.column_stack([z, seen]))])
    expected = [norm.expect(lambda x: x, lb=each, conditional=True) for each in z[:3]]
    np.testing.assert_allclose(found, [*expected, 1.5], rtol=1e-6)
    assert abs(found[0]) < 0.01

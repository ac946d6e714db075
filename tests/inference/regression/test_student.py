"""Student's t as Gaussians with a precision for each row."""

import numpy as np
import pytest
from scipy.stats import norm
from scipy.stats import t as student

from edge_node.config import Activation, KernelKind
from edge_node.inference.features.nystrom import Features
from edge_node.inference.kernels.dense import DenseKernel
from edge_node.inference.regression.conditional import local_conditional
from edge_node.inference.regression.posterior import Posterior
from edge_node.inference.regression.refinement import OwnRows, Refinement, refine
from edge_node.inference.regression.student import (
    DEGREES,
    SCALE_NUMBERS,
    RowPrecisions,
    expected_precisions,
    fit_tails,
    local_residuals,
    mixture_costs,
)

RANDOM = np.random.default_rng(0)
KERNEL = DenseKernel(KernelKind.NTK, Activation.RELU, 1, 2.0, 0.0)
FEATURES = Features.build(KERNEL, RANDOM.normal(size=(12, 3)), None)
X = RANDOM.normal(size=(80, 3))
Y = np.sin(X[:, 0]) + 0.1 * RANDOM.standard_t(3, 80)
PRECISIONS = RowPrecisions(FEATURES, 0.1 * RANDOM.normal(size=12), 0.3)


def test_the_mixture_of_gaussians_is_no_more_than_students_t_and_reaches_it() -> None:
    """Log t(e) >= log N(e; 0, s2 / w) less half the costs; equal where w is the expected one."""
    errors = np.array([0.0, 0.3, 1.0, 3.0, 30.0])
    exact = student(DEGREES).logpdf(errors)
    best = 1.0 / expected_precisions(errors**2)
    for factor in (0.5, 1.0, 2.0):
        shares = factor * best
        bound = norm(0.0, np.sqrt(shares)).logpdf(errors) - 0.5 * mixture_costs(shares)
        assert (bound <= exact + 1e-12).all()
        assert bool(np.allclose(bound, exact)) is (factor == 1.0)


def tails_of(residuals: np.ndarray) -> np.ndarray:
    """The sum, for residuals around a mean of zero."""
    zeros = np.zeros((len(residuals), 3))
    return local_residuals([(zeros, residuals)], FEATURES, np.zeros(12), float(residuals.std()))


def test_the_scale_and_the_gain_follow_from_a_few_sums() -> None:
    """Against the likeliest t of SciPy, and of Gaussians."""
    residuals = 0.2 * student(4).rvs(4000, random_state=1)
    found = fit_tails(tails_of(residuals), float(residuals.std()))
    assert found.scale == pytest.approx(0.2, rel=0.1)
    exact = student(4, 0, found.scale).logpdf(residuals).mean()
    gaussian = norm(0, np.sqrt(np.mean(residuals**2))).logpdf(residuals).mean()
    assert found.gain == pytest.approx(exact - gaussian, abs=0.02)
    plain = norm().rvs(4000, random_state=1)
    assert fit_tails(tails_of(plain), float(plain.std())).gain < 0.0


def test_outliers_on_one_side_are_told_from_those_on_both() -> None:
    """A long tail may be what targets are like."""
    residuals = 0.1 * norm().rvs(1000, random_state=2)
    both, one = residuals.copy(), residuals.copy()
    both[:50] += 5.0 * np.resize([1.0, -1.0], 50)
    one[:50] += 5.0
    found = [fit_tails(tails_of(each), float(each.std())) for each in (both, one)]
    assert min(each.gain for each in found) > 0.3
    assert found[0].sided < 0.1
    assert found[1].sided > 0.9
    scale = fit_tails(tails_of(one)[:SCALE_NUMBERS], float(one.std())).scale
    assert scale == found[1].scale


def test_residuals_of_a_few_values_are_no_outliers() -> None:
    """Their likeliest scale is zero, which nothing is gained by."""
    residuals = np.zeros(200)
    residuals[:2] = 1.0, -1.0
    assert fit_tails(tails_of(residuals), float(residuals.std())).gain == 0.0


def test_a_message_with_precisions_is_that_of_the_dense_model() -> None:
    """R = diag(u + s2 / w), and what the rows' noises cost."""
    (found,) = local_conditional([(X, Y)], FEATURES, [0.05], PRECISIONS)
    Phi, shares = FEATURES(X), 1.0 / PRECISIONS(X, Y)
    R = FEATURES.prior_variance(X) - np.square(Phi).sum(axis=1) + 0.05 * shares
    np.testing.assert_allclose(found.message.precision, (Phi.T / R) @ Phi)
    np.testing.assert_allclose(found.message.shift, Phi.T @ (Y / R))
    costs = mixture_costs(shares).sum()
    assert found.log_determinant == pytest.approx(np.log(R).sum() + costs)
    parts = [local_conditional([(X[i], Y[i])], FEATURES, [0.05], PRECISIONS)[0]
             for i in np.array_split(np.arange(80), 3)]  # fmt: skip
    total = parts[0] + parts[1] + parts[2]
    np.testing.assert_allclose(total.message.precision, found.message.precision, atol=1e-9)


def own_rows(y: np.ndarray, most: int, size: int) -> OwnRows:
    """Rows of a site, with their precisions."""
    return OwnRows.of([(X, y)], FEATURES, most, size, precisions=PRECISIONS)


def solved() -> tuple[Posterior, Refinement]:
    """A posterior with precisions, and a refinement of it."""
    (total,) = local_conditional([(X, Y)], FEATURES, [0.05], PRECISIONS)
    posterior = Posterior.of(total.message, FEATURES, total.evidence(0.05), PRECISIONS)
    return posterior, refine(posterior, total, own_rows(Y, 60, 30))


def test_precisions_are_kept_in_a_models_file() -> None:
    """Of the shared posterior and of the site's rows; noise is that of Student's t."""
    posterior, refinement = solved()
    assert posterior.noise_variance == 2.0 * posterior.amplitude * posterior.noise
    again = Posterior.from_arrays(posterior.to_arrays())
    assert again.precisions is not None
    np.testing.assert_array_equal(again.precisions(X, Y), PRECISIONS(X, Y))
    own = Refinement.from_arrays(refinement.to_arrays(), FEATURES)
    for mine, read in zip(refinement.predict(X), own.predict(X), strict=True):
        np.testing.assert_array_equal(mine, read)


def test_a_site_weights_its_rows_by_what_its_own_posterior_leaves_of_them() -> None:
    """A wrong target among its own gets the largest noise."""
    y = Y.copy()
    y[7] += 8.0
    (total,) = local_conditional([(X, y)], FEATURES, [0.05], PRECISIONS)
    posterior = Posterior.of(total.message, FEATURES, total.evidence(0.05), PRECISIONS)
    (block,) = refine(posterior, total, own_rows(y, 80, 80)).blocks
    assert block.shares is not None
    place = int(np.flatnonzero(block.targets == y[7])[0])
    assert int(np.argmax(block.shares)) == place
    assert block.shares[place] > 10.0 * np.median(block.shares)

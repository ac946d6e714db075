"""No row adds more to a release than its sensitivity says; and the release can be read back."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from threadpoolctl import threadpool_limits

from edge_node.arrays import Matrix
from edge_node.errors import NumericalError
from edge_node.inference.features.landmarks import gaussian_landmarks, independent_landmarks
from edge_node.inference.features.nystrom import Features
from edge_node.inference.kernels.kernel import Kernel
from edge_node.inference.private.noisy_regression import noisy_evidence
from edge_node.inference.private.release import NoisySums, Scales, local_release
from tests.inference.problems import NTK, SMOOTH, normal

WIDTH = np.sqrt(3.0)


def features_of(kernel: Kernel, count: int = 25, inputs: int = 4) -> Features:
    """On Gaussian landmarks, as a private run has them."""
    Z = gaussian_landmarks(np.eye(inputs), count, seed=1)
    return Features.build(kernel, Z[independent_landmarks(kernel, Z)])


CASES = [
    (features_of(kernel), Scales.of(features_of(kernel), target, outputs))
    for kernel in (NTK, SMOOTH)
    for target, outputs in ((1.0, None), (np.sqrt(2 / 3), 2))
    if kernel is NTK or outputs is None
]


def targets_for(scales: Scales, rows: int, random: np.random.Generator) -> Matrix:
    """Targets at the bound, within it and beyond."""
    Y = random.normal(size=(rows, scales.outputs or 1))
    Y *= (
        scales.target
        * random.choice([0.3, 1.0, 50.0], (rows, 1))
        / np.linalg.norm(Y, axis=1)[:, None]
    )
    return Y if scales.outputs else Y[:, 0]


@pytest.mark.parametrize(("features", "scales"), CASES)
@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), far=st.sampled_from([0.0, 0.1, 1.0, WIDTH, 30.0, 1e6]))
def test_no_row_adds_more_than_is_said(
    features: Features, scales: Scales, seed: int, far: float
) -> None:
    """Random rows, corners of the box, rows at a landmark or far outside, whatever their targets:
    one row adds whole numbers to the sum of others, and their squares add up to no more than is
    said. Nothing is rounded here, in Python's own integers.
    """
    random = np.random.default_rng(seed)
    X = np.concatenate(
        [
            far * random.normal(size=(4, 4)),
            far * random.choice([-1.0, 1.0], (4, 4)),
            features.landmarks[random.integers(0, len(features.landmarks), 2)],
        ]
    )
    Y = targets_for(scales, len(X), random)
    most = 1188 * 2**48
    assert scales.sensitivity == pytest.approx(most**0.5, rel=1e-15)
    for i in range(len(X)):
        alone = local_release([(X[[i]], Y[[i]])], features, scales)
        assert sum(int(number) ** 2 for number in alone) <= most
        assert np.array_equal(alone, np.rint(alone))
    whole = local_release([(X, Y)], features, scales)
    without = local_release([(X[1:], Y[1:])], features, scales)
    np.testing.assert_array_equal(
        whole - without, local_release([(X[:1], Y[:1])], features, scales)
    )


@pytest.mark.parametrize(("features", "scales"), CASES)
def test_a_row_changes_no_other_rows_part(features: Features, scales: Scales) -> None:
    """One row more moves all that follow to other places of other blocks: the sum grows by that
    row's own numbers and no others, to the last bit. So it does for rows in another order, in other
    chunks and on more threads. The control: in blocks that are cut as the rows come, features
    differ in their last bits, and what is then rounded may differ by a whole step.
    """
    random = np.random.default_rng(0)
    X = random.normal(size=(1500, 4))
    Y = targets_for(scales, len(X), random)
    order = random.permutation(len(X))
    whole = local_release([(X, Y)], features, scales)
    for row in (0, 100, 255, 256, 1499):
        others = np.delete(np.arange(len(X)), row)
        alone = local_release([(X[[row]], Y[[row]])], features, scales)
        without = local_release([(X[others], Y[others])], features, scales)
        np.testing.assert_array_equal(whole - without, alone)
    chunks = [(X[order[:7]], Y[order[:7]]), (X[order[7:]], Y[order[7:]])]
    for threads in (1, 3):
        with threadpool_limits(threads, user_api="blas"):
            np.testing.assert_array_equal(local_release(chunks, features, scales), whole)
    cuts = [np.concatenate([features(X[:place]), features(X[place:])]) for place in (1, 7, 147)]
    assert not all(np.array_equal(cut, features(X)) for cut in cuts), "which ones, processors say"


@pytest.mark.parametrize("wrong", [np.nan, np.inf, 1e200])
@pytest.mark.parametrize(("features", "scales"), CASES)
def test_a_row_of_no_numbers_adds_its_count_alone(
    features: Features, scales: Scales, wrong: float
) -> None:
    """And raises no error: whether there is one would tell that the row is there."""
    X = np.full((1, 4), wrong)
    Y = np.zeros((1, scales.outputs)) if scales.outputs else np.zeros(1)
    alone = local_release([(X, Y)], features, scales)
    assert np.isfinite(alone).all()
    assert np.linalg.norm(alone) <= scales.sensitivity
    assert alone[0] > 0.0
    near, y = np.zeros((1, 4)), Y
    both = local_release([(np.concatenate([X, near]), np.concatenate([Y, y]))], features, scales)
    np.testing.assert_array_equal(both - alone, local_release([(near, y)], features, scales))


@pytest.mark.parametrize(("features", "scales"), CASES)
def test_the_bound_is_not_generous(features: Features, scales: Scales) -> None:
    """A row with all that is allowed comes close: no privacy is spent on what can't happen."""
    X = features.landmarks[np.argsort(features.kernel.diagonal(features.landmarks))[-3:]]
    Y = np.full((3, scales.outputs or 1), scales.target / np.sqrt(scales.outputs or 1))
    norms = [
        np.linalg.norm(local_release([(x[None], y[None])], features, scales))
        for x, y in zip(X, Y if scales.outputs else Y[:, 0], strict=True)
    ]
    assert 0.9 < max(norms) / scales.sensitivity <= 1.0


def test_a_release_without_noise_is_the_weighted_sum() -> None:
    """By the definition, row by row, but for each row's rounding."""
    features, scales = CASES[0]
    X, y = normal(3, 60, 4), np.tanh(normal(4, 60))
    total = local_release([(X, y)], features, scales)
    sums = NoisySums.read(total, scales, sigma=0.5 * scales.sensitivity)
    Phi, prior = features(X), features.prior_variance(X)
    weights = np.minimum(1.0, scales.power / prior)
    assert 0.2 < np.mean(weights < 1.0) < 0.8
    gram = (Phi.T * weights) @ Phi
    rounding = 5e-3 * scales.power  # some steps of 2^-12 of the largest feature
    np.testing.assert_allclose(sums.gram, gram, rtol=0, atol=rounding)
    np.testing.assert_allclose(sums.shift[:, 0], Phi.T @ (weights * y), rtol=0, atol=rounding)
    assert sums.count == 60
    assert sums.target_power == pytest.approx(float(weights @ y**2), rel=1e-3)
    assert sums.uncovered == pytest.approx(
        float(weights @ (prior - np.vecdot(Phi, Phi))), abs=rounding
    )
    assert sums.mean_power == pytest.approx(float(weights @ prior) / 60, rel=1e-3)


def test_the_noise_of_each_part_is_known() -> None:
    """A unit of noise in every number, read back: the deviations that are said."""
    scales = Scales(size=30, power=2.5, target=0.7, outputs=2)
    random, sigma = np.random.default_rng(0), 3.0
    draws = [
        NoisySums.read(sigma * random.normal(size=scales.length), scales, sigma) for _ in range(200)
    ]
    count, power, uncovered, shift, gram = draws[0].deviations
    assert np.std([d.count for d in draws]) == pytest.approx(count, rel=0.2)
    assert np.std([d.target_power for d in draws]) == pytest.approx(power, rel=0.2)
    assert np.std([d.uncovered for d in draws]) == pytest.approx(uncovered, rel=0.2)
    assert np.std([d.shift for d in draws]) == pytest.approx(shift, rel=0.02)
    grams = np.array([d.gram for d in draws])
    inside, off = np.eye(30, dtype=bool), np.triu(np.ones((30, 30), dtype=bool), 1)
    assert np.std(grams[:, inside]) == pytest.approx(gram, rel=0.05)
    assert np.std(grams[:, off]) == pytest.approx(gram / np.sqrt(2), rel=0.02)
    assert pytest.approx(1 / np.sqrt(2), rel=3e-4) == 29 / 41
    np.testing.assert_array_equal(grams, grams.transpose(0, 2, 1))


def test_norms_are_kept_by_packing() -> None:
    """The Frobenius norm of phi phi' is that of the packed numbers in their units."""
    scales = Scales(size=7, power=1.0, target=1.0)
    phi = normal(9, 7)
    layout = scales.layout
    zeros = {name: np.zeros(array.shape) for name, array in layout.unpack(scales.units).items()}
    packed = layout.pack(**zeros | {"gram": np.outer(phi, phi)}) / scales.units
    share = float(1.0 / scales.units[10])
    assert np.linalg.norm(packed) == pytest.approx(share * float(phi @ phi), rel=3e-4)
    assert np.linalg.norm(packed) <= share * float(phi @ phi)


def test_what_is_no_release_is_refused() -> None:
    """Another length, a NaN; and a release of which the noise hides that there are rows."""
    scales = Scales(size=3, power=1.0, target=1.0)
    for wrong in (np.zeros(scales.length - 1), np.full(scales.length, np.nan)):
        with pytest.raises(NumericalError, match=r"wrong length|not finite"):
            NoisySums.read(wrong, scales, 1.0)
    with pytest.raises(NumericalError, match="the noise hides all there is"):
        noisy_evidence(NoisySums.read(-np.ones(scales.length), scales, 1.0))

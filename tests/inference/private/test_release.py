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
def test_no_row_adds_more_than_one(
    features: Features, scales: Scales, seed: int, far: float
) -> None:
    """Random rows, corners of the box, rows at a landmark or far outside, whatever their targets:
    the vector that one row adds to the sum of others is no longer than one.
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
    for i in range(len(X)):
        alone = local_release([(X[[i]], Y[[i]])], features, scales)
        assert np.linalg.norm(alone) <= 1.0 + 1e-12
    whole = local_release([(X, Y)], features, scales)
    without = local_release([(X[1:], Y[1:])], features, scales)
    assert np.linalg.norm(whole - without) <= 1.0 + 1e-9


@pytest.mark.parametrize(("features", "scales"), CASES)
def test_the_bound_is_not_generous(features: Features, scales: Scales) -> None:
    """A row with all that is allowed comes close: no privacy is spent on what can't happen."""
    X = features.landmarks[np.argsort(features.kernel.diagonal(features.landmarks))[-3:]]
    Y = np.full((3, scales.outputs or 1), scales.target / np.sqrt(scales.outputs or 1))
    norms = [
        np.linalg.norm(local_release([(x[None], y[None])], features, scales))
        for x, y in zip(X, Y if scales.outputs else Y[:, 0], strict=True)
    ]
    assert max(norms) > 0.9


def test_a_release_without_noise_is_the_weighted_sum() -> None:
    """By the definition, row by row."""
    features, scales = CASES[0]
    X, y = normal(3, 60, 4), np.tanh(normal(4, 60))
    sums = NoisySums.read(local_release([(X, y)], features, scales), scales, sigma=0.5)
    Phi, prior = features(X), features.prior_variance(X)
    weights = np.minimum(1.0, scales.power / prior)
    assert 0.2 < np.mean(weights < 1.0) < 0.8
    np.testing.assert_allclose(sums.gram, (Phi.T * weights) @ Phi, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(sums.shift[:, 0], Phi.T @ (weights * y), rtol=1e-9, atol=1e-9)
    assert sums.count == pytest.approx(60)
    assert sums.target_power == pytest.approx(float(weights @ y**2))
    assert sums.uncovered == pytest.approx(float(weights @ (prior - np.vecdot(Phi, Phi))))
    assert sums.mean_power == pytest.approx(float(weights @ prior) / 60)


@pytest.mark.parametrize(("features", "scales"), CASES)
def test_threads_change_nothing_but_the_last_digits(features: Features, scales: Scales) -> None:
    """Each adds its share of every chunk's rows."""
    random = np.random.default_rng(0)
    X = random.normal(size=(300, 4))
    Y = targets_for(scales, len(X), random)
    chunks = [(X[:7], Y[:7]), (X[7:], Y[7:])]
    with threadpool_limits(1, user_api="blas"):
        alone = local_release(chunks, features, scales)
    with threadpool_limits(3, user_api="blas"):
        shared = local_release(chunks, features, scales)
    np.testing.assert_allclose(shared, alone, rtol=1e-9, atol=1e-12)


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
    np.testing.assert_array_equal(grams, grams.transpose(0, 2, 1))


def test_norms_are_kept_by_packing() -> None:
    """The Frobenius norm of phi phi' is that of the packed numbers in their units."""
    scales = Scales(size=7, power=1.0, target=1.0)
    phi = normal(9, 7)
    layout = scales.layout
    zeros = {name: np.zeros(array.shape) for name, array in layout.unpack(scales.units).items()}
    packed = layout.pack(**zeros | {"gram": np.outer(phi, phi)}) / scales.units
    share = float(1.0 / scales.units[10])
    assert np.linalg.norm(packed) == pytest.approx(share * float(phi @ phi))


def test_what_is_no_release_is_refused() -> None:
    """Another length, a NaN; and a release of which the noise hides that there are rows."""
    scales = Scales(size=3, power=1.0, target=1.0)
    for wrong in (np.zeros(scales.length - 1), np.full(scales.length, np.nan)):
        with pytest.raises(NumericalError, match=r"wrong length|not finite"):
            NoisySums.read(wrong, scales, 1.0)
    with pytest.raises(NumericalError, match="the noise hides all there is"):
        noisy_evidence(NoisySums.read(-np.ones(scales.length), scales, 1.0))

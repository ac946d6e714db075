"""The uncollapsed bound: below the collapsed one, with its gradient, and a sum over rows."""

import numpy as np
import pytest

from edge_node.arrays import Matrix, Vector
from edge_node.config import Activation, KernelKind
from edge_node.inference.features.metric import MetricKind, metric_from
from edge_node.inference.features.nystrom import Features
from edge_node.inference.kernels.dense import DenseKernel, critical_variances
from edge_node.inference.kernels.kernel import Kernel
from edge_node.inference.kernels.stationary import STATIONARY, StationaryKernel
from edge_node.inference.messages.evidence import best_evidence
from edge_node.inference.messages.gaussian import cholesky
from edge_node.inference.messages.uncollapsed import Belief, BoundSums, local_bound, sums_told
from tests.inference.problems import NTK, normal, regression, statistics_of

KERNELS: list[Kernel] = [NTK]
KERNELS += [
    DenseKernel(KernelKind.NTK, activation, 2, *critical_variances(activation))
    for activation in (Activation.ERF, Activation.GELU)
]
KERNELS += [StationaryKernel(kind, 0.8) for kind in STATIONARY]
EVERY = pytest.mark.parametrize("kernel", KERNELS, ids=str)
OUTPUTS = pytest.mark.parametrize("outputs", [1, 2])
METRIC = metric_from(np.diag([4.0, 1.0, 0.5]) + 0.3)
STEP = 1e-4


def problem(outputs: int) -> tuple[Matrix, Vector]:
    """Rows and targets (n, q)."""
    X, y = regression(0, rows=60)
    return X, np.column_stack([y, X[:, 0] + y**2])[:, :outputs]


def posterior(X: Matrix, Y: Vector, features: Features) -> Belief:
    """The belief of which the bound is the collapsed one."""
    statistics = statistics_of([(X, Y)], features, Y.shape[1])
    evidence = best_evidence(statistics)
    belief = statistics.likelihood(evidence.noise).with_prior()
    factor = cholesky(np.linalg.inv(belief.precision))
    return Belief(belief.mean, factor, evidence.noise, evidence.amplitude)


def sums(X: Matrix, Y: Vector, features: Features, belief: Belief, kind: MetricKind) -> BoundSums:
    """Of two chunks of rows."""
    rows = [(X[:11], Y[:11]), (X[11:], Y[11:])]
    return local_bound(rows, features, belief, belief.mean, kind)


@EVERY
@OUTPUTS
def test_the_posterior_reaches_the_collapsed_bound_and_no_belief_exceeds_it(
    kernel: Kernel, outputs: int
) -> None:
    """Whatever the other belief's mean and covariance."""
    X, Y = problem(outputs)
    features = Features.build(kernel, normal(3, 9, 3))
    best = best_evidence(statistics_of([(X, Y)], features, outputs)).log_evidence
    belief = posterior(X, Y, features)
    found = sums(X, Y, features, belief, MetricKind.FULL).value(belief, belief.mean)
    assert found == pytest.approx(best, rel=1e-8)
    other = Belief(
        belief.mean + 0.1 * normal(4, 9, outputs),
        1.2 * belief.factor,
        belief.noise,
        belief.amplitude,
    )
    less = sums(X, Y, features, other, MetricKind.FULL).value(other, other.mean)
    assert less < found - 0.01


@EVERY
@OUTPUTS
@pytest.mark.parametrize("kind", MetricKind)
def test_the_gradient_is_that_of_the_value(kernel: Kernel, outputs: int, kind: MetricKind) -> None:
    """In a direction that changes mean, landmarks and metric; and in each of them."""
    X, Y = problem(outputs)
    Z = normal(3, 7, 3) @ METRIC.T
    start = Features.build(kernel, Z, METRIC)
    belief = posterior(X, Y, start)
    belief = Belief(belief.mean + 0.2, 1.1 * belief.factor, belief.noise, belief.amplitude)
    found = sums(X, Y, start, belief, kind)
    towards = normal(4, 7, outputs), normal(5, 7, 3), normal(6, 3, 3)
    if kind is MetricKind.DIAGONAL:
        towards = (*towards[:2], np.diag(np.diag(towards[2])))
    slopes = (
        np.vdot(found.slope(belief, belief.mean), towards[0]),
        np.vdot(found.landmarks, towards[1]),
        np.vdot(found.metric, towards[2] if kind is MetricKind.FULL else np.diag(towards[2])),
    )

    def value(*steps: float) -> float:
        mean, landmarks, metric = (s * way for s, way in zip(steps, towards, strict=True))
        features = Features.build(kernel, Z + landmarks, METRIC + metric)
        mean = belief.mean + mean
        at = local_bound([(X, Y)], features, belief, mean, kind)
        return at.value(belief, mean)

    for steps in np.eye(3):
        rise = (value(*(STEP * steps)) - value(*(-STEP * steps))) / (2 * STEP)
        assert rise == pytest.approx(float(steps @ slopes), rel=1e-4, abs=1e-3)


@pytest.mark.parametrize("kind", [None, *MetricKind])
def test_sums_of_parts_are_the_whole(kind: MetricKind | None) -> None:
    """However rows are split, also for a site without any; on the wire and back."""
    X, Y = problem(2)
    features = Features.build(NTK, normal(3, 9, 3), METRIC)
    belief = posterior(X, Y, features)
    layout = sums_told(9, 3, 2, kind)

    def packed(rows: slice) -> Vector:
        local = local_bound([(X[rows], Y[rows])], features, belief, belief.mean, kind)
        return layout.pack(**vars(local))

    whole = packed(slice(None))
    parts = [packed(slice(i, None, 3)) for i in range(3)] + [packed(slice(0, 0))]
    scale = np.abs(whole).max()
    np.testing.assert_allclose(np.sum(parts, axis=0), whole, rtol=1e-9, atol=1e-11 * scale)
    assert BoundSums.unpack(whole, layout).count == len(X)
    assert len(whole) == 4 + 9 * 2 + 9 * 3 + {None: 0, MetricKind.DIAGONAL: 3}.get(kind, 9)


def test_what_is_foreseen_takes_no_rows() -> None:
    """The mean is the coarse posterior's at the landmarks; the covariance that of rows there."""
    X, Y = problem(1)
    coarse, Z = Features.build(NTK, normal(3, 8, 3) @ METRIC.T, METRIC), normal(4, 12, 3)
    statistics = statistics_of([(X, Y)], coarse, 1)
    evidence = best_evidence(statistics)
    features = Features.build(NTK, Z @ METRIC.T, METRIC)
    found = Belief.foreseen(features, coarse, statistics, evidence)
    mean = statistics.likelihood(evidence.noise).with_prior().mean
    np.testing.assert_allclose(features(Z) @ found.mean, coarse(Z) @ mean, rtol=1e-8, atol=1e-9)
    copies = np.repeat(Z, 5, axis=0)  # sixty rows, as many as there are
    pretended = statistics_of([(copies, copies[:, :1])], features, 1)
    expected = np.linalg.inv(pretended.likelihood(evidence.noise).with_prior().precision)
    np.testing.assert_allclose(found.covariance, expected, rtol=1e-7, atol=1e-9)


def test_the_noise_that_fits_a_better_belief_is_lower() -> None:
    """And at the posterior it is the noise that the bound was found with."""
    X, Y = problem(1)
    features = Features.build(NTK, normal(3, 30, 3))
    belief = posterior(X, Y, features)
    at = sums(X, Y, features, belief, MetricKind.FULL)
    assert at.noise(belief, belief.mean) == pytest.approx(belief.noise, rel=0.02)
    worse = local_bound([(X, Y)], features, belief, 0 * belief.mean, None)
    assert worse.noise(belief, 0 * belief.mean) > 1.5 * belief.noise

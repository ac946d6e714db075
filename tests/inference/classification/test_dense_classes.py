"""Classification of a few rows with their whole covariance, against what must hold of it."""

import numpy as np
import pytest
from scipy.special import expit

from edge_node.arrays import Matrix, Vector
from edge_node.inference.classification.classes import class_offsets
from edge_node.inference.classification.sites.dense import (
    DensePosterior,
    Labels,
    Marginals,
    Prior,
    fit,
)
from tests.inference.problems import NTK, classification, normal


def problem(classes: int, rows: int = 40) -> tuple[Prior, Labels, Vector, Marginals]:
    """Rows with a prior of their own for each contrast, in a turned basis."""
    X, y = classification(3, rows, classes=classes)
    q = classes - 1
    K = NTK(X, X)
    prior = Prior(0.3 * normal(4, rows, q), tuple(0.1 * (1.0 + j) * K for j in range(q)))
    basis, _ = np.linalg.qr(normal(5, q, q))
    labels = Labels.of(y, class_offsets(np.bincount(y.astype(int))), basis)
    variances = np.column_stack([np.diag(C) for C in prior.covariances])
    return prior, labels, y, Marginals(prior.mean, variances)


def bound(prior: Prior, labels: Labels, posterior: DensePosterior) -> float:
    """The evidence lower bound, nats."""
    return labels.log_likelihood(labels.averages(posterior.marginals)) - posterior.divergence


@pytest.mark.parametrize("classes", [2, 4])
def test_the_best_factors_are_found(classes: int) -> None:
    """At the end no other factors have a higher bound, by more than the tolerance of a step."""
    prior, labels, _, start = problem(classes)
    sites, posterior = fit(prior, labels, start)
    best = bound(prior, labels, posterior)
    first = DensePosterior.of(prior, labels.sites(labels.averages(start), start))
    assert bound(prior, labels, first) < best - 0.1
    random = np.random.default_rng(0)
    for scale in (0.01, 0.1, 0.5):
        precision = sites.precision * np.exp(scale * random.normal(size=sites.precision.shape))
        shift = sites.shift + scale * random.normal(size=sites.shift.shape)
        other = DensePosterior.of(prior, type(sites)(shift, precision))
        assert bound(prior, labels, other) < best + 0.01


def test_two_classes_are_close_to_the_true_posterior() -> None:
    """Of 40 rows: mean and variance of every latent value, by a million weighted draws."""
    prior, labels, y, start = problem(2, rows=6)
    _, posterior = fit(prior, labels, start)
    random = np.random.default_rng(1)
    root = np.linalg.cholesky(prior.covariances[0])
    draws = prior.mean[:, 0] + random.normal(size=(400_000, 6)) @ root.T
    sign = labels.basis[0, 0] * np.where(y == 1, 1.0, -1.0)
    offset = np.where(y == 1, 1.0, -1.0) * (labels.offsets[1] - labels.offsets[0])
    weights = expit(offset + np.sqrt(2.0) * sign * draws).prod(axis=1)
    mean = weights @ draws / weights.sum()
    variance = weights @ np.square(draws - mean) / weights.sum()
    deviation = np.sqrt(variance)
    assert np.abs(posterior.marginals.mean[:, 0] - mean).max() < 0.15 * deviation.max()
    assert np.abs(np.sqrt(posterior.marginals.variance[:, 0]) / deviation - 1.0).max() < 0.1


@pytest.mark.parametrize("classes", [2, 3])
def test_other_rows_are_predicted_as_rows_without_a_label_would_be(classes: int) -> None:
    """A row whose factor says nothing has the marginals that a prediction has."""
    prior, labels, _, start = problem(classes)
    rows, others = np.arange(30), np.arange(30, 40)
    some = prior.of_rows(rows)
    sites, posterior = fit(some, labels.of_rows(rows), start.of_rows(rows))
    found = prior.given(rows, sites, posterior, others)
    shift, precision = (_with_zeros(part, 10) for part in (sites.shift, sites.precision))
    whole = DensePosterior.of(prior, type(sites)(shift, precision + 1e-7))
    np.testing.assert_allclose(found.mean, whole.marginals.mean[others], atol=1e-4)
    np.testing.assert_allclose(found.variance, whole.marginals.variance[others], rtol=1e-4)


def _with_zeros(values: Matrix, more: int) -> Matrix:
    """With so many rows of zeros at the end."""
    return np.concatenate([values, np.zeros((more, values.shape[1]))])

"""The classifier's posterior: a bound that holds, probabilities that are honest, few sweeps."""

from dataclasses import replace

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.special import expit, log_softmax, logsumexp
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split

from edge_node.errors import NumericalError
from edge_node.inference.classification.approximation import Approximation
from edge_node.inference.classification.classes import LabelRows, class_offsets, contrast
from edge_node.inference.classification.expansion import Expansion, local_expansion
from edge_node.inference.classification.likelihood import average
from edge_node.inference.classification.posterior import ClassPosterior
from edge_node.inference.classification.variational import (
    BOUND_TOLERANCE,
    SweepChoice,
    VariationalState,
)
from edge_node.inference.evaluation.metrics import accuracy, ece, log_loss
from edge_node.inference.features.landmarks import gaussian_landmarks
from edge_node.inference.features.nystrom import Features
from edge_node.inference.messages.gaussian import Gaussian
from edge_node.inference.messages.statistics import Statistics
from tests.inference.problems import NTK, classification, features_on, normal, split, statistics_of

FEATURES = features_on(normal(5, 12, 3))


def learn(sites, counts, features: Features = FEATURES, most: int = 12):
    """The program's loop over sums of packed vectors: the last state, and the offsets."""
    offsets = class_offsets(counts)
    size, q = len(features.landmarks), len(counts) - 1
    packed = [statistics_of(LabelRows(rows, offsets), features, q).pack() for rows in sites]
    statistics = Statistics.unpack(np.sum(packed, axis=0), size, q)
    state = VariationalState.start(size, q, statistics.prior_power / statistics.count)
    expansion = Expansion.from_labels(statistics, offsets)
    for _ in range(most + 1):
        choice = SweepChoice.unpack(state.choose(expansion).pack())
        state = state.advance(expansion, choice)
        if state.converged:
            break
        local = [local_expansion(rows, features, state.trial, offsets).pack() for rows in sites]
        expansion = Expansion.unpack(np.sum(local, axis=0), size, q)
    return state, offsets


def pooled(X, y, features: Features = FEATURES, most: int = 12):
    """The same on one machine, as a posterior."""
    state, offsets = learn([[(X, y)]], np.bincount(y.astype(int)), features, most)
    return ClassPosterior(features, state.kept, offsets, state.bound), state


def bound_at(X, y, approximation: Approximation, offsets) -> float:
    """F, from one sweep."""
    expansion = local_expansion([(X, y)], FEATURES, approximation, offsets)
    return expansion.log_likelihood - approximation.divergence


def test_breast_cancer() -> None:
    """569 biopsies, a fixed 80/20 split: at least .96 right, a log loss of at most .12."""
    X, y = load_breast_cancer(return_X_y=True)
    X, queries, y, labels = train_test_split(X, y, test_size=0.2, random_state=0, stratify=y)
    X, queries = (X - X.mean(0)) / X.std(0), (queries - X.mean(0)) / X.std(0)
    landmarks = gaussian_landmarks(X.T @ X / len(X), 150, 0)
    features = features_on(landmarks, msgspec.structs.replace(NTK, depth=1))
    posterior, state = pooled(X, y.astype(float), features)
    probabilities = posterior.predict_proba(queries)
    assert state.converged
    assert state.expansions <= 13  # the first needs no sweep
    assert accuracy(labels, probabilities) >= 0.96
    assert log_loss(labels, probabilities) <= 0.12
    assert ece(labels, probabilities) <= 0.05


@pytest.mark.parametrize("classes", [2, 3])
def test_probabilities_match_a_good_peer_on_data_made_for_it(classes: int) -> None:
    """Linear logits, plenty of rows: as good as the true probabilities, nearly."""
    rng = np.random.default_rng(0)
    X, queries = normal(0, 600, 2), normal(1, 400, 2)
    W = 1.5 * normal(2, 2, classes)
    y = np.array([rng.choice(classes, p=p) for p in np.exp(log_softmax(X @ W, axis=1))])
    labels = np.array([rng.choice(classes, p=p) for p in np.exp(log_softmax(queries @ W, axis=1))])
    posterior, _ = pooled(X, y.astype(float), features_on(normal(5, 12, 2)))
    probabilities = posterior.predict_proba(queries)
    peer = LogisticRegression(C=1.0).fit(X, y).predict_proba(queries)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-12)
    assert log_loss(labels, probabilities) < log_loss(labels, peer) + 0.02
    assert ece(labels, probabilities) < 0.07


def test_the_fixed_point_maximises_the_bound() -> None:
    """At a fixed amplitude: against a general optimiser over mean and Cholesky factor."""
    X, y = classification(3, rows=60)
    features, a = features_on(normal(5, 3, 3)), 2.0
    size = len(features.landmarks)
    offsets = class_offsets(np.bincount(y.astype(int)))
    q = Approximation(Gaussian.flat(size), a, 1)
    for _ in range(60):
        expansion = local_expansion([(X, y)], features, q, offsets)
        q = Approximation(expansion.message(q.weights), a, 1)
    Phi, uncovered = features.covered(X)
    lower = np.tril_indices(size)

    def negative(theta) -> float:
        mean, L = theta[:size], np.zeros((size, size))
        L[lower] = theta[size:]
        variance = np.square(Phi @ L).sum(axis=1) + a * uncovered
        terms = average(offsets, (Phi @ mean)[:, None], variance[:, None, None])
        logs = terms.log_probabilities[np.arange(len(y)), y.astype(int)]
        kl = (mean @ mean + np.square(L).sum()) / a - size + size * np.log(a)
        return float(0.5 * (kl - 2 * np.log(np.abs(np.diag(L))).sum()) - logs.sum())

    start = np.concatenate([np.zeros(size), np.eye(size)[lower]])
    best = minimize(negative, start, method="BFGS", options={"gtol": 1e-4})
    mine = local_expansion([(X, y)], features, q, offsets).log_likelihood - q.divergence
    assert mine == pytest.approx(-best.fun, abs=1e-5)
    np.testing.assert_allclose(q.weights[:, 0], best.x[:size], atol=1e-3)


def test_the_bound_is_below_the_evidence_and_close() -> None:
    """Against log p(y), by Monte Carlo over the prior of six rows."""
    X, y = FEATURES.landmarks[:6], np.array([0.0, 1.0, 0.0, 1.0, 1.0, 0.0])
    posterior, state = pooled(X, y)
    a, L = state.kept.amplitude, np.linalg.cholesky(NTK(X, X))
    latent = np.sqrt(2 * a) * np.random.default_rng(0).standard_normal((200_000, 6)) @ L.T
    logs = np.log(expit(np.where(y == 1, latent, -latent))).sum(axis=1)
    evidence = logsumexp(logs) - np.log(len(logs))
    assert posterior.log_evidence < evidence + 0.02
    assert posterior.log_evidence > evidence - 0.3


@settings(max_examples=5, deadline=None)
@given(st.integers(1, 16), st.integers(0, 2**32 - 1), st.sampled_from([2, 3]))
def test_any_partition_gives_the_pooled_posterior(sites: int, seed: int, classes: int) -> None:
    """Probabilities to 1e-8 relative, amplitude and number of sweeps the same."""
    X, y = classification(4, classes=classes)
    counts = np.bincount(y.astype(int))
    one, offsets = learn([[(X, y)]], counts)
    many, _ = learn(split(np.random.default_rng(seed), X, y, sites), counts)
    assert many.expansions == one.expansions
    assert many.kept.amplitude == pytest.approx(one.kept.amplitude, rel=1e-9)
    queries = normal(9, 20, 3)
    expected, found = (
        ClassPosterior(FEATURES, state.kept, offsets, 0.0).predict_proba(queries)
        for state in (one, many)
    )
    np.testing.assert_allclose(found, expected, rtol=1e-8)


def test_the_amplitude_is_close_to_the_best() -> None:
    """Converged afresh at other amplitudes, the bound is no better by more than the tolerance."""
    X, y = classification(3)
    _, state = pooled(X, y, most=30)
    offsets = class_offsets(np.bincount(y.astype(int)))
    for factor in (0.5, 0.8, 1.25, 2.0):
        q = replace(state.kept, amplitude=factor * state.kept.amplitude)
        for _ in range(30):
            expansion = local_expansion([(X, y)], FEATURES, q, offsets)
            q = replace(q, message=expansion.message(q.weights))
        assert bound_at(X, y, q, offsets) < state.bound + 3 * BOUND_TOLERANCE


@pytest.mark.parametrize("classes", [2, 3])
def test_separable_classes_are_no_problem(classes: int) -> None:
    """Finite, confident where classes are far apart, unsure between them."""
    X = np.repeat(4.0 * contrast(classes + 1)[:classes, :3], 20, axis=0)
    X = np.pad(X, ((0, 0), (0, 3 - X.shape[1]))) + 0.1 * normal(0, 20 * classes, 3)
    y = np.repeat(np.arange(float(classes)), 20)
    posterior, state = pooled(X, y)
    probabilities = posterior.predict_proba(X)
    assert np.isfinite(state.bound)
    assert accuracy(y, probabilities) == 1
    assert log_loss(y, probabilities) < 0.3


def test_two_rows_are_enough() -> None:
    """One of each class: the nearer one is the likelier."""
    X = np.array([[1.0, 0.0, 0.0], [-1.0, 0.0, 0.0]])
    posterior, _ = pooled(X, np.array([0.0, 1.0]))
    probabilities = posterior.predict_proba(X)
    assert probabilities[0, 0] > 0.5 > probabilities[1, 0]
    assert probabilities[0, 0] < 0.999


def test_imbalance_without_information_gives_the_proportions() -> None:
    """Offsets carry the prior odds: 5 % stay 5 %, and the amplitude goes to its floor."""
    X, y = normal(0, 400, 3), np.zeros(400)
    y[::20] = 1
    posterior, _ = pooled(X, y)
    np.testing.assert_allclose(posterior.predict_proba(normal(1, 50, 3))[:, 1], 0.05, atol=0.03)


def test_a_class_that_nobody_has_is_named() -> None:
    """Before any sweep."""
    with pytest.raises(NumericalError, match="no rows at any node"):
        learn([[(normal(0, 4, 3), np.zeros(4))]], np.array([4.0, 0.0]))


def test_a_step_that_loses_is_drawn_halfway_back() -> None:
    """The kept approximation stays, with its bound; another sweep that is no gain ends it."""
    X, y = classification(3)
    rows, offsets = [(X, y)], class_offsets(np.bincount(y.astype(int)))
    _, state = pooled(X, y, most=2)
    assert not state.converged
    good = local_expansion(rows, FEATURES, state.trial, offsets)
    bad = replace(good, log_likelihood=good.log_likelihood - 1000.0)
    choice = state.choose(bad)
    assert (choice.accepted, choice.converged, choice.bound) == (False, False, state.bound)
    after = state.advance(bad, choice)
    assert after.kept is state.kept
    halfway = 0.5 * (state.kept.message.precision + state.trial.message.precision)
    np.testing.assert_allclose(after.trial.message.precision, halfway)
    between = sorted([state.kept.amplitude, state.trial.amplitude])
    assert between[0] <= after.trial.amplitude <= between[1]
    same = replace(good, log_likelihood=after.bound + after.trial.divergence - 1e-9)
    last = after.advance(same, after.choose(same))
    assert last.converged
    assert last.kept is state.kept
    assert last.bound == state.bound


def test_a_choice_round_trips() -> None:
    """Four numbers, bit for bit."""
    choice = SweepChoice(True, False, -12.5, 0.3)
    assert SweepChoice.unpack(choice.pack()) == choice
    with pytest.raises(NumericalError, match="four numbers"):
        SweepChoice.unpack(np.zeros(3))

"""The classifier's posterior: a bound that holds, honest probabilities, few numbers told."""

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
from edge_node.inference.classification.expansion import Expansion, local_expansion, numbers_told
from edge_node.inference.classification.likelihood import Softmax
from edge_node.inference.classification.posterior import ClassPosterior
from edge_node.inference.classification.variational import (
    SweepChoice,
    VariationalState,
    from_label_regression,
)
from edge_node.inference.evaluation.metrics import accuracy, ece, log_loss
from edge_node.inference.features.landmarks import gaussian_landmarks
from edge_node.inference.features.nystrom import Features
from edge_node.inference.messages.evidence import best_evidence
from edge_node.inference.messages.statistics import Statistics
from tests.inference.classification.natural_gradient import natural_gradient
from tests.inference.problems import NTK, classification, features_on, normal, split, statistics_of

FEATURES = features_on(normal(5, 12, 3))


def begin(sites, counts, features: Features = FEATURES):
    """Label regression's sums, the state before the first sweep, and the offsets."""
    offsets = class_offsets(counts)
    size, q = len(features.landmarks), len(counts) - 1
    packed = [statistics_of(LabelRows(rows, offsets), features, q).pack() for rows in sites]
    statistics = Statistics.unpack(np.sum(packed, axis=0), size, q)
    return VariationalState.start(statistics, best_evidence(statistics), offsets), offsets


def sweep(sites, state: VariationalState, offsets, features: Features = FEATURES) -> Expansion:
    """The total of all sites' packed sums at the state's trial."""
    local = [
        local_expansion(rows, features, state.trial, Softmax(offsets)).pack() for rows in sites
    ]
    return Expansion.unpack(np.sum(local, axis=0), *state.trial.mean.shape)


def learn(sites, counts, features: Features = FEATURES, most: int = 12, patient: bool = False):
    """The program's loop: the state after each sweep, and the offsets; a ``patient`` one goes on
    when the bound hardly changes.
    """
    state, offsets = begin(sites, counts, features)
    states = []
    while len(states) < most and not state.converged:
        expansion = sweep(sites, state, offsets, features)
        choice = SweepChoice.unpack(state.choose(expansion).pack())
        state = state.advance(
            expansion, replace(choice, converged=choice.converged and not patient)
        )
        states.append(state)
    return states, offsets


def pooled(X, y, features: Features = FEATURES, most: int = 12):
    """The same on one machine, as a posterior."""
    states, offsets = learn([[(X, y)]], np.bincount(y.astype(int)), features, most)
    return ClassPosterior(features, states[-1].kept, offsets, states[-1].bound), states


def breast_cancer(landmarks: int):
    """569 biopsies, a fixed 80/20 split, and features of the training rows."""
    X, y = load_breast_cancer(return_X_y=True)
    X, queries, y, labels = train_test_split(X, y, test_size=0.2, random_state=0, stratify=y)
    X, queries = (X - X.mean(0)) / X.std(0), (queries - X.mean(0)) / X.std(0)
    Z = gaussian_landmarks(X.T @ X / len(X), landmarks, 0)
    return (
        X,
        y.astype(float),
        queries,
        labels,
        features_on(Z, msgspec.structs.replace(NTK, depth=1)),
    )


def test_breast_cancer() -> None:
    """At least .96 right, a log loss of at most .12."""
    X, y, queries, labels, features = breast_cancer(150)
    posterior, states = pooled(X, y, features)
    probabilities = posterior.predict_proba(queries)
    assert states[-1].converged
    assert accuracy(labels, probabilities) >= 0.96
    assert log_loss(labels, probabilities) <= 0.12
    assert ece(labels, probabilities) <= 0.05


def test_breast_cancer_with_the_numbers_that_a_budget_leaves() -> None:
    """40 landmarks: within .01 of the whole curvature's accuracy and log loss, which tell twenty
    times as many numbers even if twelve of its steps suffice.
    """
    X, y, queries, labels, features = breast_cancer(40)
    posterior, states = pooled(X, y, features)
    a = posterior.approximation.amplitude
    whole = natural_gradient((X, y), features, posterior.offsets, a, steps=12)
    ours, theirs = posterior.predict_proba(queries), whole.predict_proba(queries)
    assert abs(accuracy(labels, ours) - accuracy(labels, theirs)) < 0.01
    assert abs(log_loss(labels, ours) - log_loss(labels, theirs)) < 0.01
    assert 20 * len(states) * numbers_told(len(features.landmarks), 1) < whole.told


@pytest.mark.parametrize("classes", [2, 3, 4])
def test_it_predicts_as_the_best_gaussian_does(classes: int) -> None:
    """At our amplitude: the mean probability differs by .005, none by more than .05; the best
    Gaussian's bound is higher, by less than 2 %.
    """
    X, y = classification(6, rows=200, classes=classes)
    posterior, states = pooled(X, y)
    amplitude = posterior.approximation.amplitude
    best = natural_gradient((X, y), FEATURES, posterior.offsets, amplitude, steps=20)
    queries = normal(9, 300, 3)
    difference = np.abs(posterior.predict_proba(queries) - best.predict_proba(queries))
    assert difference.mean() < 0.005
    assert difference.max() < 0.05
    assert best.bound > states[-1].bound > 1.02 * best.bound


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
    """Two classes: against a general optimiser over the mean and W; no amplitude is better by more
    than a hundredth of a nat.
    """
    X, y = classification(0, rows=80)
    features = features_on(normal(5, 5, 3))
    states, offsets = learn([[(X, y)]], np.bincount(y.astype(int)), features, 40, patient=True)
    found = states[-1].kept
    size = len(features.landmarks)

    def negative(theta) -> float:
        w, a = np.exp([theta[size], theta[size + 1] if len(theta) > size + 1 else own])
        q = Approximation(theta[:size, None], np.array([[w]]), found.gram, a)
        expansion = local_expansion([(X, y)], features, q, Softmax(offsets))
        return q.divergence - expansion.log_likelihood

    own = np.log(found.amplitude)
    start = np.append(np.zeros(size), np.log(0.1))
    given = minimize(negative, start, method="BFGS", options={"gtol": 1e-5})
    assert states[-1].bound == pytest.approx(-given.fun, abs=1e-6)
    np.testing.assert_allclose(found.mean[:, 0], given.x[:size], rtol=1e-3, atol=1e-4)
    assert found.curvature.item() == pytest.approx(np.exp(given.x[size]), rel=1e-3)
    free = minimize(negative, np.append(given.x, own), method="BFGS", options={"gtol": 1e-5})
    assert states[-1].bound > -free.fun - 0.01


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([2, 3]))
def test_the_bound_never_falls(seed: int, classes: int) -> None:
    """Whatever the rows are; and where it ends, it is F of the approximation kept."""
    X, y = classification(seed, rows=80, classes=classes)
    _, states = pooled(X, y)
    bounds = [state.bound for state in states]
    assert (np.diff(bounds) >= 0).all()
    offsets, kept = class_offsets(np.bincount(y.astype(int))), states[-1].kept
    expansion = local_expansion([(X, y)], FEATURES, kept, Softmax(offsets))
    assert bounds[-1] == pytest.approx(expansion.log_likelihood - kept.divergence, rel=1e-12)


def test_the_bound_is_below_the_evidence_and_close() -> None:
    """Against log p(y), by Monte Carlo over the prior of six rows."""
    X, y = FEATURES.landmarks[:6], np.array([0.0, 1.0, 0.0, 1.0, 1.0, 0.0])
    posterior, states = pooled(X, y)
    a, L = states[-1].kept.amplitude, np.linalg.cholesky(NTK(X, X))
    latent = np.sqrt(2 * a) * np.random.default_rng(0).standard_normal((200_000, 6)) @ L.T
    logs = np.log(expit(np.where(y == 1, latent, -latent))).sum(axis=1)
    evidence = logsumexp(logs) - np.log(len(logs))
    assert posterior.log_evidence < evidence + 0.02
    assert posterior.log_evidence > evidence - 0.3


@settings(max_examples=5, deadline=None)
@given(st.integers(1, 16), st.integers(0, 2**32 - 1), st.sampled_from([2, 3]))
def test_any_partition_gives_the_pooled_posterior(sites: int, seed: int, classes: int) -> None:
    """Probabilities to 1e-8 relative, the number of sweeps the same."""
    X, y = classification(4, rows=70, classes=classes)
    counts = np.bincount(y.astype(int))
    one, offsets = learn([[(X, y)]], counts)
    many, _ = learn(split(np.random.default_rng(seed), X, y, sites), counts)
    assert len(many) == len(one)
    assert many[-1].kept.amplitude == pytest.approx(one[-1].kept.amplitude, rel=1e-9)
    queries = normal(9, 20, 3)
    expected, found = (
        ClassPosterior(FEATURES, states[-1].kept, offsets, 0.0).predict_proba(queries)
        for states in (one, many)
    )
    np.testing.assert_allclose(found, expected, rtol=1e-8)


def test_the_start_is_label_regression() -> None:
    """Its mean function divided by w, its variance by w and the noise variance."""
    X, y = classification(3)
    offsets = class_offsets(np.bincount(y.astype(int)))
    statistics = statistics_of(LabelRows([(X, y)], offsets), FEATURES, 1)
    evidence = best_evidence(statistics)
    start = from_label_regression(statistics, evidence, offsets)
    Phi = FEATURES(normal(9, 20, 3))
    mean, variance = start.latent(Phi, np.zeros(20))
    message = statistics.likelihood(evidence.noise_variance).with_prior(evidence.amplitude)
    regression = Phi @ message.mean
    w = (regression / mean).flat[0]
    assert evidence.noise_variance < w < 2 * np.prod(np.exp(offsets))
    np.testing.assert_allclose(mean, regression / w, rtol=1e-8)
    spread = np.vecdot(Phi @ np.linalg.inv(message.precision), Phi)
    np.testing.assert_allclose(variance[:, 0, 0], spread / evidence.noise_variance / w, rtol=1e-8)


@pytest.mark.parametrize("classes", [2, 3])
def test_separable_classes_are_no_problem(classes: int) -> None:
    """Finite, confident where classes are far apart, unsure between them."""
    X = np.repeat(4.0 * contrast(classes + 1)[:classes, :3], 20, axis=0)
    X = np.pad(X, ((0, 0), (0, 3 - X.shape[1]))) + 0.1 * normal(0, 20 * classes, 3)
    y = np.repeat(np.arange(float(classes)), 20)
    posterior, states = pooled(X, y)
    probabilities = posterior.predict_proba(X)
    assert np.isfinite(states[-1].bound)
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


def test_one_class_alone_is_nothing_to_learn() -> None:
    """It is refused before any sweep."""
    with pytest.raises(NumericalError, match="at least two classes"):
        learn([[(normal(0, 4, 3), np.zeros(4))]], np.array([4.0, 0.0]))


def test_a_step_that_loses_is_drawn_halfway_back() -> None:
    """The kept approximation stays, with its bound; another sweep that is no gain ends it."""
    X, y = classification(3)
    sites, counts = [[(X, y)]], np.bincount(y.astype(int))
    states, offsets = learn(sites, counts, most=2)
    state = states[-1]
    assert not state.converged
    good = sweep(sites, state, offsets)
    bad = replace(good, log_likelihood=good.log_likelihood - 1000.0)
    choice = state.choose(bad)
    assert (choice.accepted, choice.converged, choice.bound) == (False, False, state.bound)
    after = state.advance(bad, choice)
    assert after.kept is state.kept
    again = after.advance(bad, after.choose(bad))
    kept, near, nearer = (each.curvature.item() for each in (state.kept, after.trial, again.trial))
    assert nearer - kept == pytest.approx(0.5 * (near - kept), rel=1e-9)
    assert near != kept
    same = replace(good, log_likelihood=after.bound + after.trial.divergence - 1e-9)
    last = after.advance(same, after.choose(same))
    assert last.converged
    assert last.kept is state.kept
    assert last.bound == state.bound


def test_after_a_loss_of_rows_bounds_are_not_compared() -> None:
    """Of fewer rows the likelihood is higher, and gradients of other rows say nothing of them."""
    X, y = classification(3)
    counts = np.bincount(y.astype(int))
    states, offsets = learn([[(X, y)]], counts, most=3)
    state = states[-1]
    assert len(state.path) == 3
    fewer = sweep([[(X[:140], y[:140])]], state, offsets)
    worse = replace(fewer, log_likelihood=fewer.log_likelihood - 1000.0)
    choice = state.choose(worse)
    assert (choice.accepted, choice.converged) == (True, False)
    after = state.advance(worse, choice)
    assert after.kept is state.trial
    assert len(after.path) == 1
    equal = replace(worse, count=150)
    assert not state.choose(equal).accepted


def test_a_choice_round_trips() -> None:
    """Four numbers, bit for bit."""
    choice = SweepChoice(True, False, -12.5, 0.3)
    assert SweepChoice.unpack(choice.pack()) == choice
    with pytest.raises(NumericalError, match="four numbers"):
        SweepChoice.unpack(np.zeros(3))

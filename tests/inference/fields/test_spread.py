"""Variances by noise of the devices' own are honest; those that messages end with aren't."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial import KDTree

from edge_node.arrays import Matrix, Vector
from edge_node.errors import NumericalError
from edge_node.inference.fields.fleet import Fleet, graph_of
from edge_node.inference.fields.quiet import Quiet, opening
from edge_node.inference.fields.spread import precision_of, variances
from edge_node.inference.messages.propagation.solve import marginals
from tests.inference.fields.fleets import (
    FIELD,
    fleet,
    scattered_devices,
    system,
    until_quiet,
    without_prior_draws,
)


def solved(fleet: Fleet) -> Matrix:
    """The means (n, 1, 1 + S), densely."""
    graph = graph_of(fleet)
    A = graph.apply(np.eye(fleet.size)[:, None])[:, 0]
    mean: Matrix = np.linalg.solve(A, graph.total_shift[:, 0])[:, None]
    return mean


def estimated(fleet: Fleet) -> Vector:
    """The variances, of dense means."""
    return variances(fleet, graph_of(fleet), solved(fleet))


def orthogonal_draws(fleet: Fleet) -> Fleet:
    """As many samples as there are draws, in each of which one isn't zero: their average is the
    expectation over all noise.
    """
    count = 2 * fleet.size
    draws = np.sqrt(count) * np.eye(count).reshape(fleet.size, 2, count)
    return replace(fleet, devices=replace(fleet.devices, draws=draws))


def test_the_estimates_expectation_is_the_variance() -> None:
    """To rounding. Without noise of the regressions' own it is smaller, at every device."""
    some = orthogonal_draws(fleet(100))
    exact = np.linalg.inv(system(some)[0]).diagonal()
    np.testing.assert_allclose(estimated(some), exact, rtol=1e-8)
    assert (estimated(without_prior_draws(some)) < exact - 1e-6).all()


def test_samples_are_unbiased_and_sharper_in_blocks() -> None:
    """With 64 samples the bias is far below sqrt(2 / S), which is the error of squares; a device
    alone has half of it, a block a tenth. The control: without noise of the regressions it is
    biased.
    """
    some = fleet(500, samples=64)
    graph, mean, noise = graph_of(some), solved(some), np.sqrt(2 / 64)
    exact = np.linalg.inv(system(some)[0]).diagonal()
    squares = np.square(mean[:, 0, 1:]).mean(axis=1)
    alone, block = (variances(some, graph, mean, block=size) for size in (1, 13))
    for found, share in ((squares, 1.0), (alone, 0.5), (block, 0.1)):
        ratio = found / exact - 1.0
        assert abs(ratio.mean()) < 0.1 * noise
        assert ratio.std() < 1.15 * share * noise
    lacking = without_prior_draws(some)
    biased = variances(lacking, graph_of(lacking), solved(lacking), block=1) / exact - 1.0
    assert biased.mean() < -0.5 * noise


def test_some_devices_may_ask_alone_and_places_may_coincide() -> None:
    """Any devices' variances are those of all devices' at them."""
    devices, _ = scattered_devices(60, samples=16)
    places = devices.places.copy()
    places[10:14] = places[40]
    some = Fleet.of(FIELD, replace(devices, places=places))
    graph, mean, at = graph_of(some), solved(some), np.array([12, 40, 5])
    found = variances(some, graph, mean, at=at, block=3)
    np.testing.assert_allclose(found, variances(some, graph, mean, block=3)[at])
    whole = variances(some, graph, mean, block=99)
    np.testing.assert_allclose(whole, np.linalg.inv(precision_of(some).toarray()).diagonal())


def test_messages_of_a_graph_with_loops_end_with_other_variances() -> None:
    """Theirs are off by more than the samples', however many messages are sent; and so they are
    when they are scaled by squares of samples, averaged over neighbours.
    """
    some = fleet(500, samples=64)
    graph = graph_of(some)
    talk = until_quiet(Quiet(0, tolerance=1e-4, lost=0.2), graph, opening(some, graph))
    mean, covariance, _ = marginals(graph, talk.inbox)
    exact, loopy = np.linalg.inv(system(some)[0]).diagonal(), covariance[:, 0, 0]
    ratios = np.square(mean[:, 0, 1:]).mean(axis=1) / loopy
    near = KDTree(some.devices.places).query(some.devices.places, k=13)[1]
    ours, theirs, scaled = (
        np.sqrt(np.mean(np.square(found / exact - 1.0)))
        for found in (variances(some, graph, mean), loopy, loopy * ratios[near].mean(axis=1))
    )
    assert ours < 0.03
    assert theirs > 5.0 * ours
    assert scaled > 3.0 * ours
    assert np.abs(loopy / exact - 1.0).max() > 0.4


def test_intervals_cover_the_true_field() -> None:
    """94 to 96 of 100, of fields that were drawn without Vecchia's approximation, by messages of
    which a fifth is lost; with half of the variance they don't.
    """
    inside, narrow = [], []
    for seed in range(6):
        devices, truth = scattered_devices(700, samples=16, seed=seed)
        some = Fleet.of(FIELD, devices)
        graph = graph_of(some)
        talk = until_quiet(Quiet(seed, tolerance=1e-2, lost=0.2), graph, opening(some, graph))
        mean = marginals(graph, talk.inbox)[0]
        errors = np.square(truth - mean[:, 0, 0]) / variances(some, graph, mean)
        inside.append(np.mean(errors < 1.96**2))
        narrow.append(np.mean(errors < 0.5 * 1.96**2))
    assert 0.94 < np.mean(inside) < 0.96
    assert np.mean(narrow) < 0.88


def test_no_samples_no_variances() -> None:
    """An error says so."""
    some = fleet(20)
    with pytest.raises(NumericalError, match="need samples"):
        estimated(some)

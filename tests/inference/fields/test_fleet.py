"""A fleet's factor graph is the posterior of the field."""

from dataclasses import replace

import numpy as np
import pytest

from edge_node.errors import ConfigurationError, DataError
from edge_node.inference.fields.field import Field
from edge_node.inference.fields.fleet import Fleet, graph_of
from edge_node.inference.fields.spread import precision_of
from tests.inference.fields.fleets import (
    FIELD,
    KERNEL,
    NOISE,
    covariance,
    fleet,
    scattered_devices,
    system,
)


def test_the_factors_product_is_vecchias_posterior() -> None:
    """A and h of the graph are those of regressions made one by one, and so is the sparse A."""
    some = fleet(120)
    graph, (A, h) = graph_of(some), system(some)
    np.testing.assert_allclose(graph.apply(np.eye(120)[:, None])[:, 0], A, atol=1e-9)
    np.testing.assert_allclose(graph.total_shift[:, 0, 0], h, atol=1e-12)
    np.testing.assert_allclose(precision_of(some).toarray(), A, atol=1e-9)


def test_with_all_earlier_devices_as_neighbours_it_is_the_gaussian_process() -> None:
    """The mean at all devices is kriging's; with fewer neighbours it isn't quite."""
    devices, _ = scattered_devices(40)
    K, seen = covariance(devices.places), devices.measuring
    among = K[np.ix_(seen, seen)] + NOISE * np.eye(seen.sum())
    kriging = K[:, seen] @ np.linalg.solve(among, devices.readings[seen])
    for neighbours, equal in ((39, True), (3, False)):
        graph = graph_of(Fleet.of(Field(KERNEL, 0.02, neighbours), devices))
        A = graph.apply(np.eye(40)[:, None])[:, 0]
        mean = np.linalg.solve(A, graph.total_shift[:, 0, 0])
        assert np.allclose(mean, kriging, atol=1e-9) is equal


def test_what_is_no_fleet_is_refused() -> None:
    """Too few devices, names that don't ascend, numbers that can't be, a field that is none."""
    devices, _ = scattered_devices(8)
    with pytest.raises(DataError, match=r"too small.*more than 6 devices.*found 6"):
        Fleet.of(FIELD, devices.take(np.arange(6)))
    with pytest.raises(DataError, match="ascending name"):
        devices.take(np.arange(8)[::-1])
    with pytest.raises(DataError, match="noise above 0"):
        replace(devices, noise=np.zeros(8))
    with pytest.raises(DataError, match="one place, reading and noise each"):
        replace(devices, readings=np.zeros(7))
    with pytest.raises(ConfigurationError, match="one neighbour or more"):
        Field(KERNEL, 0.02, 0)

"""Small fleets, and their posterior by dense matrices that know nothing of messages."""

from dataclasses import replace

import numpy as np

from edge_node.arrays import Matrix, Vector
from edge_node.config import KernelKind
from edge_node.inference.fields.devices import Devices
from edge_node.inference.fields.field import Field
from edge_node.inference.fields.fleet import Fleet
from edge_node.inference.fields.quiet import Quiet, Talk
from edge_node.inference.kernels.stationary import StationaryKernel
from edge_node.inference.messages.propagation.graph import FactorGraph
from edge_node.inference.messages.propagation.solve import marginals

NOISE = 0.1
KERNEL = StationaryKernel(KernelKind.MATERN32, 5.0 / np.sqrt(2.0))  # five devices' distance
FIELD = Field(KERNEL, own=0.02, neighbours=6)


def scattered_devices(
    count: int, *, measuring: float = 0.5, samples: int = 0, seed: int = 0, first: int = 0
) -> tuple[Devices, Vector]:
    """Devices in a square, one a unit of area, and the true field at them, drawn densely."""
    rng = np.random.default_rng(seed)
    places = rng.random((count, 2)) * np.sqrt(count)
    truth = np.linalg.cholesky(covariance(places)) @ rng.normal(size=count)
    error = np.sqrt(NOISE) * rng.normal(size=count)
    readings = np.where(rng.random(count) < measuring, truth + error, np.nan)
    made = Devices.drawn(places, readings, NOISE, samples=samples, random=rng, first=first)
    return made, truth


def fleet(count: int, *, field: Field = FIELD, seed: int = 0, samples: int = 0) -> Fleet:
    """A fleet of them."""
    return Fleet.of(field, scattered_devices(count, samples=samples, seed=seed)[0])


def covariance(places: Matrix, field: Field = FIELD) -> Matrix:
    """Of the devices' values under the field, exactly (n, n)."""
    return field.kernel(places, places) + field.own * np.eye(len(places))


def system(fleet: Fleet) -> tuple[Matrix, Vector]:
    """A (n, n) and h (n,) of Vecchia's posterior: each device on its nearest before it, found and
    regressed one by one.
    """
    devices = fleet.devices
    K, places = covariance(devices.places, fleet.field), devices.places
    A = np.diag(np.where(devices.measuring, 1.0 / devices.noise, 0.0))
    for i in range(len(places)):
        distances = np.linalg.norm(places[:i] - places[i], axis=1)
        near = np.argsort(distances)[: fleet.field.neighbours]
        b = np.linalg.solve(K[np.ix_(near, near)], K[near, i])
        row = np.zeros(len(places))
        row[i], row[near] = 1.0, -b
        A += np.outer(row, row) / (K[i, i] - K[i, near] @ b)
    return A, np.nan_to_num(devices.readings) * np.where(devices.measuring, 1 / devices.noise, 0)


def until_quiet(schedule: Quiet, graph: FactorGraph, talk: Talk, *, most: int = 2000) -> Talk:
    """What devices have heard when none has anything to say."""
    while talk.news and talk.steps < most:
        talk = schedule.step(graph, talk)
    assert talk.news == 0
    return talk


def means(graph: FactorGraph, talk: Talk) -> Matrix:
    """Each device's means (n, 1 + S)."""
    return marginals(graph, talk.inbox)[0][:, 0]


def without_prior_draws(fleet: Fleet) -> Fleet:
    """The control: only readings are perturbed."""
    draws = fleet.devices.draws.copy()
    draws[:, 0] = 0.0
    return replace(fleet, devices=replace(fleet.devices, draws=draws))

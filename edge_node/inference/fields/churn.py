"""Devices leave, and devices come: the fleet goes on from what it has heard.

Who leaves takes its two factors along: its neighbours drop what they had from it. Those whose
regression it was in regress anew, on the nearest that remain of those that came before them. Who
comes regresses on the nearest of those present. So the fleet is at each moment the one that would
have been made of the remaining devices from the first, and its posterior is theirs
(`tests/inference/fields/test_churn.py`). Nobody else computes anything: what a change means for
others they hear in messages.

A message belongs to an edge: the regression of one device, the value of another. Edges that are
still there keep their messages, which are replaced when there is something new; edges that are new
start from the prior, as all did.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from edge_node.errors import DataError
from edge_node.inference.features.conditionals import Conditionals
from edge_node.inference.fields.devices import Devices
from edge_node.inference.fields.fleet import Fleet, check_size
from edge_node.inference.fields.quiet import Talk
from edge_node.inference.messages.propagation.graph import Messages
from edge_node.inference.numerics.distances import Indices, squared_distances

__all__ = ["carried", "joined", "left"]


def left(fleet: Fleet, names: Indices) -> Fleet:
    """The fleet without some devices. Raises DataError: a name that isn't there; too few remain."""
    unknown = np.setdiff1d(names, fleet.devices.names)
    if len(unknown):
        raise DataError("no such device", where="fleet", found=str(unknown[0]))
    stay = ~np.isin(fleet.devices.names, names)
    check_size(fleet.field, int(stay.sum()))
    number = np.append(np.where(stay, np.cumsum(stay) - 1, -1), -1)  # the last one: of no device
    neighbours = fleet.neighbours[stay]
    bereft = np.flatnonzero(((number[neighbours] < 0) & (neighbours >= 0)).any(axis=1))
    remaining = replace(
        fleet,
        devices=fleet.devices.take(stay),
        neighbours=number[neighbours],
        conditionals=_some(fleet.conditionals, stay),
    )
    return _regressed(remaining, bereft)


def joined(fleet: Fleet, devices: Devices) -> Fleet:
    """The fleet with newcomers, whose names follow those that are there. Raises DataError."""
    m, k = len(devices.names), fleet.neighbours.shape[1]
    grown = replace(
        fleet,
        devices=fleet.devices.followed(devices),
        neighbours=np.vstack([fleet.neighbours, np.full((m, k), -1)]),
        conditionals=Conditionals(
            np.vstack([fleet.conditionals.coefficients, np.zeros((m, k))]),
            np.append(fleet.conditionals.variances, np.ones(m)),
        ),
    )
    return _regressed(grown, np.arange(fleet.size, grown.size))


def _some(conditionals: Conditionals, rows: NDArray[np.bool_]) -> Conditionals:
    return Conditionals(conditionals.coefficients[rows], conditionals.variances[rows])


def _regressed(fleet: Fleet, rows: Indices) -> Fleet:
    """With new neighbours and regressions of some devices (m,)."""
    places = fleet.devices.places
    neighbours, b = fleet.neighbours.copy(), fleet.conditionals.coefficients.copy()
    D = fleet.conditionals.variances.copy()
    for row in rows:
        near = squared_distances(places[row : row + 1], places[:row])[0].argsort(kind="stable")
        nearest = near[: neighbours.shape[1]]
        neighbours[row] = -1
        neighbours[row, : len(nearest)] = nearest
    found = fleet.field.conditionals(places, rows, neighbours[rows])
    b[rows], D[rows] = found.coefficients, found.variances
    return replace(fleet, neighbours=neighbours, conditionals=Conditionals(b, D))


def carried(before: Fleet, talk: Talk, after: Fleet, start: Talk) -> Talk:
    """What the devices of a changed fleet have heard.

    Args:
        before: the fleet as it was.
        talk: and what its devices had heard.
        after: the fleet as it is.
        start: its `opening`, for edges that are new.
    """
    old, new = _edges(before), _edges(after)
    order = np.argsort(old, axis=None)
    place = np.minimum(np.searchsorted(old.ravel()[order], new), old.size - 1)
    source = order[place]
    kept = (old.ravel()[source] == new) & (new >= 0)
    return replace(
        start,
        inbox=(_carried(talk.said, source, start.said, kept),),
        heard=_carried(talk.heard, source, start.heard, kept),
    )


def _edges(fleet: Fleet) -> Indices:
    """A number for each edge (n, k + 1), of the two names; -1: the slot is empty."""
    names, scope = fleet.devices.names, fleet.scope
    return np.where(scope >= 0, (names[:, None] << 32) + names[scope], -1)


def _carried(old: Messages, source: Indices, new: Messages, kept: NDArray[np.bool_]) -> Messages:
    at = np.unravel_index(source, old.precision.shape[:2])
    mask = kept[..., None, None]
    return Messages(
        np.where(mask, old.precision[at], new.precision), np.where(mask, old.shift[at], new.shift)
    )

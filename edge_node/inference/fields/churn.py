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
from edge_node.inference.fields.fleet import Fleet, earlier_neighbours
from edge_node.inference.fields.quiet import Talk
from edge_node.inference.messages.propagation.messages import Messages
from edge_node.inference.numerics.distances import Indices

__all__ = ["carried", "joined", "left"]


def left(fleet: Fleet, names: Indices) -> Fleet:
    """The fleet without some devices. Raises DataError: a name that isn't there; too few remain."""
    unknown = np.setdiff1d(names, fleet.devices.names)
    if len(unknown):
        raise DataError("no such device", where="fleet", found=str(unknown[0]))
    return _changed(fleet, fleet.devices.take(~np.isin(fleet.devices.names, names)))


def joined(fleet: Fleet, devices: Devices) -> Fleet:
    """The fleet with newcomers. Raises DataError: their names don't follow those that are there."""
    return _changed(fleet, fleet.devices.followed(devices))


def _changed(before: Fleet, devices: Devices) -> Fleet:
    """The fleet of ``devices``: those whose neighbours are other ones than before regress anew."""
    neighbours = earlier_neighbours(before.field, devices.places)
    was = np.minimum(np.searchsorted(before.devices.names, devices.names), before.size - 1)
    stayed = before.devices.names[was] == devices.names
    same = _named(before.devices, before.neighbours)[was] == _named(devices, neighbours)
    anew = np.flatnonzero(~(stayed & same.all(axis=1)))
    b, D = before.conditionals.coefficients[was], before.conditionals.variances[was]
    found = before.field.conditionals(devices.places, anew, neighbours[anew])
    b[anew], D[anew] = found.coefficients, found.variances
    return Fleet(before.field, devices, neighbours, Conditionals(b, D))


def _named(devices: Devices, numbers: Indices) -> Indices:
    """The names of devices by their numbers; -1: there is none."""
    return np.where(numbers >= 0, devices.names[numbers], -1)


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
    owners, variables = fleet.devices.names[:, None], _named(fleet.devices, fleet.scope)
    return np.where(variables >= 0, (owners << 32) + variables, -1)


def _carried(old: Messages, source: Indices, new: Messages, kept: NDArray[np.bool_]) -> Messages:
    at = np.unravel_index(source, old.precision.shape[:2])
    return new.replaced(old[at], kept)

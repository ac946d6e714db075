"""Slopes of what was measured, beside those that theory has."""

from collections.abc import Iterator, Sequence

import numpy as np

from benchmarks.figures import Row
from benchmarks.width.trained import FLOW, MEAN, OWN
from edge_node.arrays import Vector

__all__ = ["fitted", "power_law"]

_POWERS = {
    OWN: -1.0,
    FLOW: -0.5,
    MEAN: -1.0,
    "layer 1": -0.5,
    "layer 2": -0.5,
    "excess kurtosis": -1.0,
    "covariance error": -0.5,
    "NNGP": 1.0,
    "NTK": 1.0,
}
_WIDE = 256
"""The width from which exponents are fitted: narrower networks are far from linear."""

_FIRST = 1 / 16
"""Depth / width up to which what a finite width adds is mostly of first order."""


def power_law(x: Vector, values: Vector) -> tuple[float, float]:
    """The exponent p of values ~ x^p by least squares in logarithms, and its standard error."""
    u, v = np.log(x), np.log(values)
    u, v = u - u.mean(), v - v.mean()
    slope = u @ v / (u @ u)
    rest = np.sum((v - slope * u) ** 2) / max(1, len(u) - 2)
    return float(slope), float(np.sqrt(rest / (u @ u)))


def fitted(rows: Sequence[Row]) -> Iterator[Row]:
    """A line for each series and network: what was ``fitted``, its ``error``, what is ``expected``.

    Exponents of the width (a, b, d) and of depth / width (f, over all depths); for (c) the median
    of measured over predicted, with the largest deviation as its error; for (e) the factor from
    layer to layer.
    """
    for name in dict.fromkeys(map(_name, rows)):
        claim, series, network = name
        points = [row for row in rows if _name(row) == name]
        if series in ("rate", "loss"):
            found = _ratio(points)
        elif claim == "e":
            found = _layer(points)
        elif series in _POWERS:
            found = _exponent(points, _expected(series, network))
        else:
            continue
        yield {"claim": claim, "series": series, "network": network, **found}


def _name(row: Row) -> tuple[str, str, str]:
    network = "relu, all depths" if row["claim"] == "f" else row["network"]
    return row["claim"], row["series"], network


def _expected(series: str, network: str) -> float:
    if (series, network) == (OWN, "relu"):
        return -0.75  # its kinks (``trained``)
    return 0.0 if "mean field" in network else _POWERS[series]


def _exponent(rows: Sequence[Row], expected: float) -> Row:
    if rows[0]["claim"] == "f":
        rows = [row for row in rows if row["x"] <= _FIRST]
    else:
        rows = [row for row in rows if row["x"] >= _WIDE]
    slope, error = power_law(*_columns(rows, "x", "value"))
    return {"fitted": slope, "error": error, "expected": expected}


def _ratio(rows: Sequence[Row]) -> Row:
    value, expected = _columns(rows, "value", "expected")
    ratio = value / expected
    largest = float(np.max(np.abs(ratio - 1.0)))
    return {"fitted": float(np.median(ratio)), "error": largest, "expected": 1.0}


def _layer(rows: Sequence[Row]) -> Row:
    """Over the last half of the layers."""
    depth, ours, theirs = _columns(rows[len(rows) // 2 :], "x", "value", "expected")
    (slope, error), (expected, _) = (power_law(np.exp(depth), each) for each in (ours, theirs))
    return {"fitted": float(np.exp(slope)), "error": error, "expected": float(np.exp(expected))}


def _columns(rows: Sequence[Row], *names: str) -> tuple[Vector, ...]:
    return tuple(np.array([float(row[name]) for row in rows]) for name in names)

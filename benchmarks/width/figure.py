"""The picture of docs/model.md: six claims, a panel each. Points are measured, lines are theory."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.figures import Row
from edge_node.arrays import Vector

__all__ = ["draw_width"]

_MARKS = {"erf": "o", "relu": "^", "erf, mean field": "x"}
_FILLED = {"NNGP": "full", "NTK": "none"}


def draw_width(rows: Sequence[Row], path: Path) -> None:
    """One panel a claim; that of (e) has two halves, variances (v) and gaps (g)."""
    from matplotlib.figure import Figure  # a second of import time

    figure = Figure(figsize=(13.5, 8.5), layout="constrained")
    axes = figure.subplot_mosaic("abc;abc;dvf;dgf")
    claims = {claim: [row for row in rows if row["claim"] == claim] for claim in "abcdef"}
    _predictions(axes["a"], claims["a"])
    _weights(axes["b"], claims["b"])
    _residuals(axes["c"], claims["c"])
    _outputs(axes["d"], claims["d"])
    _signals(axes["v"], claims["e"], "variance", "relu")
    _signals(axes["g"], claims["e"], "1 - correlation", "erf")
    axes["v"].set_title("(e) signals by depth: ReLU's variance, erf's correlation")
    axes["g"].set_xlabel("layer")
    _corrections(axes["f"], claims["f"])
    for panel in figure.axes:
        panel.title.set_fontsize(10)
        panel.legend(fontsize=7)
    figure.savefig(path, dpi=110)


def _points(rows: Sequence[Row]) -> dict[tuple[str, str], tuple[Vector, Vector]]:
    """X and values, by series and network."""
    names = dict.fromkeys((row["series"], row["network"]) for row in rows)
    return {name: _columns(rows, name) for name in names}


def _columns(rows: Sequence[Row], name: tuple[str, str]) -> tuple[Vector, Vector]:
    chosen = [row for row in rows if (row["series"], row["network"]) == name]
    return np.array([row["x"] for row in chosen]), np.array([row["value"] for row in chosen])


def _by_width(axes: Any, rows: Sequence[Row]) -> None:
    """A colour for each series, a mark for each activation."""
    points = _points(rows)
    colors = {series: f"C{i}" for i, series in enumerate(dict.fromkeys(s for s, _ in points))}
    for (series, network), (x, values) in points.items():
        mark = _MARKS.get(network) or _MARKS[network.split(",")[0]]
        style = {"color": colors[series], "markersize": 5, "label": f"{series} ({network})"}
        axes.loglog(x, values, mark, linestyle=":" if mark == "x" else "", **style)
    axes.set_xlabel("width")


def _guide(axes: Any, rows: Sequence[Row], name: tuple[str, str], slope: float) -> None:
    """A line of the slope that theory has, through the middle of a series."""
    x, values = _columns(rows, name)
    middle = np.exp(np.mean(np.log(values)) - slope * np.mean(np.log(x)))
    axes.loglog(x, middle * x**slope, "k-", linewidth=0.7)
    axes.annotate(f"slope {slope:g}", (x[-1], middle * x[-1] ** slope), fontsize=7,
                  xytext=(3, -3), textcoords="offset points", annotation_clip=False)  # fmt: skip
    axes.set_xlim(right=2.2 * x[-1])


def _predictions(axes: Any, rows: Sequence[Row]) -> None:
    _by_width(axes, rows)
    names = dict.fromkeys(row["series"] for row in rows)
    for series, slope in zip(names, (-1.0, -0.5, -1.0), strict=True):
        _guide(axes, rows, (series, "erf"), slope)
    smallest = min(row["value"] for row in rows)
    axes.set(ylabel="distance / size of the kernel's prediction", ylim=(smallest / 40.0, None))
    axes.set_title("(a) predictions after training approach the kernel's")


def _weights(axes: Any, rows: Sequence[Row]) -> None:
    _by_width(axes, rows)
    for series in dict.fromkeys(row["series"] for row in rows):
        _guide(axes, rows, (series, "erf"), -0.5)
    axes.set(ylabel="|W - W0| / |W0|", title="(b) weights move less and less")


def _residuals(axes: Any, rows: Sequence[Row]) -> None:
    """Components of the residual, by their own time: all on one curve."""
    from matplotlib import colormaps

    chosen = [row for row in rows if row["series"].startswith("component")]
    points = _points(chosen)
    colors = colormaps["viridis"](np.linspace(0.0, 0.95, len(points)))
    for color, ((series, _), (x, values)) in zip(colors, points.items(), strict=True):
        label = series.removeprefix("component, ")
        axes.semilogy(x, np.maximum(values, 1e-3), ".", markersize=5, color=color, label=label)
    x = np.linspace(0.0, 3.0, 50)
    axes.semilogy(x, np.exp(-x), "k-", linewidth=0.7, label="exp(-w t)")
    axes.set(xlabel="w t", ylabel="residual's component / its start", ylim=(0.02, 1.2))
    axes.set_title("(c) residuals decay with the kernel's eigenvalues w")


def _outputs(axes: Any, rows: Sequence[Row]) -> None:
    _by_width(axes, rows)
    for series, slope in (("excess kurtosis", -1.0), ("covariance error", -0.5)):
        for network in dict.fromkeys(row["network"] for row in rows):
            _guide(axes, rows, (series, network), slope)
    axes.set(ylabel="excess kurtosis; covariance's relative error")
    axes.set_title("(d) outputs at initialisation become Gaussian")


def _signals(axes: Any, rows: Sequence[Row], series: str, activation: str) -> None:
    chosen = [row for row in rows if row["series"] == series]
    chosen = [row for row in chosen if row["network"].startswith(activation)]
    for number, ((_, network), (x, values)) in enumerate(_points(chosen).items()):
        axes.semilogy(x, values, ".", color=f"C{number}", markersize=5, label=network)
        expected = [row["expected"] for row in chosen if row["network"] == network]
        axes.semilogy(x, expected, color=f"C{number}", linewidth=0.7)
    axes.set_ylabel(series)


def _corrections(axes: Any, rows: Sequence[Row]) -> None:
    """Variances of both kernels by depth over width."""
    networks = list(dict.fromkeys(row["network"] for row in rows))
    for (series, network), (x, values) in _points(rows).items():
        if series in _FILLED:
            style = {"color": f"C{networks.index(network)}", "fillstyle": _FILLED[series]}
            axes.loglog(x, values, "o", markersize=5, label=f"{series} ({network})", **style)
    x = np.geomspace(1 / 256, 0.5)
    axes.loglog(x, 5.0 * x, "k-", linewidth=0.7, label="5 depth / width")
    axes.set(xlabel="depth / width", ylabel="the kernel's variance / its mean squared")
    axes.set_title("(f) the first correction goes by depth / width")

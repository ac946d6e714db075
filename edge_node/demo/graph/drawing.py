"""The picture: the graphs, how far off the messages are step by step, and the rows' beliefs."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import networkx as nx
import numpy as np
from matplotlib.figure import Figure

from edge_node.demo.graph.phase import Frame, Phase
from edge_node.demo.graph.rows import Handful

__all__ = ["draw"]

mpl.use("agg")
_BLUE, _GREY, _RED, _GREEN, _AMBER = "#2563eb", "#94a3b8", "#dc2626", "#059669", "#d97706"
_COLOURS = {"tree": _GREEN, "loops": _BLUE, "lost": _AMBER, "pairs": _RED, "double-loop": "#7c3aed"}
_GRAPHS = ("tree", "loops", "pairs")
_LOWEST, _HIGHEST = 1e-9, 1e5  # of the errors that are drawn, as shares of the targets' deviation
_MOST_STEPS = 40


def draw(rows: Handful, phases: Sequence[Phase], path: Path) -> None:
    """Write the picture as a PNG file."""
    named = {phase.name: phase for phase in phases}
    figure = Figure(figsize=(11, 11), layout="constrained")
    parts: Any = figure.subfigures(3, 1, height_ratios=(1.1, 1.0, 1.0))
    graphs, errors, beliefs = parts
    places = _places(rows)
    for axes, name in zip(graphs.subplots(1, len(_GRAPHS)), _GRAPHS, strict=True):
        _graph(axes, rows, named[name], places)
    _errors(errors, rows, phases)
    _beliefs(beliefs, rows, named["loops"])
    figure.savefig(path, dpi=130)


def _places(rows: Handful) -> Mapping[int, Any]:
    """Where rows are drawn: near each other if they are alike."""
    apart = np.sqrt(np.maximum(2.0 - 2.0 * rows.kernel, 0.0))
    lengths = {i: dict(enumerate(map(float, row))) for i, row in enumerate(apart)}
    whole = nx.complete_graph(rows.size)
    places: Mapping[int, Any] = nx.kamada_kawai_layout(whole, dist=lengths)
    return places


def _graph(axes: Any, rows: Handful, phase: Phase, places: Mapping[int, Any]) -> None:
    """Rows, and who hears of whom; the more alike two rows, the wider the line."""
    graph = nx.Graph(phase.joined.edges)
    widths = [0.3 + 2.5 * float(rows.kernel[edge]) ** 4 for edge in graph.edges]
    nx.draw_networkx_edges(graph, places, ax=axes, width=widths, edge_color=_GREY)
    nx.draw_networkx_nodes(
        graph, places, ax=axes, nodelist=range(rows.size), node_size=330, edgecolors=_BLUE,
        node_color=rows.values, cmap="Blues", vmin=rows.values.min() - rows.deviation,
        vmax=rows.values.max() + 2 * rows.deviation,
    )  # fmt: skip
    labels = {row: str(row + 1) for row in range(rows.size)}
    nx.draw_networkx_labels(graph, places, labels, ax=axes, font_size=9)
    axes.set_title(phase.title, fontsize=10)
    axes.margins(0.12)
    axes.set_axis_off()


def _errors(figure: Any, rows: Handful, phases: Sequence[Phase]) -> None:
    """How far off means and standard deviations are, step by step."""
    means, deviations = figure.subplots(1, 2, sharey=True)
    for phase in phases:
        steps = [frame.step for frame in phase.frames if frame.step <= _MOST_STEPS]
        style = {
            "color": _COLOURS[phase.name],
            "label": phase.title,
            "marker": "o" if len(steps) == 2 else "",
        }
        frames = phase.frames[: len(steps)]
        means.plot(steps, [_drawn(rows, each.mean_error) for each in frames], **style)
        deviations.plot(steps, [_drawn(rows, each.deviation_error) for each in frames], **style)
    means.set(yscale="log", ylabel=f"largest error ({rows.target})", title="Means")
    deviations.set(title="Standard deviations")
    for axes in (means, deviations):
        axes.set_xlabel("step")
        axes.grid(visible=True, color="#e2e8f0")
    deviations.legend(fontsize=8)


def _drawn(rows: Handful, error: float) -> float:
    """An error as it is drawn: rounding counts as 1e-9, and nothing is too large."""
    return float(np.clip(error / rows.deviation, _LOWEST, _HIGHEST)) * rows.deviation


def _beliefs(figure: Any, rows: Handful, phase: Phase) -> None:
    """Means with a standard deviation each at a few steps, beside the exact ones."""
    frames = _few(phase.frames)
    for axes, frame in zip(figure.subplots(1, len(frames), sharey=True), frames, strict=True):
        place = np.arange(1, rows.size + 1)
        _bars(axes, place - 0.12, phase.exact, _GREY, "exact")
        _bars(axes, place + 0.12, frame, _BLUE, "messages")
        axes.plot(place, rows.values, "x", color="black", markersize=5, label="target")
        axes.set(xlabel="row", xticks=place)
        axes.set_title(f"{phase.title}: after step {frame.step}", fontsize=10)
    figure.axes[0].set_ylabel(rows.target)
    figure.axes[-1].legend(fontsize=8, loc="upper left")


def _bars(axes: Any, place: Any, frame: Frame, colour: str, label: str) -> None:
    axes.errorbar(
        place, frame.mean, yerr=np.nan_to_num(frame.deviation),
        fmt="o", markersize=4, color=colour, elinewidth=1.5, label=label,
    )  # fmt: skip


def _few(frames: Sequence[Frame]) -> Sequence[Frame]:
    """The first, an early and the last: what a row says itself, and what it hears."""
    return [frames[i] for i in sorted({0, min(2, len(frames) - 1), len(frames) - 1})]

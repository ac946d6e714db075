"""The report's pictures: predictions against the truth, and the neighbour graph with its tree."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import networkx as nx
import numpy as np
import pyarrow as pa
from matplotlib.figure import Figure

from edge_node.config import DataSpec, Task

__all__ = ["draw_network", "draw_predictions"]

mpl.use("agg")
_BLUE, _GREY, _RED = "#2563eb", "#94a3b8", "#dc2626"
_BINS = 10


def draw_predictions(
    predictions: Sequence[dict[str, Any]], table: pa.Table, data: DataSpec, path: Path
) -> None:
    """A reliability diagram (classes), or predicted against actual with intervals."""
    figure = Figure(figsize=(5.2, 4.8), layout="constrained")
    axes = figure.add_subplot()
    if data.task.has_classes:
        _reliability(axes, predictions, table[data.target].to_pylist())
    else:
        _against(axes, predictions, np.array(table[data.target].to_pylist(), float), data.target)
        if data.task is Task.SURVIVAL:
            axes.set(xscale="log", yscale="log")
    figure.savefig(path, dpi=150)


def _reliability(axes: Any, predictions: Sequence[dict[str, Any]], truth: list[str]) -> None:
    """Of the rows given a probability p for their most likely class: the share that is right."""
    confidence = np.array([row["probabilities"][row["label"]] for row in predictions])
    correct = np.array(
        [row["label"] == label for row, label in zip(predictions, truth, strict=True)]
    )
    lowest = 1 / len(predictions[0]["probabilities"])
    edges = np.linspace(lowest, 1, _BINS + 1)
    bins = np.clip(np.digitize(confidence, edges) - 1, 0, _BINS - 1)
    filled = [b for b in range(_BINS) if (bins == b).any()]
    counts = [int((bins == b).sum()) for b in filled]
    axes.plot([lowest, 1], [lowest, 1], color=_GREY, linestyle="--", label="perfectly calibrated")
    axes.plot(
        [confidence[bins == b].mean() for b in filled],
        [correct[bins == b].mean() for b in filled],
        color=_BLUE, marker="o", label="federated posterior",
    )  # fmt: skip
    for b, count in zip(filled, counts, strict=True):
        place = (confidence[bins == b].mean(), correct[bins == b].mean())
        axes.annotate(f"{count}", place, textcoords="offset points", xytext=(6, -10), fontsize=8)
    axes.set(
        xlabel="predicted probability of the most likely class",
        ylabel="share of rows for which it is right",
        title="Reliability on held-out rows (numbers: rows)",
        ylim=(-0.02, 1.04),
    )
    axes.legend(loc="lower right")


def _against(axes: Any, predictions: Sequence[dict[str, Any]], truth: Any, target: str) -> None:
    centre = "median" if "median" in predictions[0] else "mean"
    mean, lower, upper = (
        np.array([row[name] for row in predictions]) for name in (centre, "lower", "upper")
    )
    outside = (truth < lower) | (truth > upper)
    for rows, colour, label in (
        (~outside, _BLUE, "inside the 95 % interval"),
        (outside, _RED, "outside"),
    ):
        axes.errorbar(
            truth[rows], mean[rows], yerr=[(mean - lower)[rows], (upper - mean)[rows]],
            fmt="o", markersize=3, color=colour, ecolor=colour, elinewidth=0.5, alpha=0.5,
            label=f"{label} ({int(rows.sum())})",
        )  # fmt: skip
    ends = [min(truth.min(), mean.min()), max(truth.max(), mean.max())]
    axes.plot(ends, ends, color=_GREY, linestyle="--")
    axes.set(xlabel=f"actual {target}", ylabel=f"predicted {target}", title="Held-out rows")
    axes.legend(loc="upper left")


def draw_network(
    edges: Sequence[tuple[str, str]],
    parents: Mapping[str, str],
    rows: Mapping[str, int],
    path: Path,
) -> None:
    """The neighbour graph in grey, the spanning tree over it in blue, the root in red."""
    graph = nx.Graph()
    graph.add_nodes_from(rows)
    graph.add_edges_from(edges)
    places = nx.circular_layout(graph) if len(rows) <= 16 else nx.spring_layout(graph, seed=0)
    tree = [(node, parent) for node, parent in parents.items() if parent]
    figure = Figure(figsize=(5.2, 4.8), layout="constrained")
    axes = figure.add_subplot()
    nx.draw_networkx_edges(graph, places, ax=axes, edge_color=_GREY, style="dashed")
    nx.draw_networkx_edges(
        nx.DiGraph(tree),
        places,
        edgelist=tree,
        ax=axes,
        edge_color=_BLUE,
        width=2.0,
        node_size=1400,
    )
    colours = [_BLUE if parents.get(node) else _RED for node in graph]
    nx.draw_networkx_nodes(graph, places, ax=axes, node_color=colours, node_size=1400, alpha=0.25)
    labels = {node: f"{node}\n{rows[node]} rows" for node in graph}
    nx.draw_networkx_labels(graph, places, labels, ax=axes, font_size=8)
    axes.set_title("Neighbour graph (dashed), tree (arrows to the parent), root (red)", fontsize=10)
    axes.margins(0.25)
    axes.set_axis_off()
    figure.savefig(path, dpi=150)

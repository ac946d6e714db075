"""The picture of docs/threat-model.md: rows found, against what is told."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.figures import Row

__all__ = ["draw_disclosure"]

_PANELS = (
    ("rows_per_feature", "rows per feature of a sum", ("null space", "two weightings")),
    ("per_cell", "numbers told per cell", ("least squares", "right neighbourhood", "census")),
    (
        "per_real_cell",
        "numbers told per cell of many values",
        ("least squares", "right neighbourhood"),
    ),
)
_MARKS = {"null space": "v-", "two weightings": "s--", "least squares": "o-"}
_MARKS |= {"right neighbourhood": "^:", "census": "x-."}


def draw_disclosure(rows: Sequence[Row], path: Path) -> None:
    """For each set and attack, the share of the rows that is found."""
    from matplotlib.figure import Figure  # a second of import time

    figure = Figure(figsize=(11.0, 3.6), layout="constrained")
    sets = list(dict.fromkeys(row["set"] for row in rows))
    panels = zip(figure.subplots(1, len(_PANELS), squeeze=False)[0], _PANELS, strict=True)
    for axes, (field, label, attacks) in panels:
        for attack in attacks:
            for color, name in enumerate(sets):
                own = [row for row in rows if row["set"] == name and row["attack"] == attack]
                _line(axes, own, field, f"C{color}", attack)
        axes.set(xlabel=label, ylabel="rows found", ylim=(-0.04, 1.04))
        axes.set_xscale("log")
        axes.axvline(3.0 if field == "rows_per_feature" else 0.5, color="grey", linewidth=0.8)
        ticks = (0.5, 1, 3) if field == "rows_per_feature" else (0.1, 0.2, 0.5, 1, 3)
        axes.set_xticks(ticks, [f"{each:g}" for each in ticks])
        axes.minorticks_off()
    _legend(figure, sets)
    figure.savefig(path, dpi=120)


def _line(axes: Any, rows: Sequence[Row], field: str, color: str, attack: str) -> None:
    points = sorted((float(row[field]), row["found"] / row["rows"]) for row in rows)
    if points:
        axes.plot(*zip(*points, strict=True), _MARKS[attack], color=color, markersize=4)


def _legend(figure: Any, sets: Sequence[str]) -> None:
    """What marks and colours stand for, over all panels."""
    axes = figure.axes[0]
    marks = [axes.plot([], [], mark, color="black", label=name) for name, mark in _MARKS.items()]
    colors = [axes.plot([], [], color=f"C{i}", label=name) for i, name in enumerate(sets)]
    lines = [line for drawn in [*colors, *marks] for line in drawn]
    figure.legend(handles=lines, loc="outside upper center", ncols=len(lines), fontsize=8)

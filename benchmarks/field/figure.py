"""The picture of docs/propagation.md: errors against messages that each device has sent."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.figures import Row

__all__ = ["draw_field"]


def draw_field(rows: Sequence[Row], path: Path) -> None:
    """Means on the left; variances by own noise, and those of the messages, on the right."""
    from matplotlib.figure import Figure  # a second of import time

    figure = Figure(figsize=(9.0, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    talk = [row for row in rows if row["part"] == "talk"]
    runs = dict.fromkeys((row["devices"], row["measuring"], row["lost"]) for row in talk)
    for number, (devices, measuring, lost) in enumerate(runs):
        own = [row for row in talk if (row["devices"], row["measuring"], row["lost"])
               == (devices, measuring, lost)]  # fmt: skip
        label = f"{devices:,} devices, {measuring:.0%} measure, {lost:.0%} lost"
        style = {"color": f"C{number}", "label": label}
        _line(left, own, "mean_error", **style)
        _line(right, own, "variance_error", **style)
        _line(right, own, "loopy_error", **{**style, "label": None, "linestyle": ":"})
    left.set(ylabel="error of means, in deviations", yscale="log", xlabel="messages per device")
    right.set(ylabel="error of variances, a share", yscale="log", xlabel="messages per device")
    right.plot([], [], ":", color="black", label="the messages' own variances")
    left.legend(fontsize=7)
    right.legend(handles=right.lines[-1:], fontsize=7)
    for axes in (left, right):
        axes.grid(alpha=0.3)
    figure.savefig(path, dpi=120)


def _line(axes: Any, rows: Sequence[Row], field: str, **style: Any) -> None:
    axes.plot([row["messages"] for row in rows], [row[field] for row in rows], **style)

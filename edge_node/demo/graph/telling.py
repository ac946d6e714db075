"""What is said of the phases: to people a few lines and a table each, to programs one object."""

import math
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_node import console
from edge_node.demo.graph.joined import NOISE
from edge_node.demo.graph.lessons import INTRODUCTION
from edge_node.demo.graph.phase import Frame, Phase
from edge_node.demo.graph.rows import Handful
from edge_node.inference.messages.propagation.solution import Variances

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["ending", "facts", "introduce", "phase_table", "show_phase"]

_SHOWN = (
    0,
    1,
    2,
    3,
    5,
    8,
    13,
    21,
    34,
    55,
    89,
    144,
    233,
)  # steps in a table, and the last


def introduce(rows: Handful) -> None:
    """Say what is watched, and what a message is."""
    console.show(
        f"{rows.size} rows of {rows.source}, joined where the kernel finds them alike.\n"
        f"Each knows its target: {rows.target}. {100 * NOISE:g} % of its variance is noise.\n"
        "Each asks for its value without noise."
    )
    console.show("\n" + "\n".join(INTRODUCTION))


def show_phase(phase: Phase, *, pause: float = 0.0) -> None:
    """A phase for people.

    Args:
        phase: what was watched.
        pause: seconds between two steps, at a terminal, where the table grows; 0: at once.
    """
    console.show("\n" + "\n".join((phase.title, "─" * len(phase.title), *phase.lines)))
    if phase.certificate:
        console.show(f"Certificate: {phase.certificate}.")
    if pause:
        _play(phase, pause)
    else:
        console.show(phase_table(phase.frames))
    console.show(ending(phase))


def _play(phase: Phase, pause: float) -> None:
    """Draw the table again and again, as it grows."""
    from rich.live import Live

    with Live(auto_refresh=False) as live:
        for count in range(1, len(phase.frames) + 1):
            live.update(phase_table(phase.frames[:count]), refresh=True)
            time.sleep(pause)


def phase_table(frames: Sequence[Frame]) -> "Table":
    """The first steps, some later ones and the last: what was sent, and how far off it is."""
    headings = (">step", ">messages", ">largest error of a mean", ">largest error of an sd")
    shown = [each for each in frames if each.step in _SHOWN or each is frames[-1]]
    return console.table(headings, map(_cells, shown))


def _cells(frame: Frame) -> tuple[str, ...]:
    errors = frame.mean_error, frame.deviation_error
    return f"{frame.step}", f"{frame.messages:,}", *(_error(frame, each) for each in errors)


def _error(frame: Frame, error: float) -> str:
    if math.isnan(error):
        return "no variance"
    return "rounding" if error <= frame.rounding else f"{error:,.3g}"


def ending(phase: Phase) -> str:
    """What the run came to, in a sentence."""
    if phase.refusal:
        return f"No answer: {phase.refusal}."
    if phase.variances is Variances.EXACT:
        return "Means: exact. Variances: exact."
    way = "large" if phase.deviation_off > 0 else "small"
    off = f"the sd that is farthest off is {100 * abs(phase.deviation_off):.1f} % too {way}"
    return f"Means: exact. Variances: approximate; {off}."


def facts(rows: Handful, phases: Iterable[Phase], picture: Path) -> dict[str, Any]:
    """The same for programs. All values are in the target's units; rows count from 1."""
    numbered = zip(rows.numbers, rows.values, strict=True)
    return {
        "dataset": rows.source,
        "target": rows.target,
        "rows": [{"in_dataset": int(number) + 1, "target": y} for number, y in numbered],
        "phases": [_phase_facts(phase) for phase in phases],
        "picture": str(picture),
    }


def _phase_facts(phase: Phase) -> dict[str, Any]:
    return {
        "name": phase.name,
        "title": phase.title,
        "edges": [[i + 1, j + 1] for i, j in phase.joined.edges],
        "certificate": phase.certificate or None,
        "refusal": phase.refusal or None,
        "variances": phase.variances and phase.variances.value,
        "exact": _beliefs(phase.exact),
        "steps": [_frame_facts(frame) for frame in phase.frames],
    }


def _frame_facts(frame: Frame) -> dict[str, Any]:
    """A step; null where a belief has no variance."""
    return {
        "step": frame.step,
        "messages": frame.messages,
        "largest_mean_error": _number(frame.mean_error),
        "largest_sd_error": _number(frame.deviation_error),
        **_beliefs(frame),
    }


def _beliefs(frame: Frame) -> dict[str, list[float | None]]:
    return {"mean": [*map(_number, frame.mean)], "sd": [*map(_number, frame.deviation)]}


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None

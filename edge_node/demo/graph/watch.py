"""``edge-node demo --graph``: choose rows, pass messages, show and draw what they come to."""

import sys
from pathlib import Path

from edge_node import console
from edge_node.demo.data.choices import Choices, choose_data
from edge_node.demo.folder import make_folder
from edge_node.demo.graph import telling
from edge_node.demo.graph.rows import handful
from edge_node.demo.graph.watched import phases

__all__ = ["watch"]

_PICTURE = "graph.png"
_PAUSE = 0.12  # seconds between two steps, for the eye


def watch(choices: Choices, *, report: Path, as_json: bool) -> None:
    """Watch messages converge on a small kernel graph; the arguments are the command's options.

    Raises:
        ConfigurationError: options that don't go together.
        DataError: the CSV file can't be used, or its rows can't be watched.
        MachineError: the report folder can't be written.
    """
    rows = handful(choose_data(choices))
    make_folder(report, _PICTURE)
    if not as_json:
        telling.introduce(rows)
    seen, pause = [], _PAUSE if sys.stdout.isatty() else 0.0
    for phase in phases(rows):
        seen.append(phase)
        if not as_json:
            telling.show_phase(phase, pause=pause)
    from edge_node.demo.graph.drawing import draw  # a second of import time

    draw(rows, seen, report / _PICTURE)
    console.emit(
        telling.facts(rows, seen, report / _PICTURE),
        as_json=as_json,
        text=f"\nErrors are in the target's units. Picture: {report / _PICTURE}",
    )

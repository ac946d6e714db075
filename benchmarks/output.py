"""How a command shows its figures, and how it was called."""

import sys
from collections.abc import Sequence
from typing import Any

from benchmarks.figures import Row, shortened
from edge_node import console

__all__ = ["cells", "command_line", "show"]


def show(result: dict[str, Any], as_json: bool) -> None:
    """One result, a line a field."""
    console.emit(
        result,
        as_json=as_json,
        text=lambda: console.table(("", ""), [(key, str(value)) for key, value in result.items()]),
    )


def command_line() -> str:
    """The command as it was given."""
    return "python -m benchmarks " + " ".join(sys.argv[1:])


def cells(rows: Sequence[Row]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """The header and the cells of a table: every field of any row."""
    fields = tuple(dict.fromkeys(key for row in rows for key in row))
    return fields, [tuple(str(shortened(row).get(f, "")) for f in fields) for row in rows]

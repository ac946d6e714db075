"""Results on standard output, as text for people or JSON for programs.

Nothing else is written to standard output, so that results can be piped. Explanations go to
standard error. `rich` takes a tenth of a second to import, so it is imported only when something
is drawn.
"""

import json
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

__all__ = ["emit", "explain", "printable", "show", "table"]

_PIPED_COLUMNS = 160  # how wide tables are when nobody watches


def emit(
    result: Mapping[str, Any], *, as_json: bool, text: "str | Callable[[], RenderableType]"
) -> None:
    """Print a command's result.

    Args:
        result: the result for programs.
        as_json: whether a program reads it.
        text: the result for people; a function is called only if it is needed.
    """
    if as_json:
        click.echo(json.dumps(result, ensure_ascii=False))
    elif isinstance(text, str):
        click.echo(text)
    else:
        show(text())


def explain(message: str) -> None:
    """Say something to the person at the terminal, without touching the result."""
    click.echo(message, err=True)


def table(headings: Iterable[str], rows: Iterable[Iterable[object]], *, title: str = "") -> "Table":
    """A table of text. A heading that starts with `>` has its column aligned to the right."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    drawn = Table(title=title or None, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in headings:
        right = heading.startswith(">")
        drawn.add_column(heading.removeprefix(">"), justify="right" if right else "left")
    for row in rows:
        drawn.add_row(*(Text(printable(str(cell))) for cell in row))
    return drawn


def show(renderable: "RenderableType") -> None:
    """Draw on standard output, as wide as the terminal."""
    from rich.console import Console

    watched = sys.stdout.isatty()
    Console(highlight=False, width=None if watched else _PIPED_COLUMNS).print(renderable)


def printable(text: str) -> str:
    r"""Text that can't steer a terminal, wherever it comes from: some of it is a peer's.

    Line breaks stay; every other control character is written as ``\xNN``.
    """
    return "".join(c if c.isprintable() or c == "\n" else f"\\x{ord(c):02x}" for c in text)

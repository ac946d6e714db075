"""Options that several commands share."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edge_node import console

if TYPE_CHECKING:
    from aggregator.directory.layout import Directory

__all__ = ["authority_option", "directory_option", "typed"]

_VARIABLE = "AGGREGATOR_DIR"


def _directory(path: Path) -> "Directory":
    from aggregator.directory.layout import Directory

    return Directory(path)


directory_option = console.directory_option(
    "directory", _VARIABLE, _directory, text="The aggregator's directory."
)
"""Adds ``--dir``, passed as ``directory``."""


def authority_option(*, required: bool, text: str) -> Callable[..., Any]:
    """Add ``--ca``, passed as ``authority``; ``text`` is its help."""
    return click.option(
        "--ca",
        "authority",
        required=required,
        type=click.Path(file_okay=False, path_type=Path),
        help=text,
    )


def typed(command: str, directory: "Directory") -> str:
    """A command as it must be typed to act on the directory."""
    return console.typed(command, directory.path, _VARIABLE)

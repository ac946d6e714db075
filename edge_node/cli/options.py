"""The option that says which node's directory a command acts on."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from edge_node import console
from edge_node.config.paths import NodePaths

__all__ = ["directory_option", "typed"]

_VARIABLE = "EDGE_NODE_DIR"


def directory_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--dir``, passed as ``paths``."""
    return click.option(
        "--dir",
        "-d",
        "paths",
        envvar=_VARIABLE,
        default=".",
        show_envvar=True,
        type=click.Path(file_okay=False, path_type=Path),
        callback=lambda _context, _parameter, value: NodePaths(value),
        help="The node's directory.",
    )(function)


def typed(command: str, paths: NodePaths) -> str:
    """A command of ``edge-node`` as it must be typed for this node: with ``--dir`` if need be."""
    return console.typed(f"edge-node {command}", paths.root, _VARIABLE)

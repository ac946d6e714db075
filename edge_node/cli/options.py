"""Options that commands share."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from edge_node.config.paths import NodePaths

__all__ = ["directory_option"]


def directory_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--dir``, passed as ``paths``."""
    return click.option(
        "--dir",
        "-d",
        "paths",
        envvar="EDGE_NODE_DIR",
        default=".",
        show_envvar=True,
        type=click.Path(file_okay=False, path_type=Path),
        callback=lambda _context, _parameter, value: NodePaths(value),
        help="The node's directory.",
    )(function)

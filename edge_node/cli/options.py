"""The option that says which node's directory a command acts on."""

from edge_node import console
from edge_node.config.paths import NodePaths

__all__ = ["directory_option", "typed"]

_VARIABLE = "EDGE_NODE_DIR"

directory_option = console.directory_option(
    "paths", _VARIABLE, NodePaths, text="The node's directory."
)
"""Adds ``--dir``, passed as ``paths``."""


def typed(command: str, paths: NodePaths) -> str:
    """A command of ``edge-node`` as it must be typed for this node: with ``--dir`` if need be."""
    return console.typed(f"edge-node {command}", paths.root, _VARIABLE)

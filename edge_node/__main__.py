"""``python -m edge_node``: the same as ``edge-node``."""

from edge_node.cli import main

main()

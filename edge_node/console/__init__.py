"""What both command lines share, so that `edge-node` and `aggregator` behave alike.

`program` runs a command and turns errors into messages and exit codes, `output` prints results,
`logs` is how a process that runs for long reports, `progress` how far a run is.
"""

from edge_node.console.logs import configure_logging
from edge_node.console.output import emit, explain, show, table
from edge_node.console.program import directory_option, json_option, main, typed, version_option
from edge_node.console.progress import how_far

__all__ = [
    "configure_logging",
    "directory_option",
    "emit",
    "explain",
    "how_far",
    "json_option",
    "main",
    "show",
    "table",
    "typed",
    "version_option",
]

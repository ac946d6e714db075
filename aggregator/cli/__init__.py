"""The command line of the aggregator: create a federation, invite nodes, watch it.

Commands parse their arguments, call one function and print its result. What takes long to import is
imported by the command that needs it. `federation` and `denylist` hold the aggregator's commands,
`ca` the certificate authority's; `options` are what they share.
"""

import click

from aggregator.cli.ca import ca
from aggregator.cli.denylist import allow, denied, deny, evict
from aggregator.cli.federation import init, run, status, token
from edge_node import console

__all__ = ["cli", "main"]


def main() -> None:
    """The ``aggregator`` program."""
    console.main(cli, program="aggregator")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@console.version_option
def cli() -> None:
    """Wire a federation: who is there, along which tree they sum. No data passes here.

    \b
    A federation's life:
      aggregator init --spec federation.toml --host aggregator.example.org
      aggregator run
      aggregator token hospital-a     give what it prints to hospital-a's engineer
      aggregator status

    All commands work on one directory: --dir, or AGGREGATOR_DIR, or the present one. Its ca/ folder
    holds the key that makes members: guard it.

    Exit codes: 0 success, 2 command line, 3 configuration, 5 identity, 6 a node is missing or a run
    is stalled (`status --check`), 7 refused, 9 machine.
    """  # noqa: D301 - not raw: click looks for the character \b


for _command in (init, run, token, status, evict, deny, allow, denied, ca):
    cli.add_command(_command)

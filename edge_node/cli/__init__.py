"""The command line of a node: set it up, run it, ask it.

A command parses its arguments, calls one function and prints the result. It imports slow modules
itself, so that `--help` doesn't wait for JAX.

`setup` and `running` have the commands of a node's life, `ask` those that put questions to its
posterior, `preview`, `privacy` and `demo` one each; `options` is what they share.
"""

import click

from edge_node import console
from edge_node.cli.ask import explain, predict, score
from edge_node.cli.demo import demo
from edge_node.cli.preview import preview
from edge_node.cli.privacy import privacy
from edge_node.cli.running import doctor, run, status
from edge_node.cli.setup import enrol, init, leave, renew

__all__ = ["cli", "main"]

_EPILOG = """\b
Exit codes:
  0 success                       5 identity: key, certificate, token
  1 unexpected error              6 network: aggregator or peer
  2 command line                  7 refused by a policy
  3 configuration                 8 numerical failure
  4 data: file, column, row       9 machine: port, directory, disk
"""


def main() -> None:
    """The ``edge-node`` program."""
    console.main(cli, program="edge-node")


@click.group(epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@console.version_option
def cli() -> None:
    """Take part in a federation that learns one Gaussian-process posterior; your rows stay here.

    \b
    A node's life:
      edge-node init --name hospital-a --data rows.csv --advertise a.example.org:7710
      edge-node enrol TOKEN           with a token from `aggregator token hospital-a`
      edge-node doctor                is everything in place?
      edge-node preview               what would my rows tell? Nothing is sent
      edge-node run                   take part, and answer queries
      edge-node predict --csv new.csv
      edge-node score, explain        how good is the posterior, and which inputs matter to it?
      edge-node privacy               how much privacy was spent, where sums have noise

    All commands work on one directory: --dir, or the variable EDGE_NODE_DIR, or the current one.
    """  # noqa: D301 - not raw: click looks for the character \b


for _command in (
    *(init, enrol, renew, leave, run, status),
    *(predict, score, explain, preview, privacy, doctor, demo),
):
    cli.add_command(_command)
